"""Every block of code on every page is valid, and every command on a page does what the page shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from configparser import ConfigParser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
import yaml

from reconciler.errors import ReconcilerError
from reconciler.manifest.trust import read_trust
from tests.support.linters import lint, lint_kubernetes, lint_schema
from tests.support.page_world import PageWorld
from tests.support.pages import PAGES, ROOT, Block, blocks, code_spans, is_known, options, parse, reconciler_commands
from tests.support.promtool import promtool
from tests.support.workflow_runner import tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSandbox

IDS = [str(page.relative_to(ROOT)) for page in PAGES]
TO_FOLLOW = [page for page in PAGES if any(block.language in ("console", "yaml") for block in blocks(page))]


def check_shell(block: Block, _: Path) -> None:
    script = block.script
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    check_commands(script)


def check_commands(script: str) -> None:
    for arguments in reconciler_commands(script):
        try:
            parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"reconciler {' '.join(arguments)}: {error.format_message()}")


def lint_workflow(path: Path) -> str:
    return lint(tool("actionlint"), "-no-color", path) + lint_schema("vendor.github-workflows", path)


def lint_trust(path: Path) -> str:
    read_trust(str(path))
    return ""


KINDS: list[tuple[str, Callable[[Path], str]]] = [
    (r"\.github/workflows/[^/]+\.yml", lint_workflow),
    (r"(.*/)?\.pre-commit-config\.yaml", lambda path: lint(tool("pre-commit"), "validate-config", path)),
    (r"(.*/)?[\w-]*\.gitlab-ci\.yml", partial(lint_schema, "vendor.gitlab-ci")),
    (r"(.*/)?(docker-)?compose\.ya?ml", partial(lint_schema, "vendor.compose-spec")),
    (r"(.*/)?prometheus\.yml", lambda path: lint(promtool(), "check", "config", "--syntax-only", path)),
    (r"(.*/)?alerts\.ya?ml", lambda path: lint(promtool(), "check", "rules", path)),
    (r"(.*/)?[\w-]*trust[\w-]*\.ya?ml", lint_trust),
]
"""How a YAML file is checked, by its name. Those of Kubernetes name their kind; all others are manifests."""


def yaml_check(block: Block) -> Callable[[Path], str] | None:
    """The check of a YAML file; ``None`` for a manifest."""
    documents = [*yaml.safe_load_all(block.text)]
    if any(isinstance(one, dict) and "apiVersion" in one for one in documents):
        return lint_kubernetes
    return next((check for pattern, check in KINDS if re.fullmatch(pattern, block.name or "")), None)


def scripts(value: object) -> list[str]:
    """The scripts inside a workflow or a pipeline."""
    if isinstance(value, list):
        return [script for one in value for script in scripts(one)]
    if not isinstance(value, dict):
        return []
    found: list[str] = []
    for key, one in value.items():
        if key in ("run", "script", "before_script", "after_script"):
            found += [one] if isinstance(one, str) else one if isinstance(one, list) else []
        found += scripts(one)
    return found


def check_yaml(block: Block, folder: Path) -> None:
    check = yaml_check(block)
    if check:
        path = folder / Path(block.name or "file.yaml").name
        path.write_text(block.text, encoding="utf-8")
        assert check(path) == ""
    for document in yaml.safe_load_all(block.text):
        check_commands("\n".join(str(script) for script in scripts(document)))


def check_ini(block: Block, folder: Path) -> None:
    """A unit of systemd: its syntax, its settings, and the commands that it starts."""
    units = ConfigParser(strict=False, interpolation=None)
    units.optionxform = str  # type: ignore[method-assign, assignment]
    units.read_string(block.text)
    check_commands("\n".join(re.findall(r"^Exec\w+=((?:.*\\\n)*.*)$", block.text, re.MULTILINE)))
    if block.name and block.name.endswith((".service", ".timer")) and shutil.which("systemd-analyze"):
        path = folder / Path(block.name).name
        path.write_text(re.sub(r"/opt/reconciler/bin/reconciler", "/bin/true", block.text), encoding="utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
        )
        assert done.stderr == ""


CHECKS: dict[str, Callable[[Block, Path], object]] = {
    "console": check_shell,
    "diff": lambda block, _: block.text.startswith("--- a/") or pytest.fail("name the files: --- a/FILE"),
    "ini": check_ini,
    "json": lambda block, _: json.loads(block.text),
    "nginx": lambda block, _: block.may_run and pytest.fail("nothing here can check it; say so: <!-- not run: … -->"),
    "python": lambda block, _: compile(block.text, "page", "exec"),
    "sh": check_shell,
    "text": lambda *_: None,
    "yaml": check_yaml,
}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_is_valid(page: Path, tmp_path: Path) -> None:
    check_blocks(page, tmp_path)


WRONG = (AssertionError, ValueError, SyntaxError, ReconcilerError, yaml.YAMLError, pytest.fail.Exception)


def check_blocks(page: Path, folder: Path) -> None:
    for block in blocks(page):
        try:
            assert block.language in CHECKS, f"no check for the language {block.language!r}"
            CHECKS[block.language](block, folder)
        except (
            AssertionError,
            ValueError,
            SyntaxError,
            ReconcilerError,
            yaml.YAMLError,
            pytest.fail.Exception,
        ) as error:
            pytest.fail(f"{page.name}, line {block.line}: {error}", pytrace=False)


@pytest.mark.pages
@pytest.mark.parametrize("page", TO_FOLLOW, ids=[str(page.relative_to(ROOT)) for page in TO_FOLLOW])
def test_every_command_does_what_the_page_shows(page: Path, tmp_path: Path, make_sandbox: MakeSandbox) -> None:
    follow_page(page, tmp_path, make_sandbox)


def follow_page(page: Path, folder: Path, make_sandbox: MakeSandbox) -> None:
    """Does what a page says, in its order. Manifests are validated when all of those in a row are there."""
    with PageWorld(page.read_text(encoding="utf-8"), folder, make_sandbox) as world:
        manifests: dict[str, Block] = {}
        for block in [*blocks(page), None]:
            at = block
            try:
                if not (block and block.language in ("yaml", "text")):
                    for name, at in manifests.items():  # noqa: B007 - for the message
                        world.validate(name)
                    manifests.clear()
                at = block
                if block and block.language == "yaml" and not yaml_check(block):
                    add_manifest(block, manifests, world)
                elif block and block.may_run:
                    follow(block, world)
            except AssertionError as error:
                pytest.fail(f"{page.name}, line {at and at.line}: {error}", pytrace=False)


def add_manifest(block: Block, manifests: dict[str, Block], world: PageWorld) -> None:
    """Writes a manifest, to be validated when its whole set is there; one that is not run does not stay."""
    name = world.write_manifest(block)
    if block.may_run:
        manifests[name] = block
    else:
        world.validate(name)
        world.remove(block.name or name)


def follow(block: Block, world: PageWorld) -> None:
    """Does what a block says."""
    if block.language in ("yaml", "sh", "ini") and block.name:
        world.write(block.name, block.text)
    elif block.language == "diff":
        world.patch(block.text)
    elif block.language == "console":
        steps = block.steps
        for step, after in zip(steps, [*steps[1:], None], strict=True):
            if step.command == "echo $?":
                continue
            code = int(after.output[0]) if after and after.command == "echo $?" else 0
            world.run(step.command, step.output, code)


OTHERS = {
    "--check",
    "--doit",
    "--checksum",
    "--force",
    "--confirm",
    "--maximum-removal-delta",
    "--min-admins",
    "--require-self",
}
"""Options of other programs, which the pages compare this one with."""
OF_NOW = [page for page in PAGES if page.name != "CHANGELOG.md"]


@pytest.mark.parametrize("page", OF_NOW, ids=[str(page.relative_to(ROOT)) for page in OF_NOW])
def test_options_and_commands_in_the_text_exist(page: Path) -> None:
    spans = code_spans(page)
    named = [re.split(r"[ =]", span)[0] for span in spans if span.startswith("--")]
    assert [span for span in spans if (words := span.split())[:1] == ["reconciler"] and not is_known(words)] == []
    assert [name for name in named if name not in options() | OTHERS] == []


MANIFEST = "```yaml\n# a.yaml\nversion: 1\naccounts: [{email: a@example.com, name: A, service: gmail}]\n```\n\n"
SANDBOX = "```console\n$ reconciler sandbox --empty\n```\n\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```\nx\n```", "no check for the language ''"),
        ("text\n\n    reconciler plan", "no check for the language ''"),
        ("```ruby\nx\n```", "no check for the language 'ruby'"),
        ("- a list\n\n  ```console\n  $ reconciler plan a.yaml --jsn\n  ```", "No such option '--jsn'"),
        ("```console\noutput\n```", "a console begins with a command"),
        ("```sh\nif\n```", "syntax error"),
        ("<!-- not run: no server -->\n\n```sh\nFOO=1 reconciler plan --outputs\n```", "'--outputs'"),
        ("```sh\necho | sudo /opt/bin/reconciler pln\n```", "no command 'pln'"),
        ("```sh\nreconciler plan \\\n  --format nice > out.txt 2>&1\n```", "'nice' is not one of"),
        ("```json\n{'a': 1}\n```", "line 1: Expecting"),
        ("```python\nif\n```", "invalid syntax"),
        ("```yaml\n# .github/workflows/a.yml\non: {push: {}}\njobs: {a: {steps: []}}\n```", "runs-on"),
        ("```yaml\n# trust.yaml\nversion: 1\nserver: []\n```", "server"),
        ("```ini\n# a.service\n[Service]\nExecStartt=/bin/true\n```", "ExecStartt"),
        ("```ini\n[Service]\nExecStart=/opt/bin/reconciler watch --lissten x\n```", "No such option '--lissten'"),
    ],
)
def test_a_block_that_is_wrong_is_found(text: str, message: str, tmp_path: Path) -> None:
    if message == "ExecStartt" and not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    page = tmp_path / "page.md"
    page.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception) as failed:
        check_blocks(page, tmp_path)
    assert "page.md, line " in str(failed.value)
    assert message in str(failed.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```yaml\nversion: 1\naccounts: [{email: x}]\n```", "is not an email address"),
        (f"{MANIFEST}{SANDBOX}```console\n$ reconciler plan b.yaml\n```", "ended with 1"),
        ("```console\n$ false\n```", "ended with 1"),
        ("```console\n$ true\n$ echo $?\n2\n```", "ended with 0"),
        ("```console\n$ reconciler --version\nreconciler 99\n```", "prints something else"),
        (f"{MANIFEST}{SANDBOX}```console\n$ reconciler plan a.yaml\n...\nNo changes.\n```", "prints something else"),
    ],
)
def test_a_command_that_does_something_else_is_found(
    text: str, message: str, tmp_path: Path, make_sandbox: MakeSandbox
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception) as failed:
        follow_page(page, tmp_path, make_sandbox)
    assert message in str(failed.value)
