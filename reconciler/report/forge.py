"""The build server that a run is on, as its environment variables describe it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class CIEnvironment:
    """GitHub Actions, GitLab CI, or neither.

    Attributes:
        root: Folder of the checked-out repository; places in reports are relative to it.
        run_url: The page of this run; empty where there is none.
        summary_file: Where GitHub collects the Markdown of a job's summary; empty elsewhere.
    """

    root: str = ""
    run_url: str = ""
    summary_file: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Reads the variables that GitHub and GitLab document.

        https://docs.github.com/actions/reference/workflows-and-actions/variables and
        https://docs.gitlab.com/ci/variables/predefined_variables/ have them.
        """
        github = [environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        return cls(
            root=environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR") or "",
            run_url="{}/{}/actions/runs/{}".format(*github) if all(github) else environ.get("CI_JOB_URL", ""),
            summary_file=environ.get("GITHUB_STEP_SUMMARY", ""),
        )

    def path(self, file: str) -> str:
        """``file``, as the user named it, as the forge names it: relative to the repository, with ``/``."""
        if self.root:
            try:
                return Path(file).resolve().relative_to(Path(self.root).resolve()).as_posix()
            except (ValueError, OSError):
                pass
        return Path(file).as_posix()


NO_FORGE = CIEnvironment()
