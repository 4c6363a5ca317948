"""Parses many files in several processes at once: it is most of the work of reading a fleet.

The result is the same as that of one process. All bases are read before the other processes start, so that every file
is merged with the same ones. A file with which anything is wrong is parsed again here, in the order of the files.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import re
import signal
import sys
import threading
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from reconciler.errors import Position
from reconciler.manifest.bases import NewBaseError, path_of_base
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
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from reconciler.errors import Problem
    from reconciler.manifest.bases import Bases
    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Path
    from reconciler.manifest.parsed_file import ParsedFile

_MOST_PROCESSES: Final = 8
_BLOCK: Final = 100_000
"""Bytes of the files whose content a process sends at once."""

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXTENDS: Final = re.compile(rb"extends[\"']?[ \t]*:[ \t]*[\"']?([^\n\"'#,}]*)")
"""Nearly always the base of a file. A file whose base this does not find is parsed in the first process."""

Sent: TypeAlias = dict[int, tuple[Any, ...]]
"""What a process sends of each file, by its number."""


class Received(NamedTuple):
    """A document that another process has loaded, and found valid. Used as what was loaded is."""

    value: dict[str, Any]
    variables: Mapping[str, str]
    bases: Bases | None
    account_starts: list[tuple[str, int, int]]
    entries: list[Mapping[str, Position]]
    blocks: Mapping[Path, Mapping[str, Position]]
    irregular: bool = False

    def starts(self, _length: int) -> list[Position]:
        """Where the accounts start."""
        return [Position(*start) for start in self.account_starts]

    def entry_positions(self, index: int) -> Mapping[str, Position]:
        """Where the marked values of an account are."""
        return self.entries[index]

    def block_positions(self, path: Path) -> Mapping[str, Position]:
        """Where the marked values of a block are."""
        return self.blocks[path]


def parse_in_processes(sources: Sequence[Source], bases: Bases) -> list[ParsedFile | Problem | None] | None:
    """As ``parse_file``, for each file; ``None`` if no other process can take part."""
    if not _can_fork():
        return None
    parsed = _shared_out(sources, bases)
    if not bases.problems:  # they name the first file that extends the base, in the order of the files
        return parsed
    bases.start_again()
    return None


def _shared_out(sources: Sequence[Source], bases: Bases) -> list[ParsedFile | Problem | None]:
    parsed = {number: parse_file(sources[number], bases) for number in _first_to_extend(sources)}
    others = [number for number in range(len(sources)) if number not in parsed]
    parsed.update(_parsed_by_others(sources, others, bases))
    return [parsed[number] if number in parsed else parse_file(source, bases) for number, source in enumerate(sources)]


def _first_to_extend(sources: Sequence[Source]) -> list[int]:
    """The first file, and the first one of those that extend the same base.

    As they are parsed, the bases are read, and what the parser needs is imported: then the other processes have both.
    """
    first: dict[str, int] = {}
    for number, source in enumerate(sources):
        named = _EXTENDS.search(source.data)
        first.setdefault(path_of_base(source, os.fsdecode(named[1].strip())) if named else "", number)
    return sorted({0, *first.values()})


def _can_fork() -> bool:
    """Whether there are processors for other processes, and no thread that could hold a lock while they start."""
    return sys.platform == "linux" and threading.active_count() == 1 and len(os.sched_getaffinity(0)) > 1


def _parsed_by_others(sources: Sequence[Source], numbers: Sequence[int], bases: Bases) -> Mapping[int, ParsedFile]:
    """The files that other processes could parse, by their number. If one of them ends early, its files are missing."""
    import multiprocessing

    found: dict[int, ParsedFile] = {}
    if multiprocessing.current_process().daemon:  # of a program that calls this one, and may not start any
        return found
    blocks, count = _blocks(sources, numbers), min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    receivers: list[Connection] = []
    processes: list[ForkProcess] = []
    try:
        with suppress(OSError):  # a limit of the system: there are fewer processes
            for part in range(count):
                _start(sources, blocks[part::count], bases, receivers, processes)
        for sent in _received(receivers):
            for number, (value, variables, base, *positions) in sent.items():
                if base is not None:
                    bases.adopt(sources[number], value["extends"], base)
                received = Received(value, variables or {}, None if variables is None else bases, *positions)
                found[number] = assembled(sources[number], value, received)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return found


def _blocks(sources: Sequence[Source], numbers: Sequence[int]) -> list[list[int]]:
    """The numbers of the files, shared out so that a process often has something to send."""
    blocks: list[list[int]] = []
    size = _BLOCK
    for number in numbers:
        if size >= _BLOCK:
            blocks.append([])
            size = 0
        blocks[-1].append(number)
        size += len(sources[number].data)
    return blocks


def _start(
    sources: Sequence[Source],
    blocks: Sequence[Sequence[int]],
    bases: Bases,
    receivers: list[Connection],
    processes: list[ForkProcess],
) -> None:
    """Starts a process, and adds it. Until it has no signal handlers of ours, it gets no signals."""
    from multiprocessing import get_context

    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    receivers.append(receiver)
    arguments = (sources, blocks, bases, sender, receivers)
    process = context.Process(target=_parse_blocks, args=arguments, daemon=True)
    former = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with sender:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
            process.start()
            processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)


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
    sources: Sequence[Source],
    blocks: Sequence[Sequence[int]],
    bases: Bases,
    sender: Connection,
    receivers: Sequence[Connection],
) -> None:
    """Loads and validates blocks of files, in a process of its own."""
    for receiver in receivers:
        receiver.close()  # so that sending fails once nobody is left to receive
    for stopping in _STOPPING:
        if signal.getsignal(stopping) is not signal.SIG_IGN:  # as under nohup
            signal.signal(stopping, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    bases.close()
    with suppress(BaseException):  # the first process parses what is missing again, and reports it
        for block in blocks:
            valid = {number: found for number in block if (found := _valid(sources[number], bases))}
            try:
                sender.send_bytes(_pickled(valid))
            except TypeError:  # a literal secret, which is never pickled
                for number, found in valid.items():
                    with suppress(TypeError):
                        sender.send_bytes(_pickled({number: found}))


def _valid(source: Source, bases: Bases) -> tuple[Any, ...] | None:
    """What to send of a file; ``None`` if there is anything to report, or a base that was not read before."""
    try:
        loaded = load_document(source, bases)
    except NewBaseError:
        return None
    if not isinstance(loaded, Loaded | Effective) or loaded.irregular:
        return None
    variables: Mapping[str, str] | None = None
    base: str | None = None
    if isinstance(loaded, Effective):
        if loaded.issues:
            return None
        variables = loaded.variables
        base = loaded.layers[1].source.name if len(loaded.layers) > 1 else None
    raw: Any = loaded.value
    document, errors = check_document(raw)
    if document is None or errors:
        return None
    accounts = raw["accounts"] if document.get("accounts") else []
    return (
        document,
        variables,
        base,
        [tuple(start) for start in loaded.starts(len(accounts))],  # pickled much faster than named tuples
        [loaded.entry_positions(index) for index in range(len(accounts))],
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


_REDUCERS: Final[Mapping[type, Any]] = {**copyreg.dispatch_table, MappingProxyType: _reduced}
"""How to pickle what pickle cannot: read-only views."""
