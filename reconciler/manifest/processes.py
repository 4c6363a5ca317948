"""Parses many files in several processes at once: it is most of the work of reading a fleet.

The result is the same as that of one process. A file with which anything is wrong, or which is the first one to name a
base, is parsed again here: so errors and bases are found in the order of the files.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import signal
import sys
import threading
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from reconciler.manifest.events import Positions
from reconciler.manifest.extends import Effective
from reconciler.manifest.loader import Loaded
from reconciler.manifest.parsed_file import (
    MARKED_BLOCKS,
    assembled,
    check_document,
    load_document,
    parse_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from reconciler.errors import Position, Problem
    from reconciler.manifest.bases import Bases
    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Path
    from reconciler.manifest.parsed_file import ParsedFile

_FEWEST_BYTES: Final = 500_000
"""Smaller sets are parsed before other processes have started."""

_MOST_PROCESSES: Final = 8
_BLOCK: Final = 64
"""Files whose content a process sends at once."""

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

Sent: TypeAlias = dict[int, tuple[Any, ...]]
"""What a process sends of each file, by its number."""


class Received(NamedTuple):
    """A document that another process has loaded, and found valid. Stands in for what was loaded."""

    value: dict[str, Any]
    variables: Mapping[str, str]
    inheritance: Bases | None
    places: list[Position]
    entries: list[Mapping[str, Position]]
    blocks: Mapping[Path, Mapping[str, Position]]
    irregular: bool = False

    def starts(self, _key: str, _length: int) -> list[Position]:
        """Where the accounts start."""
        return self.places

    def entry_positions(self, _entry: object, index: int) -> Mapping[str, Position]:
        """Where the marked values of an account are."""
        return self.entries[index]

    def block_positions(self, path: Path) -> Mapping[str, Position]:
        """Where the marked values of a block are."""
        return self.blocks[path]


def parse_files(sources: Sequence[Source], bases: Bases) -> list[ParsedFile | Problem | None]:
    """As ``parse_file``, for each file."""
    if not _is_worthwhile([len(source.data) for source in sources]) or not _can_fork():
        return [parse_file(source, bases) for source in sources]
    first = parse_file(sources[0], bases)  # what this imports and reads, the other processes have at once
    parsed = _parsed_by_others(sources, bases, min(len(os.sched_getaffinity(0)), _MOST_PROCESSES))
    return [first, *(parsed.get(number) or parse_file(sources[number], bases) for number in range(1, len(sources)))]


def _is_worthwhile(sizes: Sequence[int]) -> bool:
    """Whether files of these sizes, in bytes, can be shared out. A single large one cannot."""
    return sum(sizes) >= max(_FEWEST_BYTES, 2 * max(sizes, default=0))


def _can_fork() -> bool:
    """Whether there are processors for other processes, and no thread that could hold a lock while they start."""
    return sys.platform == "linux" and threading.active_count() == 1 and len(os.sched_getaffinity(0)) > 1


def _parsed_by_others(sources: Sequence[Source], bases: Bases, count: int) -> Mapping[int, ParsedFile]:
    """The files that other processes could parse, by their number. If one of them ends early, its files are missing."""
    import multiprocessing

    found: dict[int, ParsedFile] = {}
    if multiprocessing.current_process().daemon:  # of a program that calls this one, and may not start any
        return found
    receivers: list[Connection] = []
    processes: list[ForkProcess] = []
    try:
        for part in range(count):
            blocks = range(1 + part * _BLOCK, len(sources), count * _BLOCK)
            with suppress(OSError):  # a limit of the system: there is one process less
                _start(sources, bases, blocks, receivers, processes)
        for sent in _received(receivers):
            for number, (value, variables, *places) in sent.items():
                received = Received(value, variables or {}, None if variables is None else bases, *places)
                found[number] = assembled(sources[number], value, received)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return found


def _start(
    sources: Sequence[Source],
    bases: Bases,
    blocks: Iterable[int],
    receivers: list[Connection],
    processes: list[ForkProcess],
) -> None:
    """Starts a process, and adds it. Until it has no signal handlers of ours, it gets no signals."""
    from multiprocessing import get_context

    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    receivers.append(receiver)
    arguments = (sources, bases, blocks, sender, receivers)
    process = context.Process(target=_parse_blocks, args=arguments, daemon=True)
    with sender:
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            process.start()
            processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _received(receivers: list[Connection]) -> Iterator[Sent]:
    """What the processes send, until all of them have ended."""
    from multiprocessing.connection import wait

    while receivers:
        for receiver in cast("list[Connection]", wait(receivers)):
            try:
                sent: Sent = pickle.loads(receiver.recv_bytes())  # noqa: S301 - this program has sent it
            except (EOFError, OSError):  # all is sent, or the process was killed
                receivers.remove(receiver)
                receiver.close()
            else:
                yield sent


def _parse_blocks(
    sources: Sequence[Source], bases: Bases, starts: Iterable[int], sender: Connection, receivers: Sequence[Connection]
) -> None:
    """Loads and validates the blocks of files that start there, in a process of its own."""
    for receiver in receivers:
        receiver.close()  # so that sending fails once nobody is left to receive
    for stopping in _STOPPING:
        signal.signal(stopping, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    with suppress(Exception):  # the first process parses what is missing again, and reports it
        for start in starts:
            numbers = range(start, min(start + _BLOCK, len(sources)))
            valid = {number: found for number in numbers if (found := _valid(sources[number], bases))}
            try:
                sender.send_bytes(_pickled(valid))
            except TypeError:  # a literal secret, which is never pickled
                for number, found in valid.items():
                    with suppress(TypeError):
                        sender.send_bytes(_pickled({number: found}))


def _valid(source: Source, bases: Bases) -> tuple[Any, ...] | None:
    """What to send of a file; ``None`` if there is anything to report, or something new about the bases."""
    changes = bases.changes
    loaded = load_document(source, bases)
    if not isinstance(loaded, Loaded | Effective) or loaded.irregular or bases.changes != changes:
        return None
    variables: Mapping[str, str] | None = None
    if isinstance(loaded, Effective):
        if loaded.issues:
            return None
        variables = loaded.variables
    raw: Any = loaded.value
    document, errors = check_document(raw)
    if document is None or errors:
        return None
    accounts = raw["accounts"] if document.get("accounts") else []
    return (
        document,
        variables,
        loaded.starts("accounts", len(accounts)),
        [loaded.entry_positions(account, index) for index, account in enumerate(accounts)],
        {path: loaded.block_positions(path) for path in MARKED_BLOCKS},
    )


def _pickled(valid: Sent) -> bytes:
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(valid)
    return stream.getvalue()


def _reduced(mapping: Mapping[object, object]) -> tuple[Any, ...]:
    return dict, (list(mapping.items()),)


_REDUCERS: Final[Mapping[type, Any]] = {**copyreg.dispatch_table, Positions: _reduced, MappingProxyType: _reduced}
