"""``docs/watch.md`` and the help name the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.applying.lock import state_home

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

PAGE = (Path(__file__).parents[2] / "docs" / "watch.md").read_text(encoding="utf-8")


def test_help_and_page_name_the_same_state_directory(user: CliProcess) -> None:
    folder = state_home({}).relative_to(Path.home())
    assert f"`~/{folder}/watch`" in PAGE
    for command in ("watch", "status", "suspend", "resume"):
        shown = " ".join(user.run(command, "--help").out.split())
        assert f"{folder.name}/watch in XDG_STATE_HOME or ~/{folder.parent}." in shown
