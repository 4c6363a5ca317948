"""One run of the program: what was asked of its output, and the streams to write it to."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypeAlias

import click

from reconciler.commands.options import OutputFile
from reconciler.errors import Kind, OutputError, Problem, ReaderGoneError
from reconciler.model.display import escape
from reconciler.model.redaction import Redactor
from reconciler.report.formats import Format
from reconciler.report.style import Style
from reconciler.report.to_text import problems_text
from reconciler.token_file import Voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.commands.options import Command
    from reconciler.model.server import Server

_OUTPUT_HINT: Final = "check the folder, its permissions, and the free space"

DocumentKind: TypeAlias = Literal["validation", "plan", "result"]


@dataclass(slots=True)
class Invocation:
    """What a command knows of its context. Documents go to standard output, everything else to standard error.

    Attributes:
        document: What the command's document is; ``None`` for commands without one.
        plain: Leaves out colours.
        output: A file for the document, instead of standard output.
        output_refused: Whether ``--output`` names a file that is read, so that nothing may be written there.
        overwrite: Whether ``output`` may replace a file.
        verbose: Shows more.
        quiet: Leaves out progress and notes; errors stay.
        acted: Whether writes, or test mails, may have been sent.
        server: The server that the run is about, once it is known.
        seen: Problems that the reader of standard error has seen already: there, or in a document on the same terminal.
    """

    redactor: Redactor = field(default_factory=Redactor)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    format: Format = Format.TEXT
    document: DocumentKind | None = None
    output: str | None = None
    output_refused: bool = False
    overwrite: bool = True
    plain: bool = False
    verbose: bool = False
    quiet: bool = False
    acted: bool = False
    server: Server | None = None
    seen: set[Problem] = field(default_factory=set)

    def write_document(self, text: str, *, for_people: bool = False) -> None:
        """Writes the document.

        Args:
            text: The document. What programs read is UTF-8, whatever the encoding of standard output: an escape
                sequence in its place would be read as somebody's name.
            for_people: It is read by people, so standard output's own encoding is better.

        Raises:
            OutputError: It cannot be written.
            ReaderGoneError: It goes to a pipe that nobody reads any more.
        """
        if self.output is not None:
            self.write_file(self.output, text, overwrite=self.overwrite)
            return
        try:
            if for_people:
                _write(sys.stdout, text)
            else:
                _write_bytes(sys.stdout, _utf_8(text))
        except OSError as error:
            raise unwritten(error) from error

    def write_file(self, path: str, text: str, *, overwrite: bool = True) -> None:
        """Writes a file so that it is there as a whole or not at all, and says so.

        Raises:
            OutputError: It cannot be written, or is there already and must not be overwritten.
        """
        try:
            _store(Path(path), text, overwrite=overwrite)
        except FileExistsError as error:
            raise file_exists(path) from error
        except OSError as error:
            raise OutputError(_unwritable(path, error)) from error
        self.report_written(path)

    def append_file(self, path: str, text: str) -> None:
        """Adds to a file that others write to too. A failure is said, and changes nothing about the run."""
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.print_problems([_unwritable(path, error)], "warning")
        else:
            self.report_written(path)

    def report_written(self, path: str) -> None:
        """Says that a file was written. A device or a pipe is no file that is there afterwards."""
        if Path(path).is_file():
            self.print_note(f"wrote {escape(path)}")

    def print_note(self, text: str) -> None:
        """Says something on the side, unless told to be quiet."""
        if not self.quiet:
            self.print_error_text(text + "\n")

    def print_error_text(self, text: str) -> None:
        """Writes to standard error. Where nobody can be told, the run goes on: it must end in a true exit code."""
        try:
            _write(sys.stderr, text)
        except OSError:
            silence(sys.stderr)

    def print_problems(self, problems: Sequence[Problem], word: str = "error") -> None:
        """Prints errors or warnings to standard error, without secrets, unless its reader has seen them already."""
        style = self.style_of(sys.stderr)
        unseen = [one for one in problems if one not in self.seen]
        # Masked before lines are broken: a secret in two pieces would not be found.
        for line in problems_text(self.redacted(unseen), word, style, "red" if word == "error" else "yellow"):
            self.print_error_text(self.redactor.redact(line) + "\n")

    def print_warnings(self, warnings: Sequence[Problem]) -> None:
        """Shows warnings on the side, unless told to be quiet."""
        if not self.quiet:
            self.print_problems(warnings, "warning")

    def has_shown(self, problem: Problem) -> bool:
        """Whether the reader of standard error has seen the problem already."""
        return problem in self.seen

    def mark_shown(self, problems: Iterable[Problem]) -> None:
        """Notes that a document has been written that has these problems.

        A person at a terminal need not read them a second time. Whoever reads a file or a pipe is somebody else.
        """
        if self.output is None and sys.stdout.isatty() and sys.stderr.isatty():
            self.seen.update(problems)

    def voice(self) -> Voice:
        """How others reach the user; what they warn of is worth hearing even by those who asked for quiet."""
        return Voice(warn=lambda problem: self.print_problems([problem], "warning"), note=self.print_note)

    def redacted(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """The problems with whatever secret got into their words masked."""
        redact = self.redactor.redact
        return tuple(replace(one, message=redact(one.message), hint=redact(one.hint)) for one in problems)

    def document_style(self) -> Style:
        """What the document's destination can show."""
        return Style() if self.output else self.style_of(sys.stdout)

    def style_of(self, stream: TextIO) -> Style:
        """What a stream can show; ``NO_COLOR`` and ``FORCE_COLOR`` as on no-color.org and force-color.org."""
        wanted = not self.plain and not os.environ.get("NO_COLOR")
        able = bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")
        return Style(
            colour=wanted and able,
            arrow="→" if _can_show(stream, "→") else "->",
            width=_columns() if stream.isatty() else None,
        )


def _columns() -> int:
    from shutil import get_terminal_size  # which brings archives along

    return get_terminal_size().columns


def file_exists(path: str) -> OutputError:
    """The error of a file that is there already and must not be overwritten."""
    return OutputError(Problem(kind=Kind.OUTPUT_EXISTS, message=f"{path} exists already", hint="`--force` replaces it"))


def _unwritable(path: str, error: OSError) -> Problem:
    return Problem(kind=Kind.OUTPUT, message=f"cannot write {path}: {error.strerror}", hint=_OUTPUT_HINT)


def _store(target: Path, text: str, *, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_file()):
        # A device or a pipe; a link is one of the system's, such as /dev/stdout: no other gets here.
        target.write_bytes(_utf_8(text))
        return
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    from tempfile import mkstemp

    handle, name = mkstemp(dir=target.parent, prefix=f".{target.name}.")
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_utf_8(text))
        scratch.chmod(mode)
        if not overwrite:
            target.touch(exist_ok=False)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _umask() -> int:
    """The permissions that new files do not get; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def unwritten(error: OSError) -> OutputError:
    """The error of a standard output that cannot be written, and is given up."""
    silence(sys.stdout)
    problem = Problem(kind=Kind.OUTPUT, message=f"cannot write to standard output: {error.strerror}")
    return (ReaderGoneError if isinstance(error, BrokenPipeError) else OutputError)(problem)


def silence(stream: TextIO) -> None:
    """Lets what is left in a stream that cannot be written go nowhere; Python would try once more as it shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _write_bytes(stream: TextIO, data: bytes) -> None:
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


def _utf_8(text: str) -> bytes:
    """A document as it is stored. The only characters that UTF-8 lacks are lone surrogates, as of a file's odd name."""
    return text.encode("utf-8", "backslashreplace")


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _to_invocation(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, _parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
        setattr(context.ensure_object(Invocation), name, value)

    return store


_QUIET = click.option(
    *("-q", "--quiet"),
    is_flag=True,
    expose_value=False,
    callback=_to_invocation("quiet"),
    help="Only the document and errors.",
)
_VERBOSE = click.option(
    *("-v", "--verbose"),
    is_flag=True,
    expose_value=False,
    callback=_to_invocation("verbose"),
    help="Show what stays unchanged too.",
)
_NO_COLOR = click.option(
    "--no-color",
    "plain",
    is_flag=True,
    expose_value=False,
    callback=_to_invocation("plain"),
    help="No colours (so does NO_COLOR=1).",
)
_OUTPUT = click.option(
    *("-o", "--output"),
    type=OutputFile(dir_okay=False, readable=False),
    expose_value=False,
    is_eager=True,
    callback=_to_invocation("output"),
    metavar="FILE",
    help="Write the document to FILE.",
)


def output_options(formats: Sequence[Format], document: DocumentKind | None = None) -> Callable[[Command], Command]:
    """``--format``, ``--output``, ``--no-color``, ``-v`` and ``-q``; their values are stored in the ``Invocation``.

    Args:
        formats: Which formats the command's document comes in; with text alone there is no ``--format``.
        document: What the document is, so that a program gets one on failure too, even on wrong usage.
    """

    def choose(context: click.Context, _parameter: click.Parameter, value: str) -> None:
        invocation = context.ensure_object(Invocation)
        invocation.format = Format(value)
        invocation.document = document

    chosen = click.option(
        *("-f", "--format"),
        type=click.Choice([one.value for one in formats]),
        default="text",
        show_default=True,
        expose_value=False,
        is_eager=True,
        callback=choose,
        help="How the document is written.",
    )

    def decorate(command: Command) -> Command:
        for option in (_QUIET, _VERBOSE, _NO_COLOR, _OUTPUT, *([chosen] if len(formats) > 1 else [])):
            command = option(command)
        return command

    return decorate
