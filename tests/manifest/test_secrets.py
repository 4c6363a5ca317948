# ruff: noqa: E501 - cases are tables, and messages are compared in the one line that they are printed in
from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Position, SecretError, file_order
from reconciler.manifest.reader import read_manifests
from reconciler.manifest.secret_commands import SecretCommandError, SecretCommands
from reconciler.manifest.secrets import SecretResolver
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import AccessToken, Login, RefreshToken

if TYPE_CHECKING:
    from tests.manifest.conftest import Write

ENVIRON = {"PATH": os.environ["PATH"]}


def _yaml(*passwords: str) -> str:
    entries = [
        f"- {{email: a{index}@example.com, name: A{index}, service: gmail, password: {password}}}\n"
        for index, password in enumerate(passwords)
    ]
    return "version: 1\naccounts:\n" + "".join(entries)


def _resolved(name: str, environ: dict[str, str], *, allow_commands: bool = True, timeout: float = 30) -> list[object]:
    resolver = SecretResolver(environ, allow_commands=allow_commands, command_timeout=timeout)
    found = resolver.accounts(read_manifests([name]).accounts)
    return [entry.account.fields.get("password") for entry in found]


def _problems(name: str, environ: dict[str, str], *, allow_commands: bool = True, timeout: float = 30) -> list[str]:
    with pytest.raises(SecretError) as caught:
        _resolved(name, environ, allow_commands=allow_commands, timeout=timeout)
    return [f"{problem.kind} | {problem.address} | {problem}" for problem in caught.value.problems]


def test_each_kind_of_reference_is_resolved(write: Write, folder: Path) -> None:
    (folder / "team").mkdir()
    (folder / "team/secret.txt").write_bytes("päss word\r\n".encode())
    (folder / "team/mac.txt").write_bytes(b" one \r")
    name = write(
        _yaml("{env: PW}", "{file: secret.txt}", "{file: mac.txt}", "{command: [cat, secret.txt]}", "literal", "null"),
        "team/a.yaml",
    )
    assert _resolved(name, {**ENVIRON, "PW": " env\n"}) == [
        Secret(" env"),
        Secret("päss word"),
        Secret(" one "),
        Secret("päss word"),
        Secret("literal"),
        None,
    ]


def test_an_account_without_a_password_is_unchanged(write: Write) -> None:
    accounts = read_manifests(
        [write("version: 1\naccounts: [{email: a@example.com, name: A, service: gmail}]\n")]
    ).accounts
    assert SecretResolver({}, allow_commands=False).accounts(accounts) == accounts


def test_commands_get_the_given_environment_and_no_shell(write: Write) -> None:
    name = write(_yaml("{command: [printenv, TOKEN]}", '{command: [printf, "%s", "$HOME;id"]}'))
    assert _resolved(name, {**ENVIRON, "TOKEN": "from-environ"}) == [Secret("from-environ"), Secret("$HOME;id")]


def test_a_command_runs_once_however_many_accounts_need_it(write: Write, folder: Path) -> None:
    script = "{command: [sh, -c, 'echo run >> runs; echo same']}"
    assert _resolved(write(_yaml(script, script, script)), ENVIRON) == [Secret("same")] * 3
    assert (folder / "runs").read_text() == "run\n"


def test_distinct_commands_run_in_parallel(write: Write, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    name = write(_yaml("{command: [sh, -c, 'echo one > pipe; echo wrote']}", "{command: [cat, pipe]}"))
    assert _resolved(name, ENVIRON) == [Secret("wrote"), Secret("one")]


def test_each_failing_reference_is_reported_once_at_its_first_use(write: Write, folder: Path) -> None:
    (folder / "empty").write_bytes(b"\n")
    (folder / "binary").write_bytes(b"\xff")
    (folder / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    name = write(
        _yaml(
            "{env: UNSET}",
            "{env: EMPTY}",
            "{file: missing}",
            "{file: empty}",
            "{file: binary}",
            "{file: large}",
            "{command: [sh, -c, 'echo hunter2; echo hunter2 >&2; exit 3']}",
            "{command: [no-such-program, hunter2]}",
            "{command: ['true']}",
            "{command: [cat, binary]}",
            "{command: [cat, large]}",
            "{command: [sh, -c, 'kill -9 $$']}",
            "{env: UNSET}",
            "{env: BROKEN}",
        )
    )
    assert _problems(name, {**ENVIRON, "EMPTY": "", "BROKEN": "\udcff"}) == [
        "secret_unset | a0@example.com | accounts.yaml:3:63: {env: UNSET}: the variable is not set (2 accounts need it)",
        "secret_empty | a1@example.com | accounts.yaml:4:63: {env: EMPTY}: it is empty",
        "secret_file | a2@example.com | accounts.yaml:5:63: {file: missing}: there is no such file or folder",
        "secret_empty | a3@example.com | accounts.yaml:6:63: {file: empty}: it is empty",
        "secret_file | a4@example.com | accounts.yaml:7:63: {file: binary}: the file is not valid UTF-8",
        "secret_file | a5@example.com | accounts.yaml:8:63: {file: large}: the file is larger than 64 KiB",
        "secret_command | a6@example.com | accounts.yaml:9:63: {command: sh -c echo hunter2; echo hunter2 >&2; exit 3}: "
        "the command ended with exit code 3; what it wrote is not shown",
        "secret_command | a7@example.com | accounts.yaml:10:63: {command: no-such-program hunter2}: "
        "the program no-such-program was not found: it is not on PATH",
        "secret_empty | a8@example.com | accounts.yaml:11:63: {command: true}: it is empty",
        "secret_command | a9@example.com | accounts.yaml:12:63: {command: cat binary}: its output is not valid UTF-8",
        "secret_command | a10@example.com | accounts.yaml:13:65: {command: cat large}: the command printed more than 1 MiB",
        "secret_command | a11@example.com | accounts.yaml:14:65: {command: sh -c kill -9 $$}: "
        "the command ended with exit code -9; what it wrote is not shown",
        "bad_secret | a13@example.com | accounts.yaml:16:65: {env: BROKEN}: the variable is not valid Unicode",
    ]


@pytest.mark.parametrize(
    ("path", "within", "message", "hint"),
    [
        ("missing", None, "there is no such file or folder", "the path is relative to the YAML file; check it and"),
        ("/no/missing", None, "there is no such file or folder", "check the path and its permissions"),
        ("/no/missing", "/repo", "there is no such file or folder", "check the path and its permissions"),
        (
            "missing",
            "/repo",
            "the repository has no such file; one outside needs an absolute path, and a trust file that lists it",
            "if the file is outside the repository, write its absolute path and list it in a trust file (--trust)",
        ),
    ],
)
def test_a_file_that_is_missing_is_looked_for_elsewhere_only_if_the_hint_is_true(
    folder: Path, path: str, within: str | None, message: str, hint: str
) -> None:
    key = SecretReference("file", (path,), Position(str(folder / "accounts.yaml"), 1, 1))
    with pytest.raises(SecretError) as caught:
        SecretResolver({}, allow_commands=False, within=within).credentials(RefreshToken(key))
    (problem,) = caught.value.problems
    assert problem.message == f"{{file: {path}}}: {message}"
    assert str(problem.hint).startswith(hint)


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (
            "no-such-program",
            "the program no-such-program was not found: it is not on PATH",
            "install it where this runs, or write its full path",
        ),
        (
            "./no-such-program",
            "the command cannot be started: No such file or directory",
            "run the command by hand to see what is wrong",
        ),
        (
            "odd-script",
            "the command cannot be started: No such file or directory",
            "run the command by hand to see what is wrong",
        ),
    ],
)
def test_only_a_program_that_is_not_on_path_is_said_to_be_missing(
    folder: Path, program: str, message: str, hint: str
) -> None:
    script = folder / "odd-script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(SecretCommandError) as caught:
        SecretCommands({"PATH": f"{folder}:/bin"}, 60).output_of([program, "hunter2"], str(folder))
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_without_its_variable_an_account_that_exists_keeps_its_password(write: Write) -> None:
    accounts = read_manifests([write(_yaml("{env: UNSET}"))]).accounts
    with pytest.raises(SecretError) as caught:
        SecretResolver({}, allow_commands=False).accounts(accounts)
    assert [problem.hint for problem in caught.value.problems] == [
        "set UNSET in the environment; without `password:`, an account that exists keeps its password"
    ]


def test_failures_are_reported_in_file_order(write: Write) -> None:
    entry = "{{email: {0}@example.com, name: {0}, service: gmail, password: {1}}}"
    entries = ", ".join(entry.format(name, what) for name, what in (("a", "{command: [x]}"), ("b", "{env: NOPE}")))
    name = write(f"version: 1\naccounts: [{entries}]\n")
    reported = [one.split(" | ")[1] for one in _problems(name, {}, allow_commands=False)]
    assert reported == ["a@example.com", "b@example.com"]


def test_commands_do_not_run_unless_they_are_allowed(write: Write, folder: Path) -> None:
    name = write(_yaml("{command: [touch, ran]}", "{env: PW}"))
    assert _problems(name, {**ENVIRON, "PW": "x"}, allow_commands=False) == [
        "commands_not_allowed | a0@example.com | accounts.yaml:3:63: {command: touch ran}: commands are not allowed to run"
    ]
    assert not (folder / "ran").exists()


def test_a_command_that_hangs_is_killed_with_its_children(write: Write) -> None:
    name = write(_yaml("{command: [sh, -c, 'tail -f /dev/null & tail -f /dev/null']}"))
    before = time.monotonic()
    assert _problems(name, ENVIRON, timeout=0.1) == [
        "secret_command | a0@example.com | accounts.yaml:3:63: {command: sh -c tail -f /dev/null & tail -f /dev/null}: "
        "the command took longer than 0.1 seconds"
    ]
    assert time.monotonic() - before < 10


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("{} & echo p", "has ended, but something that it started kept its output open for 1 seconds"),
        ("setsid {} & echo p", "has ended, but something that it started kept its output open for 1 seconds"),
        ("{} & exit 3", "ended with exit code 3; what it wrote is not shown"),
        ("echo p; exec >/dev/null; {}", "took longer than 1 seconds"),
    ],
)
def test_an_output_that_stays_open_is_told_from_a_program_that_runs(folder: Path, script: str, reason: str) -> None:
    os.mkfifo(folder / "end")  # what waits for it ends with the test, even if it has left the group of the command
    holder = os.open(folder / "end", os.O_RDWR)
    try:
        with pytest.raises(SecretCommandError) as caught:
            SecretCommands(ENVIRON, 1).output_of(["sh", "-c", script.format("cat end")], str(folder))
    finally:
        os.close(holder)
    assert str(caught.value) == f"the command {reason}"


def test_what_a_program_has_started_may_print_the_secret_after_its_end(folder: Path) -> None:
    assert SecretCommands(ENVIRON, 60).output_of(["sh", "-c", "(sleep 0.1; echo p) &"], str(folder)) == b"p\n"


@pytest.mark.parametrize("which", [0, 1])
def test_any_stop_event_kills_a_command_with_its_children(folder: Path, which: int) -> None:
    stops = [threading.Event(), threading.Event()]
    commands = SecretCommands(ENVIRON, 60, stops)

    def stop() -> None:
        while not (folder / "pid").exists():
            time.sleep(0.01)
        stops[which].set()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(SecretCommandError, match=r"^the command was interrupted$"):
        commands.output_of(["sh", "-c", "tail -f /dev/null & echo $! >new; mv new pid; wait"], str(folder))
    child = Path(f"/proc/{(folder / 'pid').read_text().strip()}/cmdline")
    while child.exists() and child.read_bytes():  # a killed process has no command line, even before it is reaped
        time.sleep(0.01)


def test_no_command_starts_after_the_run_was_stopped(folder: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(SecretCommandError, match=r"^the command was not started: the run was interrupted$"):
        SecretCommands(ENVIRON, 60, [stop]).output_of(["touch", "started"], str(folder))
    assert not (folder / "started").exists()


def test_an_endless_output_is_cut_short(write: Write) -> None:
    assert _problems(write(_yaml("{command: ['yes']}")), ENVIRON) == [
        "secret_command | a0@example.com | accounts.yaml:3:63: {command: yes}: the command printed more than 1 MiB"
    ]


def test_a_reference_in_the_defaults_is_reported_there(write: Write) -> None:
    name = write(
        "version: 1\ndefaults:\n  password: {env: X}\naccounts: [{email: a@example.com, name: A, service: gmail}]\n"
    )
    assert _problems(name, {}) == [
        "secret_unset | a@example.com | accounts.yaml:3:13: {env: X}: the variable is not set"
    ]


@pytest.mark.parametrize("now", [None, "a: [", "x" * 10])
def test_an_error_has_its_line_even_if_the_file_has_changed(write: Write, folder: Path, now: str | None) -> None:
    name = write(_yaml("{env: X}"))
    accounts = read_manifests([name]).accounts
    (folder / name).unlink()
    if now is not None:
        write(now)
    with pytest.raises(SecretError) as caught:
        SecretResolver({}, allow_commands=False).accounts(accounts)
    assert [file_order(problem)[1] for problem in caught.value.problems] == [3]


def test_credentials_are_resolved(write: Write) -> None:
    def reference(name: str) -> SecretReference:
        return SecretReference("env", (name,), Position("a.yaml", 3, 5))

    def resolved(credentials: AccessToken | RefreshToken | Login) -> object:
        return SecretResolver({"A": "one", "B": "two"}, allow_commands=False).credentials(credentials)

    write("version: 1\n", "a.yaml")
    assert resolved(AccessToken(reference("A"))) == AccessToken(Secret("one"))
    assert resolved(RefreshToken(reference("B"))) == RefreshToken(Secret("two"))
    assert resolved(Login(Secret("admin"), reference("B"))) == Login(Secret("admin"), Secret("two"))
    with pytest.raises(SecretError, match=r"a\.yaml:3:5: \{env: C\}: the variable is not set"):
        resolved(Login(Secret("admin"), reference("C")))
