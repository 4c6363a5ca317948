"""What an apply does after a failure. Every command line reads this, so it imports nothing else."""

from __future__ import annotations

from enum import StrEnum


class OnFailure(StrEnum):
    """What to do with the other changes when one fails, and with a change whose test fails after the write."""

    CONTINUE = "continue"
    STOP = "stop"
    ROLLBACK = "rollback"
