"""No command overwrites a file that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from reconciler.cli import cli, main
from reconciler.commands.parameters import FILE_NAME, OUTPUT_FILE, OWN_FILES, OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ARGUMENTS = {"name": "b001", "document": "plan", "paths": "fleet"}
MANIFEST = """\
version: 1
extends: ../base.yaml
server:
  name: b001
  url: https://b001.example.com
  auth: {refresh_token: {file: key}}
  ca_file: ca.pem
accounts: []
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command


def command_lines() -> Iterator[list[str]]:
    """For each file that a command reads, and each that it writes: a line that names one file for both."""
    for name, command in commands():
        written = [one for one in command.params if isinstance(one.type, OutputFile)]
        for read in (one for one in command.params if one.type is FILE_NAME):
            for output in written:
                given = {**ARGUMENTS, **({read.name: "input"} if isinstance(read, click.Argument) else {})}
                words = [given[one.name or ""] for one in command.params if isinstance(one, click.Argument)]
                option = [] if isinstance(read, click.Argument) else [read.opts[0], "input"]
                yield [name, *words, *option, output.opts[-1], "input"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "b001.yaml").write_text(MANIFEST)
    for name in ("input", "base.yaml", "fleet/key", "fleet/ca.pem"):
        (tmp_path / name).write_text("base: true\nversion: 1\n")


def refuses(line: Sequence[str], words: str, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether a command line is refused with these words, and changes no file."""
    before = contents()
    with pytest.raises(SystemExit) as ended:
        main(line)
    return (ended.value.code, words in capsys.readouterr().err, contents()) == (64, True, before)


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("line", [*command_lines()], ids=" ".join)
def test_a_file_of_the_command_line_is_not_overwritten(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert refuses(line, f"{line[-2]} names a file that is read: input.", capsys)


@pytest.mark.parametrize("name", ["base.yaml", "fleet/key", "fleet/ca.pem", "fleet/b001.yaml"])
@pytest.mark.parametrize("line", ["validate fleet", "show b001 fleet", "plan fleet", "apply fleet", "test fleet"])
def test_a_file_of_the_manifests_is_not_overwritten(line: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refuses([*line.split(), "--output", name], f"--output names a file that is read: {name}.", capsys)


def test_the_state_of_a_watcher_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.sqlite").write_text("state")
    line = ["status", "--state-dir", "state", "--output", "state/state.sqlite"]
    assert refuses(line, "--output names a file that is read: state/state.sqlite.", capsys)


def test_an_export_with_force_replaces_no_file_that_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    trust = f"version: 1\nservers: [{{url: 'https://b001.example.com', files: ['{tmp_path}/fleet/*']}}]\n"
    (tmp_path / "out" / "b001.yaml").write_text(trust)
    line = ["export", "fleet", "--output-dir", "out", "--force", "--trust", "out/b001.yaml"]
    assert refuses(line, "--output-dir names a file that is read: out/b001.yaml.", capsys)


def test_every_option_for_a_file_says_whether_it_is_read_or_written() -> None:
    kinds = (FILE_NAME, OUTPUT_FILE, OWN_FILES)
    unclear = [
        f"{name} {one.opts[0]}"
        for name, command in commands()
        for one in command.params
        if one.metavar in {"FILE", "DIR", "RESULT", "PATH...", "[PATH]...", "[PATH]"}
        if one.type not in kinds and not isinstance(one.type, OutputFile) and one.name != "path"  # of a repository
    ]
    assert unclear == []
