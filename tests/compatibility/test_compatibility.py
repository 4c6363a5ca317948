"""What docs/upgrading.md promises: this version reads the files of every earlier one, and writes all that it wrote."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler.version import VERSION
from tests.compatibility.scenario import NAMES, VERSIONS, Scenario, schemas, surface

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

DOCUMENTS = ("plan.json", "result.json", "status.json", "validate.json")
DESCRIPTIONS = {"$id", "description", "examples", "title"}


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def files(request: pytest.FixtureRequest) -> Path:
    """The folder of a version."""
    folder: Path = request.param
    return folder


@pytest.fixture
def scenario(files: Path, tmp_path: Path) -> Iterator[Scenario]:
    with Scenario(files, tmp_path) as started:
        yield started


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda path: path.name)
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a version, and one with the documents that this version writes in the same situation."""
    with Scenario(request.param, tmp_path_factory.mktemp("documents")) as started:
        started.write_documents()
    return request.param, started.folder


def load(path: Path) -> Any:  # noqa: ANN401 - any document
    return json.loads(path.read_text(encoding="utf-8"))


def test_this_version_has_a_folder() -> None:
    assert VERSION in [path.name for path in VERSIONS], "run `make formats`"


def test_every_key_of_a_manifest_and_a_trust_file_is_in_the_files_of_this_version() -> None:
    (folder,) = [path for path in VERSIONS if path.name == VERSION]
    written = "\n".join(
        path.read_text(encoding="utf-8") for part in ("fleet/*", "keys/*", "trust.yaml") for path in folder.glob(part)
    )
    blocks = [block for name in ("manifest", "trust") for block in _blocks(schemas()[name])]
    keys = {key for block in blocks for key in block} - {"literal"}  # a literal secret gets a warning
    assert {key for key in keys if not re.search(rf"\b{key}:", written)} == set()


def _blocks(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for block in (schema, *schema["$defs"].values()):
        yield block.get("properties", {})


@pytest.mark.parametrize("folder", ["fleet", "keys"])
def test_a_manifest_and_a_trust_file_stay_valid(scenario: Scenario, folder: str) -> None:
    assert scenario.run("validate", folder, "--trust", "trust.yaml").err == ""


def test_a_manifest_keeps_its_meaning(scenario: Scenario) -> None:
    for name in NAMES:
        meant = yaml.safe_load((scenario.files / f"shown-{name}.yaml").read_text(encoding="utf-8"))
        assert list(_lost(meant, yaml.safe_load(scenario.run("show", name, "fleet").out))) == []


def test_a_saved_plan_is_applied(scenario: Scenario) -> None:
    apply = ("apply", "fleet", "--trust", "trust.yaml", "--format", "json")
    result = json.loads(scenario.run(*apply, "--plan", "plan.json").out)
    planned = load(scenario.files / "plan.json")["resource_changes"]
    done = sorted((one["server"], one["address"], one["action"], one["status"]) for one in result["results"])
    assert done == sorted((one["server"], one["name"], one["change"]["actions"][0], "applied") for one in planned)
    assert json.loads(scenario.run(*apply, "--auto-approve").out)["results"] == []


def test_a_result_says_which_servers_are_left_to_do(scenario: Scenario) -> None:
    options = ("--trust", "trust.yaml", "--only-failed", "result.json", "--auto-approve", "--format", "json")
    result = json.loads(scenario.run("apply", "fleet", *options).out)
    assert [(one["name"], one["status"]) for one in result["servers"]] == [("south", "applied")]


def test_a_journal_says_which_writes_have_no_outcome(scenario: Scenario) -> None:
    options = ("--trust", "trust.yaml", "--journal", "journal.jsonl", "--auto-approve")
    intent = json.loads((scenario.files / "journal.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    begun = f"checked: {intent['action']} of {intent['address']} on north was begun at {intent['at']}"
    assert begun in scenario.run("apply", "fleet", *options).err


def test_the_state_of_a_watcher_is_used(scenario: Scenario) -> None:
    scenario.restore_state()
    status = json.loads(scenario.run("status", "--state-dir", "state", "--format", "json").out)
    assert list(_lost(load(scenario.files / "status.json")["servers"], status["servers"])) == []
    scenario.run("watch", "fleet", "--once", "--trust", "trust.yaml", "--state-dir", "state")
    status = json.loads(scenario.run("status", "--state-dir", "state", "--format", "json").out)
    assert [one["state"] for one in status["servers"]] == ["synced", "synced"]


def test_an_export_is_a_manifest(scenario: Scenario) -> None:
    assert scenario.run("validate", "export.yaml").err == ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_keeps_its_keys_and_their_types(documents: tuple[Path, Path], name: str) -> None:
    before, now = (_shape(load(folder / name)) for folder in documents)
    assert list(_lost(before, now)) == []


def test_the_schemas_keep_their_keys_types_and_defaults(files: Path) -> None:
    assert list(_lost(load(files / "schemas.json"), schemas(), ignored=DESCRIPTIONS)) == []


def test_a_manifest_and_a_trust_file_need_no_new_key(files: Path) -> None:
    before, now = (_required(documents) for documents in (load(files / "schemas.json"), schemas()))
    assert {path: keys for path, keys in now.items() if path in before and keys - before[path]} == {}


def _required(documents: dict[str, Any]) -> dict[str, set[str]]:
    blocks = {(name, at): block for name in ("manifest", "trust") for at, block in documents[name]["$defs"].items()}
    return {f"{name}: {at}": set(block.get("required", ())) for (name, at), block in blocks.items()}


def test_exit_codes_kinds_options_metrics_and_the_librarys_names_stay(files: Path) -> None:
    assert list(_lost(load(files / "surface.json"), surface())) == []


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"b": 1}, [".a is gone"]),
        ({"a": {"b": ["x"]}}, {"a": {"b": ["y", "x"]}}, []),
        ({"a": {"b": ["x"]}}, {"a": {"b": ["y"]}}, [".a.b: 'x' is gone"]),
        ([{"n": "x"}, {"n": "y"}], [{"n": "x", "z": 1}, {"n": "y"}], []),
        ({"a": 1}, {"a": "1"}, [".a was 1, and is '1'"]),
    ],
)
def test_what_is_lost_is_found(before: object, now: object, lost: list[str]) -> None:
    assert list(_lost(before, now)) == lost


def _shape(value: object) -> object:
    """A document with the type in the place of each value. The entries of a list become one."""
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in value.items()}
    if isinstance(value, list):
        merged: dict[str, Any] = {}
        for one in map(_shape, value):
            merged |= one if isinstance(one, dict) else {str(one): one}
        return merged
    return type(value).__name__


def _lost(before: object, now: object, at: str = "", *, ignored: Collection[str] = ()) -> Iterator[str]:
    """What was there before, and is missing or different now."""
    if isinstance(before, dict) and isinstance(now, dict):
        # A key of that name, such as the property `title`, is a block.
        for name in (name for name, value in before.items() if name not in ignored or isinstance(value, dict)):
            if name in now:
                yield from _lost(before[name], now[name], f"{at}.{name}", ignored=ignored)
            else:
                yield f"{at}.{name} is gone"
    elif isinstance(before, list) and isinstance(now, list):
        gone = [value for value in before if all(any(_lost(value, one, ignored=ignored)) for one in now)]
        yield from (f"{at}: {value!r} is gone" for value in gone)
    elif before != now:
        yield f"{at} was {before!r}, and is {now!r}"
