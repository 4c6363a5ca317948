"""The version and the home of the documentation, and nothing else: every layer may import this module."""

from typing import Final

VERSION: Final = "0.1.0"

DOCUMENTATION: Final = "https://email-account-reconciler.github.io/reconciler/"
