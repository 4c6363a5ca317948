"""``plan``, ``apply`` and ``test`` on several servers, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands.test_lock import until
from tests.fleet.conftest import DOWN, KEY, FleetOfSandboxes

if TYPE_CHECKING:
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.run_result import RunResult

APPLY = ("apply", ".", "--auto-approve")


@pytest.fixture
def fleet(user: CliProcess, make_sandbox: MakeSandbox, tmp_path: Path) -> FleetOfSandboxes:
    user.environ |= {"KEY": KEY, "XDG_STATE_HOME": str(tmp_path / ".state")}
    return FleetOfSandboxes(tmp_path, make_sandbox)


def document(done: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    return found


def statuses(done: RunResult) -> dict[str, str]:
    return {one["name"]: one["status"] for one in document(done)["servers"]}


def test_a_fleet_is_planned_applied_and_then_unchanged(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "c")
    planned = user.run("plan", ".", "--detailed-exitcode")
    assert planned.code == 2
    assert planned.out.splitlines()[-1] == "Plan: 6 to create, 0 to update, 0 to delete on 3 of 3 servers."
    applied = user.run(*APPLY)
    assert (applied.code, applied.out.splitlines()[-1]) == (0, "Done: 3 of 3 servers applied; changes: 6 applied.")
    again = user.run("plan", ".", "--detailed-exitcode")
    assert (again.code, again.out.splitlines()[-1]) == (0, "No changes.")


def test_a_server_that_fails_does_not_stop_the_others(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    fleet.add("down", url=DOWN)
    fleet.add("secret", key="{env: NO_SUCH_VARIABLE}")
    planned = user.run("plan", ".", "-f", "json")
    assert (planned.code, statuses(planned)) == (
        1,
        {"a": "planned", "b": "planned", "down": "failed", "secret": "failed"},
    )
    assert document(planned)["applyable"]
    applied = user.run(*APPLY, "-f", "json")
    assert (applied.code, statuses(applied)) == (
        3,
        {"a": "applied", "b": "applied", "down": "unreachable", "secret": "failed"},
    )


def test_progress_shows_batches_and_pauses(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("b", "c", "d", "e")
    fleet.add("a", more=", labels: {ring: canary}")
    user.write("fleet.yaml", "version: 1\nfleet: {rollout: {canary: ring=canary, batches: [3], pause: 0.01s}}\n")
    lines = [line for line in user.run(*APPLY).err.splitlines() if not line.startswith("[")]
    assert lines == [
        "batch 1 of 3 (canaries): server 1 of 5",
        "pausing for 0.01s before batch 2 of 3",
        "batch 2 of 3: servers 2-3 of 5",
        "pausing for 0.01s before batch 3 of 3",
        "batch 3 of 3: servers 4-5 of 5",
    ]
    assert "batch" not in user.run(*APPLY, "--no-rollout").err


def test_only_failed_continues_until_all_is_done(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "c", key="{file: key.txt}")
    fleet.add("d", key="{env: LATER}")
    (fleet.folder / "key.txt").write_text(KEY)
    fleet.boxes["b"].seed([{**one, "service": "other", "hash_auth": False} for one in many(40)])  # the guard refuses
    many_deletes = ("--max-deletes", "40", "--allow-empty")
    first = user.run(*APPLY, "-f", "json", "-o", "1.json")
    assert first.code == 3
    second = user.run(*APPLY, "-f", "json", "-o", "2.json", "--only-failed", "1.json", *many_deletes)
    assert second.code == 3
    assert names(fleet, "2.json") == {"b": "applied", "d": "failed"}
    third = user.run(*APPLY, "-f", "json", "-o", "3.json", "--only-failed", "2.json", environ={"LATER": KEY})
    assert (third.code, names(fleet, "3.json")) == (0, {"d": "applied"})
    fourth = user.run(*APPLY, "-f", "json", "-o", "4.json", "--only-failed", "3.json", environ={"LATER": KEY})
    assert (fourth.code, names(fleet, "4.json")) == (0, {})
    assert user.run("plan", ".", "--detailed-exitcode", environ={"LATER": KEY}).code == 0


def many(count: int) -> list[dict[str, Any]]:
    return [{"email": f"old{number}@example.com", "name": f"Old {number}", "default": False} for number in range(count)]


def names(fleet: FleetOfSandboxes, file: str) -> dict[str, str]:
    return {one["name"]: one["status"] for one in json.loads((fleet.folder / file).read_text())["servers"]}


def test_a_saved_plan_refuses_only_the_server_that_has_changed(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    assert user.run("plan", ".", "--save", "plan.json").code == 0
    fleet.boxes["b"].seed([{**many(1)[0], "service": "other", "hash_auth": False}])
    applied = user.run("apply", ".", "--plan", "plan.json", "-f", "json", "--allow-empty")
    assert (applied.code, statuses(applied)) == (3, {"a": "applied", "b": "refused"})
    errors = document(applied)["servers"][1]["errors"]
    assert {one["kind"] for one in errors} == {"stale_plan"}
    assert [one["message"] for one in errors] == [
        "the server has changed since the plan was made (old0@example.com); nothing was written",
        "old0@example.com: reviewed: (nothing); now: delete (id 1)",
    ]


def test_a_saved_plan_of_a_fleet_does_not_count_hidden_passwords_as_sent(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a", "b", passwords="mask")
    for box in fleet.boxes.values():
        mail = {"service": "other", "smtp_server": "mx.example.com", "hash_auth": True, "password": "leaked"}
        box.seed([{**many(1)[0], **mail, "name": "Old"}])
    for path in fleet.folder.glob("?.yaml"):
        entry = "{email: old0@example.com, name: Old, service: other, smtp_server: mx.example.com, password: {env: PW}}"
        path.write_text(f"{path.read_text().partition('  -')[0]}  - {entry}\n")
    user.environ["PW"] = "declared-one"
    assert user.run("plan", ".", "--save", "plan.json", "--rotate-passwords").code == 0
    forgotten = user.run("apply", ".", "--plan", "plan.json", "-f", "json")
    assert (forgotten.code, set(statuses(forgotten).values())) == (4, {"refused"})
    applied = user.run("apply", ".", "--plan", "plan.json", "-f", "json", "--rotate-passwords")
    assert (applied.code, document(applied)["summary"]["applied"]) == (0, 2)


def test_a_trust_file_limits_every_server_of_a_fleet(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    user.write(
        "trust/trust.yml",
        'version: 1\nservers: [{url: "http://127.0.0.1:*", env: [KEY]}]\n'
        'limits: {max_deletes: 1, protect: ["keep@*"]}\n',
    )
    others = [{**one, "service": "other", "hash_auth": False} for one in many(2)]
    fleet.boxes["a"].seed([*others, {**others[0], "email": "keep@example.com", "name": "Keep"}])
    user.environ["RECONCILER_TRUST"] = "trust/trust.yml"
    planned = user.run("plan", "a.yaml", "b.yaml", "-f", "json")
    assert (planned.code, statuses(planned)) == (5, {"a": "refused", "b": "planned"})
    assert document(planned)["summary"]["delete"] == 2
    applied = user.run("apply", "a.yaml", "b.yaml", "--auto-approve", "--max-deletes", "2", "-f", "json")
    assert (applied.code, statuses(applied)) == (0, {"a": "applied", "b": "applied"})
    assert "keep@example.com" in {one["email"] for one in fleet.boxes["a"].accounts()}


def test_delivery_tests_can_be_added_to_a_saved_plan(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    user.run("plan", ".", "--save", "plan.json")
    tested = ("--test", "before", "--to-email", "ops@example.com")
    applied = user.run("apply", ".", "--plan", "plan.json", *tested)
    assert applied.code == 0
    assert applied.out.splitlines()[-1].endswith("changes: 4 applied; tests: 4 passed, 0 failed.")
    assert [len(box.mails()) for box in fleet.boxes.values()] == [2, 2]


def test_if_every_server_has_changed_nothing_was_written(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    user.run("plan", ".", "--save", "plan.json")
    for box in fleet.boxes.values():
        box.seed([{**many(1)[0], "service": "other", "hash_auth": False}])
    applied = user.run("apply", ".", "--plan", "plan.json", "-f", "json", "--allow-empty")
    assert (applied.code, set(statuses(applied).values())) == (4, {"refused"})


def test_servers_without_changes_do_not_hide_that_nothing_was_written(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a", "b")
    assert user.run(*APPLY, "--select", "name=a").code == 0
    user.run("plan", ".", "--save", "plan.json")
    old = [{**one, "service": "other", "hash_auth": False} for one in many(40)]
    fleet.boxes["b"].seed(old)
    stale = user.run("apply", ".", "--plan", "plan.json", "-f", "json", "--max-deletes", "100%", "--allow-empty")
    assert (stale.code, statuses(stale)) == (4, {"a": "unchanged", "b": "refused"})
    refused = user.run(*APPLY, "-f", "json")
    assert (refused.code, statuses(refused)) == (5, {"a": "unchanged", "b": "refused"})


def test_a_suspended_server_does_not_make_a_run_fail(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    fleet.add("b", more=", suspended: 'a new disk'")
    planned = user.run("plan", ".")
    assert planned.code == 0
    assert "suspended: a new disk" in planned.out
    applied = user.run(*APPLY, "-f", "json")
    assert (applied.code, statuses(applied)) == (0, {"a": "applied", "b": "refused"})
    alone = user.run(*APPLY, "--select", "name=b")
    assert (alone.code, fleet.held()["b"]) == (5, [])
    single = user.run("apply", "b.yaml", "--auto-approve")
    assert (single.code, fleet.held()["b"]) == (5, [])
    assert "the server is suspended: a new disk; nothing was written" in single.err


def test_without_a_terminal_nothing_is_written(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    done = user.run("apply", ".")
    assert (done.code, fleet.held()) == (1, {"a": [], "b": []})
    assert "no terminal to ask on" in done.err


@pytest.mark.parametrize("variable", [False, True])
def test_one_url_cannot_be_that_of_several_servers(user: CliProcess, fleet: FleetOfSandboxes, variable: bool) -> None:
    fleet.add("a", "b")
    url = fleet.boxes["a"].url
    done = user.run("plan", ".", environ={"RECONCILER_URL": url}) if variable else user.run("plan", ".", "--url", url)
    assert done.code == 1
    assert f"{'RECONCILER_URL' if variable else '--url'} names one server, and the files declare 2" in done.err


def test_shards_together_are_the_fleet(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add(*"abcde")
    seen: list[str] = []
    for index in range(4):
        environ = {"JOB_COMPLETION_INDEX": str(index), "JOB_COMPLETIONS": "4"}
        done = user.run(*APPLY, "--shard", "auto", "-f", "json", environ=environ)
        assert done.code == 0
        seen += statuses(done)
    assert sorted(seen) == list("abcde")
    assert all(len(held) == 2 for held in fleet.held().values())


def test_an_empty_shard_is_no_error_in_any_format(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    empty = next(text for text in ("1/2", "2/2") if not statuses(user.run("plan", ".", "--shard", text, "-f", "json")))
    for chosen in ("text", "json", "markdown", "html", "github", "gitlab", "tfplan"):
        done = user.run("plan", ".", "--shard", empty, "-f", chosen, "--detailed-exitcode")
        assert (done.code, done.err) == (0, ""), chosen
    for chosen in ("text", "json", "markdown", "github", "gitlab", "junit"):
        done = user.run(*APPLY, "--shard", empty, "-f", chosen, "-q")
        assert (done.code, done.err) == (0, ""), chosen
    assert "No server is selected." in user.run("plan", ".", "--shard", empty).out


def test_a_journal_records_all_servers(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    assert user.run(*APPLY, "--journal", "run.jsonl").code == 0
    lines = [json.loads(line) for line in (fleet.folder / "run.jsonl").read_text().splitlines()]
    for box in fleet.boxes.values():
        own = [line["event"] for line in lines if line["server"] == box.url]
        assert sorted(own) == ["intent", "intent", "outcome", "outcome"]


def test_a_write_that_a_journal_left_open_is_checked_where_nothing_is_to_be_done(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a", "b")
    journal = fleet.folder / "run.jsonl"
    assert user.run(*APPLY, "--journal", "run.jsonl").code == 0
    lines = journal.read_text().splitlines()
    a = fleet.boxes["a"].url
    kept = [one for one in lines if (json.loads(one)["server"], json.loads(one)["event"]) != (a, "outcome")]
    journal.write_text("".join(f"{line}\n" for line in kept))
    done = user.run(*APPLY, "--journal", "run.jsonl")
    checked = [line for line in done.err.splitlines() if line.startswith("checked: ")]
    assert [line.partition(" was begun ")[0] for line in sorted(checked)] == [
        "checked: create of alerts@a.example.com on a",
        "checked: create of fax@example.com on a",
    ]
    assert all(line.endswith("; it is in place") for line in checked)
    assert "checked: " not in user.run(*APPLY, "--journal", "run.jsonl").err


def test_mails_are_tested_on_every_server(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    done = user.run("test", ".", "--to-email", "ops@example.com", "-f", "json")
    assert (done.code, document(done)["summary"]["tests_passed"]) == (0, 4)
    assert fleet.held() == {"a": [], "b": []}


def test_no_secret_of_any_server_is_shown(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", key="{env: KEY_A}")
    fleet.add("b", key="{env: KEY_B}")
    secrets = {"KEY_A": "first-secret-key-000000001", "KEY_B": "second-secret-key-0000002"}
    for arguments in (("plan", "."), APPLY, ("plan", ".", "-f", "json"), (*APPLY, "-f", "json", "--journal", "j")):
        done = user.run(*arguments, environ=secrets)
        assert done.code == 1
        assert not any(secret in text for secret in secrets.values() for text in done.texts.values())


def test_a_dry_run_is_a_plan(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    assert user.run("apply", "a.yaml", "--dry-run").out == user.run("plan", "a.yaml").out
    fleet.add("b")
    done = user.run("apply", ".", "--dry-run", "-f", "json")
    assert (done.code, statuses(done), fleet.held()) == (0, {"a": "planned", "b": "planned"}, {"a": [], "b": []})
    assert user.run("apply", ".", "--dry-run", "-f", "junit").code == 64
    assert user.run("apply", ".", "--dry-run", "--plan", "plan.json").code == 64


@pytest.mark.parametrize(("names", "signals"), [("a", 1), ("a", 2), ("ab", 1)])
def test_an_interrupt_while_secrets_are_read_leaves_no_command_behind(
    user: CliProcess, fleet: FleetOfSandboxes, names: str, signals: int
) -> None:
    script = fleet.folder / "secret.sh"
    script.write_text("#!/bin/sh\necho $$ > $1.pid\nexec sleep 60\n")
    script.chmod(0o755)
    for name in names:
        fleet.add(name, key=f"{{command: [./secret.sh, {name}]}}")
    run = user.start("plan", ".", "--allow-commands")
    pids = [fleet.folder / f"{name}.pid" for name in names]
    until(lambda: all(path.is_file() and path.read_text().endswith("\n") for path in pids))
    for _ in range(signals):
        with suppress(ProcessLookupError):  # it ended after the first one
            run.send_signal(signal.SIGINT)
        time.sleep(0.005)
    assert run.finish(timeout=20).code in (
        {130} if signals == 1 else {130, -signal.SIGINT}
    )  # the commands would take a minute, and may take half of one
    until(lambda: not any(Path(f"/proc/{path.read_text().strip()}").exists() for path in pids))


def test_an_interrupt_while_apply_plans_reports_every_server(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    script = fleet.folder / "secret.sh"
    script.write_text("#!/bin/sh\necho $$ > $1.pid\nexec sleep 60\n")
    script.chmod(0o755)
    for name in ("a", "b"):
        fleet.add(name, key=f"{{command: [./secret.sh, {name}]}}")
    run = user.start(*APPLY, "--allow-commands", "-f", "json")
    until(lambda: all((fleet.folder / f"{name}.pid").is_file() for name in ("a", "b")))
    run.send_signal(signal.SIGINT)
    done = run.finish(timeout=20)
    assert (done.code, statuses(done)) == (130, {"a": "not_attempted", "b": "not_attempted"})


def test_a_server_that_another_run_writes_to_fails_alone(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    terminal, child = os.openpty()
    other = user.start("apply", "b.yaml", stdin=child)
    locks = fleet.folder / ".state" / "reconciler"
    until(lambda: any(path.stat().st_size for path in locks.glob("*.lock")))
    done = user.run(*APPLY, "--lock-timeout", "0.2s", "-f", "json")
    assert (done.code, statuses(done)) == (3, {"a": "applied", "b": "failed"})
    assert document(done)["servers"][1]["errors"][0]["kind"] == "locked"
    other.kill()
    other.finish()
    os.close(terminal)
    os.close(child)


@pytest.mark.parametrize("option", [False, True])
def test_credentials_from_outside_go_to_no_fleet(user: CliProcess, fleet: FleetOfSandboxes, option: bool) -> None:
    fleet.add("a", key="{env: OWN}")
    (fleet.folder / "b.yaml").write_text(
        f"version: 1\nserver: {{name: b, url: '{DOWN}'}}\naccounts: []\n", encoding="utf-8"
    )
    trust, key = fleet.folder.parent / "trust.yaml", fleet.folder.parent / "key"
    trust.write_text('version: 1\nservers: [{url: "http://127.0.0.1:*", env: [OWN]}]\n', encoding="utf-8")
    key.write_text(KEY, encoding="utf-8")
    given = ("--refresh-token-file", str(key)) if option else ()
    environ = {"OWN": "wrong"} if option else {"OWN": KEY, "RECONCILER_REFRESH_TOKEN": "of another server"}
    planned = user.run("plan", ".", "-f", "json", "--trust", str(trust), *given, environ=environ)
    kinds = {one["name"]: [error["kind"] for error in one["errors"]] for one in document(planned)["servers"]}
    assert kinds == {"a": ["url_not_approved"] if option else [], "b": ["url_not_approved"]}


def test_an_earlier_result_with_unknown_servers_is_not_ignored_silently(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a", "b")
    servers = [
        {"name": name, "status": status} for name, status in (("x", "failed"), ("a", "failed"), ("a", "applied"))
    ]
    result = {"format_version": "1.0", "results": [], "servers": servers}
    (fleet.folder / "result").write_text(json.dumps(result), encoding="utf-8")
    planned = user.run("plan", ".", "--only-failed", "result", "-f", "json")
    assert (planned.code, statuses(planned)) == (0, {"a": "planned"})
    assert "result has servers that did not succeed and that no file declares: x" in planned.err


def test_an_export_writes_one_file_for_each_server(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    fleet.add("down", url=DOWN)
    assert user.run(*APPLY, "--select", "name!=down").code == 0
    assert user.run("export", ".", "--output-dir", "out").code == 64
    paths = ("a.yaml", "b.yaml", "down.yaml")
    done = user.run("export", *paths, "--output-dir", "out")
    assert (done.code, done.err.count("connection refused")) == (1, 1)
    files = sorted(path.name for path in (fleet.folder / "out").iterdir())
    assert files == ["a.yaml", "b.yaml"]
    again = user.run("export", *paths, "--output-dir", "out")
    assert (again.code, "out/a.yaml exists already" in again.err) == (1, True)
    assert user.run("export", *paths, "--output-dir", "out", "--force", "--select", "name=a").code == 0
    for name in "ab":
        text = (fleet.folder / "out" / f"{name}.yaml").read_text()
        url = fleet.boxes[name].url
        (fleet.folder / f"{name}.yaml").write_text(
            text.replace(f"  url: {url}", f"  url: {url}\n  auth: {{refresh_token: {{env: KEY}}}}")
        )
    plan = user.run("plan", "a.yaml", "b.yaml", "--detailed-exitcode")
    assert (plan.code, plan.out.splitlines()[-1]) == (0, "No changes.")


def test_an_export_of_one_declared_server_is_a_document(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    user.run(*APPLY)
    done = user.run("export", "a.yaml")
    assert (done.code, "alerts@a.example.com" in done.out) == (0, True)
    several = user.run("export", ".")
    assert (several.code, "Name a folder with --output-dir" in several.err) == (64, True)
    assert user.run("export", "--output-dir", "out").code == 64
