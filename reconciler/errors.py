"""Every error that a user can see, with its exit code, and everything that describes a problem.

ReconcilerError                 1   something is wrong, and nothing (more) was done
├── ManifestError               1   a manifest or a trust file is wrong; has every problem, not just the first
├── NotTrustedError             1   a manifest uses what neither the built-in rules nor the trust file allow
├── SecretError                 1   a reference to a secret cannot be resolved
├── ApiError                    1   the server, or the network between
│   ├── UnreachableError            the request never arrived
│   ├── RejectedError               the server refused the request (4XX); nothing happened
│   │   └── NotFoundError           404: the account does not exist
│   └── OutcomeUnknownError         the request may or may not have taken effect
├── PlanError                   1   no safe plan exists for these manifests and this server
├── LockedError                 1   another run holds the lock of the server
├── StateError                  1   the watcher's state cannot be read or written
├── SourceError                 1   the watcher cannot get manifests, or must not use the newest ones
├── MissingExtraError           1   the command needs an extra that is not installed
├── StalePlanError              4   the saved plan no longer matches
├── OutputError                 1   a document cannot be written
│   └── BrokenOutputPipeError       the reader closed the pipe; the process ends as SIGPIPE would end it
└── GuardError                  5   a guard refused
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class ExitCode(IntEnum):
    """The exit code of the process.

    Attributes:
        meaning: What it tells the user; docs/exit-codes.md is made from it.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A member from a code and its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "Success. With `plan --detailed-exitcode`: no changes are needed."
    ERROR = (
        1,
        "An error, such as invalid YAML, a missing secret, or a server that cannot be reached or refuses a request.",
    )
    CHANGES = 2, "`plan --detailed-exitcode`: changes are needed."
    INCOMPLETE = 3, "Some changes or tests failed, were skipped or have an unknown outcome. The report lists them."
    STALE_PLAN = 4, "The saved plan no longer matches. Nothing was written."
    GUARD = 5, "A guard refused the plan: too many deletes, or an empty set. Nothing was written."
    USAGE = 64, "The command line is wrong."
    INTERRUPTED = 130, "Interrupted. The report lists what was done, what was not, and what is unknown."


class Kind(StrEnum):
    """Every kind of error and warning, in alphabetical order; docs/errors.md explains each.

    A rejection may have another kind: the server's own name for the error, which is a plain string.
    """

    ADDRESS_TAKEN = auto()
    ALIAS_BOMB = auto()
    ALIAS_LOOP = auto()
    AMBIGUOUS_ADDRESS = auto()
    AUTH_INHERITED = auto()
    AUTH_WITHOUT_URL = auto()
    BAD_IDENTITY = auto()
    BAD_KEY = auto()
    BAD_MERGE = auto()
    BAD_MESSAGE = auto()
    BAD_PLAN_FILE = auto()
    BAD_RESULT_FILE = auto()
    BAD_SECRET = auto()
    BAD_URL = auto()
    BINARY_FILE = auto()
    BROKER = auto()
    BUG = auto()
    CA_FILE = auto()
    CLIENT_CERT = auto()
    COMMANDS_NOT_ALLOWED = auto()
    CONFLICT = auto()
    CONNECT_TIMEOUT = auto()
    CONNECTION_FAILED = auto()
    CONNECTION_LOST = auto()
    CONNECTION_REFUSED = auto()
    CONTROL_CHARACTER = auto()
    CUT_OFF = auto()
    DEFAULT_OUTSIDE_ONLY = auto()
    DEMO = auto()
    DISK_FULL = auto()
    DNS = auto()
    DUPLICATE_ACCOUNT = auto()
    DUPLICATE_ID = auto()
    DUPLICATE_KEY = auto()
    DUPLICATE_NAME = auto()
    DUPLICATE_RENAMED_FROM = auto()
    DUPLICATE_SERVER = auto()
    EMPTY_FILE = auto()
    EMPTY_VALUE = auto()
    ENCODING = auto()
    ENGINE = auto()
    EXTENDS_CYCLE = auto()
    FORBIDDEN = auto()
    GIT_FAILED = auto()
    GIT_MISSING = auto()
    GIT_REF = auto()
    GIT_REWOUND = auto()
    GIT_SIGNATURE = auto()
    GIT_TIMEOUT = auto()
    GIT_URL = auto()
    GUARD_EMPTY = auto()
    GUARD_MAX_DELETES = auto()
    GUARD_MIN_SERVERS = auto()
    HEAL_LIMIT = auto()
    IGNORED_ACCOUNT = auto()
    INCOMPLETE_LIST = auto()
    INSECURE_HTTP = auto()
    INTERRUPTED = auto()
    INVALID_RESPONSE = auto()
    JOURNAL = auto()
    LEASE_LOST = auto()
    LITERAL_SECRET = auto()
    LOCKED = auto()
    MANIFESTS_DIFFER = auto()
    MISSING_EXTRA = auto()
    MISSING_KEY = auto()
    MISSING_SMTP_SERVER = auto()
    NO_CANARY = auto()
    NO_CREDENTIALS = auto()
    NO_DEFAULT = auto()
    NO_LOCK = auto()
    NO_SERVER = auto()
    NO_STATE = auto()
    NO_SUCH_FILE = auto()
    NO_WORKING_DIRECTORY = auto()
    NO_YAML_FILES = auto()
    NOT_A_BASE = auto()
    NOT_A_MANIFEST = auto()
    NOT_APPROVED = auto()
    NOT_FOUND = auto()
    NOT_OWN = auto()
    NOT_SENT = auto()
    NOT_SUSPENDED = auto()
    NOT_TRUSTED = auto()
    NOT_VERIFIED = auto()
    NOTHING_TO_OVERRIDE = auto()
    NOTHING_SELECTED = auto()
    NOTIFICATION = auto()
    NOTIFY_FILE = auto()
    ONLY_MEANS_NOTHING = auto()
    ORDER_CYCLE = auto()
    OUTPUT = auto()
    OUTPUT_EXISTS = auto()
    OUTSIDE_PATH = auto()
    PAGE_PORT = auto()
    PAGE_TOKEN = auto()
    PASSWORD_HIDDEN = auto()
    PASSWORD_MISSING = auto()
    PASSWORD_NEEDED = auto()
    PASSWORD_UNKNOWN = auto()
    PASSWORD_UNUSED = auto()
    PASSWORDS_NOT_COMPARED = auto()
    PERMISSION_DENIED = auto()
    PIN_NOT_FOUND = auto()
    PLACEHOLDER = auto()
    PORT_MISMATCH = auto()
    PROTECTED = auto()
    PROXY = auto()
    REDIRECT = auto()
    REFRESH_TOKEN_LOST = auto()
    REFRESH_TOKEN_REPLACED = auto()
    REJECTED = auto()
    RENAME_SOURCE_MISSING = auto()
    RENAME_SOURCE_TAKEN = auto()
    RENAMED_BOTH_EXIST = auto()
    RENAMED_TO_ITSELF = auto()
    ROLLOUT_PAUSED = auto()
    ROLLOUT_STOPPED = auto()
    ROLLOUT_WAITS = auto()
    SANDBOX_DATABASE = auto()
    SANDBOX_FILE = auto()
    SANDBOX_PORT = auto()
    SANDBOX_SEED = auto()
    SECRET_COMMAND = auto()
    SECRET_DESTINATION = auto()
    SECRET_EMPTY = auto()
    SECRET_FILE = auto()
    SECRET_UNSET = auto()
    SERVER_ERROR = auto()
    SEVERAL_DEFAULTS = auto()
    SEVERAL_DOCUMENTS = auto()
    SEVERAL_SERVERS = auto()
    SKIPPED_FILE = auto()
    STALE_PLAN = auto()
    STATE = auto()
    STATE_VERSION = auto()
    SUSPENDED = auto()
    SYNTAX = auto()
    TAG = auto()
    TEST_WITHOUT_ADDRESS = auto()
    TIMEOUT = auto()
    TLS = auto()
    TLS_SETTING_NOT_USED = auto()
    TO_EMAIL_NOT_USED = auto()
    TOO_DEEP = auto()
    TOO_LARGE = auto()
    TOO_MANY_REQUESTS = auto()
    UNAUTHORIZED = auto()
    UNDEFINED_VARIABLE = auto()
    UNKNOWN_ALIAS = auto()
    UNKNOWN_KEY = auto()
    UNKNOWN_SERVER = auto()
    UNREADABLE = auto()
    URL_NOT_APPROVED = auto()
    URL_OVERRIDDEN = auto()
    USAGE = auto()
    VARIABLE_NOT_ALLOWED = auto()
    WRONG_AUTH = auto()
    WRONG_TYPE = auto()
    WRONG_VALUE = auto()


_KINDS: Final = {kind.value: kind for kind in Kind}


def kind_of(name: str) -> str:
    """The ``Kind`` of that name, or the name itself if it is a server's own."""
    return _KINDS.get(name, name)


class Position(NamedTuple):
    """A place in a file.

    Attributes:
        file: The file, as the user named it.
        line: Counted from 1; ``None`` for the file as a whole.
        column: Counted from 1; likewise.
    """

    file: str
    line: int | None = None
    column: int | None = None

    @property
    def full(self) -> str:
        """As compilers write it: ``accounts.yaml:7:5``."""
        return ":".join(str(part) for part in self if part is not None)

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: A ``Kind``, or the server's own name for an error.
        message: What is wrong, with the value that was found unless it may be a secret.
        hint: What to do about it; empty if the message says so.
        address: The email account that it is about.
        position: Where it is; ``None`` if it is in no file.
    """

    kind: str
    message: str
    hint: str = ""
    address: str | None = None
    position: Position | None = None

    def redacted(self, redact: Callable[[str], str]) -> Self:
        """The problem with secrets masked."""
        return replace(self, message=redact(self.message), hint=redact(self.hint))

    def __str__(self) -> str:
        return f"{self.position.full}: {self.message}" if self.position else self.message


def file_order(problem: Problem) -> tuple[str, int, int]:
    """Sorts problems by file, line and column."""
    file, line, column = problem.position or ("", None, None)
    return (file, line or 0, column or 0)


class InvalidValueError(ValueError):
    """A value has the right type but is not allowed.

    Attributes:
        message: What is wrong, without the value.
        hint: What to write instead.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ReconcilerError(Exception):
    """The base of all errors that a user can cause. Any other exception is a bug."""

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, *problems: Problem) -> None:
        """Takes at least one problem."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems

    @classmethod
    def of(cls, message: str, *, kind: str, hint: str = "") -> Self:
        """The error for a single problem."""
        return cls(Problem(kind=kind, message=message, hint=hint))

    @property
    def reason(self) -> str:
        """The messages, as part of a sentence in a report."""
        return "; ".join(problem.message for problem in self.problems)


class ManifestError(ReconcilerError):
    """A manifest or a trust file is wrong."""


class NotTrustedError(ReconcilerError):
    """A manifest uses something that it may not use. Nothing was resolved, run or sent."""


class SecretError(ReconcilerError):
    """A secret reference cannot be resolved."""


class ApiError(ReconcilerError):
    """The server, or the network between, failed.

    Attributes:
        transient: Whether another attempt may succeed.
        retry_after: Seconds to wait before the next attempt, if the server says so.
    """

    def __init__(
        self,
        *problems: Problem,
        transient: bool = False,
        retry_after: float | None = None,
        is_outage: bool | None = None,
    ) -> None:
        """Takes ``is_outage`` if it does not follow from ``transient``, as other attempts were made before."""
        super().__init__(*problems)
        self.transient = transient
        self.retry_after = retry_after
        self._is_outage = is_outage

    @property
    def is_unreached(self) -> bool:
        """Whether the request did not reach the server, or a proxy in front of it could not pass it on."""
        return isinstance(self, UnreachableError) or (self.transient and not isinstance(self, RejectedError))

    @property
    def is_outage(self) -> bool:
        """Whether the server is down or out of reach for now. A refusal is no outage, and neither is a mistake.

        Mistakes are, for example, a wrong URL, a certificate that is not trusted, a redirect, and a page of HTML.
        """
        if self._is_outage is not None:
            return self._is_outage
        return self.transient and not isinstance(self, RejectedError)


class UnreachableError(ApiError):
    """The request never arrived: nothing happened on the server."""


class RejectedError(ApiError):
    """The server refused the request (4XX): nothing happened on the server."""


class WithheldError(RejectedError):
    """The run's fence kept the request from being sent: nothing happened on the server, and it was not asked."""


class NotFoundError(RejectedError):
    """The account does not exist on the server."""


class OutcomeUnknownError(ApiError):
    """The request may or may not have taken effect: timeout, reset, 5XX, or an invalid response."""


class PlanError(ReconcilerError):
    """No safe plan exists for these manifests and this server."""


class LockedError(ReconcilerError):
    """Another run holds the lock of the server."""


class StateError(ReconcilerError):
    """The watcher's state directory cannot be read or written."""


class SourceError(ReconcilerError):
    """The source of manifests cannot be reached, or its newest version must not be used."""


class StalePlanError(ReconcilerError):
    """The saved plan differs from what would be done now."""

    exit_code = ExitCode.STALE_PLAN


class OutputError(ReconcilerError):
    """A document cannot be written."""


class BrokenOutputPipeError(OutputError):
    """The reader closed standard output, as ``head`` does when it has enough lines."""


class MissingExtraError(ReconcilerError, ImportError):
    """An optional part of this program is not installed."""


class GuardError(ReconcilerError):
    """A guard refused: too many deletes, or an empty set."""

    exit_code = ExitCode.GUARD


def internal_error(bug: Exception) -> str:
    """A bug as part of a sentence in a report. Its own message may contain a secret."""
    return f"internal error ({type(bug).__name__})"
