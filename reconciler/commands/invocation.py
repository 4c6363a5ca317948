"""One invocation of a command: what its output should look like, and the streams and files that it goes to."""

from __future__ import annotations

import os
import select
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from reconciler.errors import BrokenOutputPipeError, Kind, OutputError, Problem, ReconcilerError
from reconciler.model.display import escape
from reconciler.model.ports import Notifier
from reconciler.model.redaction import Redactor
from reconciler.report.formats import DocumentKind, Format, Style
from reconciler.report.kind_pages import help_lines
from reconciler.report.text import problems_text
from reconciler.writable_file import open_to_append

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.model.server import Server

_OUTPUT_HINT: Final = "check the folder, its permissions, and the free space"


@dataclass(slots=True)
class Invocation:
    """The context of a command. Documents go to standard output, everything else to standard error.

    Attributes:
        document: The kind of the command's document; ``None`` for commands without one.
        plain: Whether to omit colours.
        output: A file for the document, instead of standard output.
        output_refused: Whether ``--output`` names a file that is read, so that it must not be written.
        overwrite: Whether ``output`` may replace a file.
        verbose: Whether to show more.
        quiet: Whether to omit progress and notes. Errors are always printed.
        acted: Whether writes or delivery tests may have been sent.
        servers: The servers of the run, once they are known.
        of_fleet: Whether the run is about a fleet, even if that has only one server.
        seen: Problems that were already shown on standard error, or in a document on the same terminal.
        failures: The kinds of the errors that were shown as text, for ``print_help``.
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
    servers: tuple[Server, ...] = ()
    of_fleet: bool = False
    seen: set[Problem] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def write_document(self, text: str, *, for_people: bool = False) -> None:
        """Writes the document.

        Args:
            text: The document. Programs get UTF-8, whatever the encoding of standard output: an escape sequence in
                its place could be read as part of a name.
            for_people: Whether people read it. They get standard output's own encoding.

        Raises:
            OutputError: It cannot be written.
            BrokenOutputPipeError: The reader closed the pipe.
        """
        if self.output is not None:
            self.write_file(self.output, text, overwrite=self.overwrite)
            return
        try:
            if for_people:
                _write(sys.stdout, text)
            else:
                _write_bytes(sys.stdout, _utf_8(text))
        except KeyboardInterrupt:
            silence(sys.stdout)  # if nobody reads it, Python would be stuck in it once more as it exits
            raise
        except OSError as error:
            raise unwritten(error) from error

    def write_file(self, path: str, text: str, *, overwrite: bool = True) -> None:
        """Writes a file, as a whole or not at all, and prints a note.

        Raises:
            OutputError: It cannot be written, or it exists and must not be replaced.
        """
        try:
            _store(Path(path), text, overwrite=overwrite)
        except FileExistsError as error:
            raise file_exists(path) from error
        except OSError as error:
            raise OutputError(_unwritable(path, error)) from error
        self.report_written(path)

    def append_file(self, path: str, text: str) -> None:
        """Appends to a file that other programs write to, too. A failure is only a warning."""
        try:
            with open_to_append(path) as file:
                file.write(_utf_8(text))
        except OSError as error:
            self.print_problems([_unwritable(path, error)], "warning")
        else:
            self.report_written(path)

    def report_written(self, path: str) -> None:
        """Prints that a file was written, unless it is a device or a pipe."""
        if Path(path).is_file():
            self.print_note(f"wrote {escape(path)}")

    def print_note(self, text: str) -> None:
        """Prints a note to standard error, unless the user asked for quiet."""
        if not self.quiet:
            self.print_error_text(text + "\n")

    def ask(self, what: str) -> None:
        """Asks at the terminal whether to apply changes to ``what``.

        Raises:
            ReconcilerError: There is no terminal, or the answer is not 'yes'.
        """
        if not sys.stdin.isatty():
            message = "there are changes to approve, but no terminal to ask on; nothing was written"
            hint = "`--auto-approve` applies without asking"
            raise ReconcilerError.of(message, kind=Kind.NOT_APPROVED, hint=hint)
        self.print_error_text(f"Apply these changes to {what}? Only 'yes' applies them: ")
        # A signal that arrives just before a read begins would not end it; the read would wait for the next key.
        while not select.select([sys.stdin], [], [], 0.5)[0]:
            pass
        if sys.stdin.readline().strip() != "yes":
            raise ReconcilerError.of("not approved; nothing was written", kind=Kind.NOT_APPROVED)

    def print_error_text(self, text: str) -> None:
        """Prints to standard error. If it is closed, the run goes on: it must end with the correct exit code."""
        try:
            _write(sys.stderr, text)
        except OSError:
            silence(sys.stderr)

    def print_problems(self, problems: Sequence[Problem], word: str = "error") -> None:
        """Prints errors or warnings to standard error, without secrets, unless they were already shown."""
        style = self.style_of(sys.stderr)
        if word == "error":
            self.failures += (problem.kind for problem in problems)
        unseen = [one for one in problems if one not in self.seen]
        # Masked before lines are wrapped: a secret in two pieces would not be found.
        for line in problems_text(self.redacted(unseen), word, style):
            self.print_error_text(self.redactor.redact(line) + "\n")

    def print_warnings(self, warnings: Sequence[Problem]) -> None:
        """Prints warnings to standard error, unless the user asked for quiet."""
        if not self.quiet:
            self.print_problems(warnings, "warning")

    def has_shown(self, problem: Problem) -> bool:
        """Whether the problem was already shown on standard error."""
        return problem in self.seen

    def mark_shown(self, problems: Iterable[Problem]) -> None:
        """Remembers that a document with these problems was written.

        They are not printed again if both streams are on terminals or, as text, end in one file or pipe. Otherwise the
        reader of the document may be another one than that of standard error.
        """
        on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        in_log = self.format is Format.TEXT and _share_target(sys.stdout, sys.stderr)
        if self.output is None and (on_terminal or in_log):
            self.seen.update(problems)

    def print_help(self) -> None:
        """Prints where the documentation explains the errors that were shown, if there were any."""
        if self.failures:
            for line in help_lines(self.failures):
                self.print_error_text(self.redactor.redact(line) + "\n")

    def notifier(self) -> Notifier:
        """How other layers print to the user. Their warnings are printed even if the user asked for quiet."""
        return Notifier(warn=lambda problem: self.print_problems([problem], "warning"), note=self.print_note)

    def redacted(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """The problems, with secrets in their messages masked."""
        return tuple(one.redacted(self.redactor.redact) for one in problems)

    def document_style(self) -> Style:
        """What the destination of the document can display."""
        return Style() if self.output else self.style_of(sys.stdout)

    def style_of(self, stream: TextIO) -> Style:
        """What a stream can display; ``NO_COLOR`` and ``FORCE_COLOR`` as on no-color.org and force-color.org."""
        wanted = not self.plain and not os.environ.get("NO_COLOR")
        able = bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")
        return Style(
            colour=wanted and able,
            arrow="→" if _can_show(stream, "→") else "->",
            width=_columns() if stream.isatty() else None,
        )


def _columns() -> int:
    from shutil import get_terminal_size  # here, because it imports archive formats

    return get_terminal_size().columns


def file_exists(path: str) -> OutputError:
    """The error for a file that exists and must not be replaced."""
    return OutputError(Problem(kind=Kind.OUTPUT_EXISTS, message=f"{path} exists already", hint="`--force` replaces it"))


def _unwritable(path: str, error: OSError) -> Problem:
    return Problem(kind=Kind.OUTPUT, message=f"cannot write {path}: {error.strerror}", hint=_OUTPUT_HINT)


def _store(target: Path, text: str, *, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_file()):
        # A device, a pipe, or a link of the system such as /dev/stdout; options refuse other links.
        with open_to_append(str(target), allow_pipe=True) as file:
            file.write(_utf_8(text))
        return
    from reconciler.manifest.files import replace_file

    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    replace_file(target, _utf_8(text), mode=mode, overwrite=overwrite)


def _umask() -> int:
    """The permissions that new files do not get. They can only be read by setting them."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def unwritten(error: OSError) -> OutputError:
    """The error for a standard output that cannot be written. It is replaced by /dev/null."""
    silence(sys.stdout)
    problem = Problem(kind=Kind.OUTPUT, message=f"cannot write to standard output: {error.strerror}")
    return (BrokenOutputPipeError if isinstance(error, BrokenPipeError) else OutputError)(problem)


def silence(stream: TextIO) -> None:
    """Sends what is left in a stream to /dev/null; Python would try to write it once more as it exits."""
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
    """A document as bytes. UTF-8 lacks only unpaired surrogates, which occur in file names."""
    return text.encode("utf-8", "backslashreplace")


def _share_target(first: TextIO, second: TextIO) -> bool:
    """Whether two streams end in the same file, pipe or socket, as after ``2>&1``."""
    try:
        return os.path.samestat(*(os.fstat(stream.fileno()) for stream in (first, second)))
    except OSError:  # one of them is not open
        return False


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
