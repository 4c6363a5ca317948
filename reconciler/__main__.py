"""Runs the command line: ``python -m reconciler``."""

from __future__ import annotations

import gc
import signal
from typing import Final, NoReturn

_EAGER_ALLOCATIONS: Final = 1_000_000
"""Allocations between two searches for cyclic garbage. Accounts contain no cycles, and a search visits all of them."""


def main() -> NoReturn:
    """Runs the command line; Ctrl-C while it is still being imported ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_EAGER_ALLOCATIONS)  # before the imports, which allocate much and leave nothing behind
    from reconciler.cli import main as run

    run()


if __name__ == "__main__":
    main()
