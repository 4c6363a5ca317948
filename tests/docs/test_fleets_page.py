"""``docs/fleets.md`` shows ``examples/fleet``: its files are the example's, and its claims are true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.example_fleet import ExampleFleet

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fleets.md").read_text(encoding="utf-8")
FILES = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ROOT.glob("examples/fleet/**/*.yaml")
}
OWN = [name for name in EXAMPLE if name != "examples/fleet/branches/b002.yaml"]


def test_every_file_of_the_example_is_shown_as_it_is() -> None:
    shown = {name: text for name, text in FILES if name in OWN}
    assert len(shown) == 7
    assert shown == {name: EXAMPLE[name] for name in shown}


def test_canaries_come_first_and_a_spent_budget_stops_the_rest(example_fleet: ExampleFleet) -> None:
    for name in ("b001", "b007"):
        (example_fleet.secrets / f"{name}.key").write_text("wrong")
    done = example_fleet.user.run("apply", "examples/fleet", "--auto-approve")
    assert done.code == 3
    (claimed,) = re.findall(r"^not started: .*$", PAGE, re.MULTILINE)
    assert claimed in done.out
    assert [box.accounts() for box in example_fleet.boxes.values()] == [[]] * 12
    for name, box in example_fleet.boxes.items():
        (example_fleet.secrets / f"{name}.key").write_text(box.refresh_token)
    assert example_fleet.user.run("apply", "examples/fleet", "--auto-approve", "--no-rollout").code == 0


def test_a_suspended_branch_is_left_alone(example_fleet: ExampleFleet) -> None:
    name, text = next((name, text) for name, text in FILES if "suspended" in text)
    example_fleet.write(name, text)
    done = example_fleet.user.run("apply", "examples/fleet", "--auto-approve")
    assert (done.code, example_fleet.boxes["b002"].accounts()) == (0, [])
    assert "replaced on Friday" in done.out


def test_no_branch_may_use_the_secrets_of_another(example_fleet: ExampleFleet) -> None:
    (trust,) = [text for name, text in FILES if name == "trust.yaml"]
    example_fleet.write("trust.yaml", trust)
    stolen = EXAMPLE["examples/fleet/branches/b002.yaml"] + (
        'accounts:\n  - {email: "scans@${domain}", override: true, password: {file: /run/secrets/b001.scans}}\n'
    )
    example_fleet.write("examples/fleet/branches/b002.yaml", stolen)
    done = example_fleet.user.run("apply", "examples/fleet", "--auto-approve", "--trust", "trust.yaml")
    assert done.code == 1
    assert "branches/b002.yaml:6:" in done.err
    assert "b001.scans" in done.err
    assert [box.accounts() for box in example_fleet.boxes.values()] == [[]] * 12


def test_servers_that_swap_their_names_do_not_get_each_others_secrets(example_fleet: ExampleFleet) -> None:
    (shown,) = [text for name, text in FILES if name == "trust.yaml"]
    example_fleet.write("trust.yaml", shown)
    assert example_fleet.user.run("trust", "examples/fleet", "-o", "printed.yaml").code == 0
    for name, url in (("b001", "b002"), ("b002", "b001")):
        path = f"examples/fleet/branches/{name}.yaml"
        auth = f'auth: {{refresh_token: {{file: "/run/secrets/{name}.key"}}}}'
        swapped = f'server: {{name: {name}, url: "https://{url}.fw.example.com", {auth}'
        example_fleet.write(path, EXAMPLE[path].replace(f"server: {{name: {name}", swapped))
    assert example_fleet.user.run("validate", "examples/fleet").code == 0
    for trust in ("trust.yaml", "printed.yaml"):
        done = example_fleet.user.run("apply", "examples/fleet", "--auto-approve", "--trust", trust)
        assert (done.code, "does not list" in done.err) == (1, True), done.err
    assert [box.accounts() for box in example_fleet.boxes.values()] == [[]] * 12
