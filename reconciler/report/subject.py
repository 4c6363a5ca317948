"""What a document is about, and the circumstances it is written in: what every renderer is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from reconciler.model.outcome import ServerStatus
from reconciler.report.forge import NO_FORGE, CIEnvironment
from reconciler.report.style import Style

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.errors import Problem
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server

DocumentKind: TypeAlias = Literal["validation", "plan", "result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInput:
    """A plan, or why there is none.

    Attributes:
        errors: Why planning failed as a whole, where ``plan`` is ``None``.
    """

    plan: Plan | None
    errors: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSubject:
    """What became of an ``apply`` or a ``test``, or why there was none.

    Attributes:
        errors: Why nothing was begun, where ``report`` is ``None``.
        server: The server that it was meant for, if that is known.
        status: The outcome for this server, where ``report`` is ``None``.
    """

    report: Report | None
    errors: tuple[Problem, ...] = ()
    server: Server | None = None
    status: ServerStatus = ServerStatus.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationInput:
    """Whether the YAML is valid.

    Attributes:
        accounts: How many it declares; ``None`` where it is not valid.
    """

    accounts: int | None
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The circumstances of a document.

    Attributes:
        started_at: When the run began, in UTC.
        finished_at: When it ended; for a plan, the same.
        style: What the document's destination can show.
        verbose: Whether what stays as it is belongs in it too.
        forge: The build server that the run is on.
    """

    started_at: datetime
    finished_at: datetime
    style: Style = field(default_factory=Style)
    verbose: bool = False
    forge: CIEnvironment = NO_FORGE
