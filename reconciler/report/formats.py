"""Which document comes in which format, and what every renderer is given."""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from reconciler.errors import Problem
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan

DocumentKind: TypeAlias = Literal["validation", "plan", "report", "status"]


class Format(StrEnum):
    """The values of ``--format``."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    GITHUB = "github"
    GITLAB = "gitlab"
    JUNIT = "junit"
    TFPLAN = "tfplan"


VALIDATION_FORMATS: Final = (Format.TEXT, Format.JSON, Format.GITHUB, Format.GITLAB)
PLAN_FORMATS: Final = (
    Format.TEXT,
    Format.JSON,
    Format.MARKDOWN,
    Format.HTML,
    Format.GITHUB,
    Format.GITLAB,
    Format.TFPLAN,
)
RESULT_FORMATS: Final = (
    Format.TEXT,
    Format.JSON,
    Format.MARKDOWN,
    Format.GITHUB,
    Format.GITLAB,
    Format.JUNIT,
)
STATUS_FORMATS: Final = (Format.TEXT, Format.JSON)


class ValidationInput(NamedTuple):
    """Whether the YAML is valid.

    Attributes:
        accounts: The number of declared accounts; ``None`` if the YAML is not valid.
        servers: The number of declared servers.
    """

    accounts: int | None
    servers: int = 1
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()

    @property
    def line(self) -> str:
        """How many accounts are valid; ``Not valid.`` if the YAML is not."""
        if self.accounts is None:
            return "Not valid."
        where = f" on {self.servers:,} servers" if self.servers > 1 else ""
        return f"Valid: {self.accounts:,} account{'' if self.accounts == 1 else 's'}{where}."


class PlanInput(NamedTuple):
    """The plans of all servers, or why there are none.

    Attributes:
        plans: One for each server; a server that could not be planned has a plan with errors.
        errors: Why there are none.
        of_fleet: Whether the servers are part of a fleet, however few of them were selected.
    """

    plans: tuple[Plan, ...] = ()
    errors: tuple[Problem, ...] = ()
    of_fleet: bool = False

    @property
    def plan(self) -> Plan | None:
        """The plan of the only server."""
        return self.plans[0] if self.plans and not self.of_fleet else None


class ReportInput(NamedTuple):
    """The reports of an ``apply`` or a ``test`` on all servers, or why the run did not start.

    Attributes:
        reports: One for each server, even if the run did not start there.
        errors: Why there are none.
        of_fleet: As in ``PlanInput``.
        warnings: What does not stop the run. They were printed; only programs get them in the document too.
    """

    reports: tuple[Report, ...] = ()
    errors: tuple[Problem, ...] = ()
    of_fleet: bool = False
    warnings: tuple[Problem, ...] = ()

    @property
    def report(self) -> Report | None:
        """The report of the only server, if the run started there."""
        is_known = self.reports and not self.of_fleet and self.reports[0].not_started is None
        return self.reports[0] if is_known else None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why the run did not start, or what is wrong with each server, apart from single accounts."""
        return (*self.errors, *(problem for report in self.reports for problem in report.errors))


class StatusInput(NamedTuple):
    """The state of a watched fleet, or why it is not known.

    Attributes:
        servers: As the watcher's API lists them.
        notices: What is wrong with the watcher or its source, likewise.
        is_running: Whether the watcher is running; ``None`` if that is not known.
        last_check: When it last checked a server; ``None`` if that is not known.
    """

    servers: Sequence[Mapping[str, Any]] = ()
    notices: Sequence[Mapping[str, Any]] = ()
    is_running: bool | None = None
    last_check: datetime | None = None
    errors: tuple[Problem, ...] = ()


class Style(NamedTuple):
    """What a terminal can show.

    Attributes:
        colour: Whether to use ANSI colours.
        arrow: The sign between before and after; ``->`` if the code page has no ``→``.
        width: Columns of the terminal; ``None`` if lines may have any length, as in a file or a pipe.
    """

    colour: bool = False
    arrow: str = "→"
    width: int | None = None

    def paint(self, text: str, colour: str) -> str:
        """``text`` in a colour if the terminal has colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and colour else text


_CODES: Final = {"green": 32, "yellow": 33, "red": 31, "cyan": 36, "bold": 1, "dim": 2}


class CIEnvironment(NamedTuple):
    """The build server that a run is on: GitHub Actions, GitLab CI, or neither.

    Attributes:
        root: Folder of the checked-out repository; paths in reports are relative to it.
        run_url: The page of this run; empty if there is none.
        summary_file: Where GitHub collects the Markdown of a job's summary; empty elsewhere.
    """

    root: str = ""
    run_url: str = ""
    summary_file: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Reads the variables that GitHub and GitLab document.

        Sources: https://docs.github.com/actions/reference/workflows-and-actions/variables and
        https://docs.gitlab.com/ci/variables/predefined_variables/.
        """
        github = [environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        return cls(
            root=environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR") or "",
            run_url="{}/{}/actions/runs/{}".format(*github) if all(github) else environ.get("CI_JOB_URL", ""),
            summary_file=environ.get("GITHUB_STEP_SUMMARY", ""),
        )

    def path(self, file: str) -> str:
        """A path that the user gave, relative to the repository, and with ``/``."""
        if self.root:
            try:
                return Path(file).resolve().relative_to(Path(self.root).resolve()).as_posix()
            except (ValueError, OSError):
                pass
        return Path(file).as_posix()


class RenderContext(NamedTuple):
    """What a document depends on besides its input.

    Attributes:
        started_at: When the run began, in UTC.
        finished_at: When it ended; for a plan, the same.
        style: What the terminal can show that the document goes to.
        verbose: Whether to include what stays as it is.
    """

    started_at: datetime
    finished_at: datetime
    style: Style = Style()
    verbose: bool = False
    ci: CIEnvironment = CIEnvironment()


def renderer(kind: DocumentKind, chosen: Format) -> Callable[[Any, RenderContext], str]:
    """The function that renders a document in one of its formats; its module is imported on first use.

    It takes the input of the same name, such as ``PlanInput``, and the context.
    """
    module = importlib.import_module(f"reconciler.report.{chosen}")
    found: Callable[[Any, RenderContext], str] = getattr(module, f"render_{kind}")
    return found
