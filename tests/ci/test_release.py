"""The release: the version, the changelog and the tag agree, and the workflow publishes what was built and tested."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from reconciler.version import VERSION
from tests.support.workflow_runner import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]

READY = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-26

### Added

- Something.

## [1.1.0] - 2026-01-01

[Unreleased]: https://example.com/compare/v1.2.0...HEAD
[1.2.0]: https://example.com/v1.2.0
"""


@pytest.fixture(scope="module")
def release_notes() -> Callable[[str, str, str], str]:
    script = runpy.run_path(str(ROOT / ".ci" / "release_notes.py"))
    return cast("Callable[[str, str, str], str]", script["release_notes"])


def test_the_changelog_has_notes_for_this_version(release_notes: Callable[[str, str, str], str]) -> None:
    assert "### Added" in release_notes(CHANGELOG, VERSION, "")


def test_the_notes_are_the_section_of_the_version(release_notes: Callable[[str, str, str], str]) -> None:
    assert release_notes(READY, "1.2.0", "v1.2.0") == "### Added\n\n- Something.\n"


@pytest.mark.parametrize(
    ("change", "version", "tag", "error"),
    [
        (("", ""), "1.2.0", "v1.2.1", "the tag is v1.2.1, but reconciler/version.py has 1.2.0: the tag must be v1.2.0"),
        (("", ""), "1.3.0", "v1.3.0", "CHANGELOG.md has no section `## [1.3.0] - DATE`"),
        (
            (" - 2026-11-26", ""),
            "1.2.0",
            "",
            "CHANGELOG.md: `## [1.2.0]` needs the date of the release, such as 2026-11-26",
        ),
        (
            ("## [1.2.0]", "- New.\n\n## [1.2.0]"),
            "1.2.0",
            "v1.2.0",
            "CHANGELOG.md: move what is below `## [Unreleased]` into `## [1.2.0]`",
        ),
        (
            ("[1.2.0]: https://example.com/v1.2.0\n", ""),
            "1.2.0",
            "",
            "CHANGELOG.md: the link `[1.2.0]: https://…` at the end is missing",
        ),
    ],
)
def test_a_release_that_is_not_ready_is_refused(
    release_notes: Callable[[str, str, str], str], change: tuple[str, str], version: str, tag: str, error: str
) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message follows
        release_notes(READY.replace(*change), version, tag)
    assert str(raised.value) == error


def test_nothing_is_published_before_everything_is_built_and_attested() -> None:
    assert {name: job.get("needs") for name, job in JOBS.items()} == {
        "build": None,
        "attest": "build",
        "image": "build",
        "publish": ["build", "attest", "image"],
        "release": "publish",
    }
    assert [name for name, job in JOBS.items() if job.get("environment") == "release"] == ["image", "publish"]


def test_a_job_of_the_release_has_only_the_permissions_that_it_needs() -> None:
    assert {name: set(job["permissions"]) for name, job in JOBS.items()} == {
        "build": {"contents"},
        "attest": {"id-token", "attestations"},
        "image": {"contents", "packages", "id-token", "attestations"},
        "publish": {"id-token"},
        "release": {"contents"},
    }
    assert JOBS["build"]["permissions"] == {"contents": "read"}
