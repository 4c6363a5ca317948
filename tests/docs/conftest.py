"""The fixtures that run commands."""

from tests.commands.conftest import at_sandbox, user

__all__ = ["at_sandbox", "user"]
