"""Completion in real shells; ``docs/completion.md`` says how to set it up."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.cli_runner import CliProcess
from tests.support.terminal import Terminal
from tests.support.workflow_runner import ROOT, TOOLS

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    *("validate", "plan", "apply", "test", "export", "show", "trust", "watch", "worker", "status", "suspend", "resume"),
    *("schema", "sandbox", "demo"),
]


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def environment(folder: Path, **more: str) -> dict[str, str]:
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(folder), "PATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


def script(name: str, folder: Path) -> Path:
    path = folder / f"completion.{name}"
    path.write_text(CliProcess(folder).run(environ={"_RECONCILER_COMPLETE": f"{name}_source"}).out, encoding="utf-8")
    return path


def complete(folder: Path, words: str) -> list[str]:
    """What click offers a shell at the end of ``words``, as type and value."""
    position = len(words.split()) - (not words.endswith(" "))
    asked = {"_RECONCILER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    done = CliProcess(folder).run(environ=asked)
    assert (done.code, done.err) == (0, "")
    return done.out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("reconciler ", [f"plain,{one}" for one in COMMANDS]),
        ("reconciler pl", ["plain,plan"]),
        ("reconciler plan --det", ["plain,--detailed-exitcode"]),
        ("reconciler plan --format j", ["plain,json"]),
        ("reconciler apply --on-failure ", ["plain,continue", "plain,stop", "plain,rollback"]),
        ("reconciler schema ", ["plain,manifest", "plain,plan", "plain,result"]),
        ("reconciler plan acc", ["file,acc"]),
        ("reconciler plan a.yaml --save pl", ["file,pl"]),
        ("reconciler apply --plan pl", ["file,pl"]),
        ("reconciler apply --journal j", ["file,j"]),
        ("reconciler export --refresh-token-file k", ["file,k"]),
        ("reconciler export -o k", ["file,k"]),
        ("reconciler demo a", ["file,a"]),
        ("reconciler sandbox --seed s", ["file,s"]),
        ("reconciler nonsense --fo", []),
    ],
)
def test_what_is_offered(tmp_path: Path, words: str, offered: list[str]) -> None:
    assert complete(tmp_path, words) == offered


def on_terminal(name: str, folder: Path) -> Terminal:
    (folder / "accounts.yaml").touch()
    flags = {"bash": ["--noprofile", "--norc", "-i"], "zsh": ["-f", "-i"]}[name]
    setup = {"bash": "bind 'set enable-bracketed-paste off';", "zsh": "autoload -U compinit; compinit -D -u;"}[name]
    terminal = Terminal([shell(name), *flags], folder, environment(folder))
    terminal.type(f"{setup} . {script(name, folder)}; PS1='ready'\"> \"\n")
    terminal.wait_for("ready> ")
    return terminal


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_tab_key_completes_commands_options_and_files(name: str, tmp_path: Path) -> None:
    with on_terminal(name, tmp_path) as terminal:
        for keys, line in (
            ("reconciler pl\t", "reconciler plan "),
            ("--det\t", "--detailed-exitcode "),
            ("--format jso\t", "--format json "),
            ("acc\t", "accounts.yaml "),
        ):
            terminal.type(keys)
            terminal.wait_for(line)


def test_fish_completes_commands_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "accounts.yaml").touch()
    source = script("fish", tmp_path)
    lines = ["reconciler pl", "reconciler plan --det", "reconciler plan --format jso", "reconciler plan acc"]
    asked = "; ".join(f"complete -C '{line}'" for line in lines)
    done = subprocess.run(
        [shell("fish"), "--no-config", "-c", f"source {source}; {asked}"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert found == ["plan", "--detailed-exitcode", "json", "accounts.yaml"]


def test_the_page_shows_the_lines_for_each_shell() -> None:
    page = (ROOT / "docs" / "completion.md").read_text(encoding="utf-8")
    assert [name for name in ("bash", "zsh", "fish") if f"_RECONCILER_COMPLETE={name}_source reconciler" in page] == [
        "bash",
        "zsh",
        "fish",
    ]
