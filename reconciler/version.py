"""The version, and nothing else: every layer may import this module."""

from typing import Final

VERSION: Final = "0.1.0"
