"""Checks that the version, the changelog and, if given, the tag agree. Prints the version's section of the changelog.

Usage: ``release_notes.py [TAG]``
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

from reconciler.version import VERSION

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def release_notes(changelog: str, version: str, tag: str) -> str:
    """The section of the changelog about a version.

    Raises:
        ValueError: The tag is not the version's, or the changelog is not ready for it.
    """
    if tag not in ("", f"v{version}"):
        raise ValueError(f"the tag is {tag}, but reconciler/version.py has {version}: the tag must be v{version}")
    parts = re.split(r"^## \[(.+?)\](?: - (\S+))?\n", changelog, flags=re.MULTILINE)
    sections = {name: (date, text) for name, date, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)}
    if version not in sections:
        raise ValueError(f"CHANGELOG.md has no section `## [{version}] - DATE`")
    date, text = sections[version]
    try:
        datetime.date.fromisoformat(date or "")
    except ValueError:
        raise ValueError(f"CHANGELOG.md: `## [{version}]` needs the date of the release, such as 2026-11-26") from None
    if tag and sections.get("Unreleased", ("", ""))[1].strip():
        raise ValueError(f"CHANGELOG.md: move what is below `## [Unreleased]` into `## [{version}]`")
    for name in ("Unreleased", version):
        if not re.search(rf"^\[{re.escape(name)}\]: https://", changelog, re.MULTILINE):
            raise ValueError(f"CHANGELOG.md: the link `[{name}]: https://…` at the end is missing")
    return re.sub(r"^\[.+\]: .+\n", "", text, flags=re.MULTILINE).strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(release_notes(CHANGELOG.read_text(encoding="utf-8"), VERSION, "".join(sys.argv[1:])))
    except ValueError as error:
        sys.exit(f"error: {error}")
