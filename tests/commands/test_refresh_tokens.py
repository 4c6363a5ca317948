"""Servers that accept each refresh token once: the run uses the next one, and updates the file that it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import account_json
from tests.support.cli_runner import RECONCILER
from tests.support.scripted_server import ScriptedServer, json_reply

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.scripted_server import Request, Step

YAML = "version: 1\naccounts:\n" + "".join(
    f"  - {{email: a{n}@example.com, name: A{n}, service: other, smtp_server: smtp.example.com}}\n" for n in range(6)
)
COMMANDS = [
    ("plan", "accounts.yaml"),
    ("apply", "accounts.yaml", "--auto-approve"),
    ("test", "accounts.yaml", "--to-email", "ops@example.com"),
    ("export",),
]


@pytest.fixture
def rotating(make_sandbox: MakeSandbox) -> Sandbox:
    """A server with short-lived access tokens, on which each refresh token works once."""
    sandbox = make_sandbox(rotate_refresh_tokens=True, token_lifetime=900)
    sandbox.seed([account_json("a0@example.com")])
    return sandbox


@pytest.fixture
def holder(user: CliProcess, rotating: Sandbox) -> CliProcess:
    """A user with a refresh token in a file that ends with a line break."""
    user.environ["RECONCILER_URL"] = rotating.url
    user.write("accounts.yaml", YAML)
    user.write("fw.key", f"{rotating.refresh_token}\n").chmod(0o640)
    return user


def key(user: CliProcess) -> str:
    return (user.folder / "fw.key").read_text()


def test_one_refresh_token_lasts_for_every_command(holder: CliProcess) -> None:
    keys = [key(holder)]
    for command in COMMANDS:
        done = holder.run(*command, "--refresh-token-file", "fw.key")
        assert done.code == 0, done.err
        assert "wrote fw.key" in done.err
        assert key(holder).strip() not in done.out + done.err
        keys.append(key(holder))
    assert len(set(keys)) == 5
    assert all(one.endswith("\n") and one.count("\n") == 1 for one in keys)
    assert (holder.folder / "fw.key").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in holder.folder.iterdir()) == ["accounts.yaml", "fw.key"]


def test_access_tokens_that_expire_during_a_run_are_replaced(holder: CliProcess, rotating: Sandbox) -> None:
    refused = rotating._tokens
    accepts, count = refused.accepts, 0

    def forgetful(token: str) -> bool:
        nonlocal count
        count += 1
        if count in {3, 6, 9}:
            refused.expire()
        return accepts(token)

    refused.accepts = forgetful  # type: ignore[method-assign]  # the sandbox forgets its tokens, as a restart would
    done = holder.run(
        "apply", "accounts.yaml", "--auto-approve", "--refresh-token-file", "fw.key", "--parallelism", "1"
    )
    assert done.code == 0, done.out
    assert done.err.count("wrote fw.key") == 4
    assert key(holder).strip() == refused.refresh_token


def test_planning_and_applying_share_one_access_token(holder: CliProcess, rotating: Sandbox) -> None:
    exchanged = rotating._tokens.refresh_token
    done = holder.run("apply", "accounts.yaml", "--auto-approve", "--refresh-token-file", "fw.key")
    assert (done.code, done.err.count("wrote fw.key")) == (0, 1)
    assert exchanged != rotating._tokens.refresh_token


def test_a_link_to_the_token_file_stays_a_link(holder: CliProcess) -> None:
    (holder.folder / "keys").mkdir()
    (holder.folder / "fw.key").rename(holder.folder / "keys/real.key")
    (holder.folder / "fw.key").symlink_to("keys/real.key")
    assert holder.run("plan", "accounts.yaml", "--refresh-token-file", "fw.key").code == 0
    assert holder.run("plan", "accounts.yaml", "--refresh-token-file", "fw.key").code == 0
    assert (holder.folder / "fw.key").is_symlink()
    assert (holder.folder / "keys/real.key").stat().st_mode & 0o777 == 0o640


def test_a_hard_link_to_the_token_file_gets_the_new_token_too(holder: CliProcess) -> None:
    (holder.folder / "same.key").hardlink_to(holder.folder / "fw.key")
    assert holder.run("plan", "accounts.yaml", "--refresh-token-file", "fw.key").code == 0
    assert (holder.folder / "same.key").read_text() == key(holder)


@pytest.mark.parametrize("source", ["environment", "yaml", "pipe"])
def test_a_replaced_token_without_a_file_is_a_warning_that_does_not_show_it(
    holder: CliProcess, rotating: Sandbox, source: str
) -> None:
    environ = {"KEY": rotating.refresh_token}
    lost = "warning: the server replaced the refresh token; the one from"
    if source == "environment":
        done = holder.run("plan", "accounts.yaml", environ={"RECONCILER_REFRESH_TOKEN": rotating.refresh_token})
    elif source == "yaml":
        server = f"server: {{url: '{rotating.url}', auth: {{refresh_token: {{env: KEY}}}}}}\n"
        holder.write("accounts.yaml", server + YAML)
        done = holder.run("plan", "accounts.yaml", environ=environ)
    else:
        script = f'{RECONCILER} plan accounts.yaml --refresh-token-file <(printf %s "$KEY")'
        done = holder.run_program(["bash", "-c", script], environ=environ)
        lost = "warning: the server replaced the refresh token, and /dev/fd/"
    assert done.code == 0, done.err
    assert done.err.count(lost) == 1
    assert rotating._tokens.refresh_token not in done.out + done.err


def returned(holder: CliProcess, token: str) -> str:
    """Plans on a server that returns ``token``, twice, as the new refresh token. Returns what is printed as errors."""

    def respond(request: Request) -> Step:
        if request.method == "GET":
            return json_reply([])
        assert request.json == {"grant_type": "refresh_token", "refresh_token": before.strip()}
        return json_reply({"access_token": "an-access-token", "refresh_token": token, "expires_in": 1e-9})

    before = key(holder)
    with ScriptedServer(respond=respond) as server:
        holder.environ["RECONCILER_URL"] = server.url
        done = holder.run("plan", "accounts.yaml", "--refresh-token-file", "fw.key")
    assert (done.code, key(holder)) == (0, before)
    return done.err


@pytest.mark.parametrize("token", ["********", "refr****q8vU", "<redacted>", "   ", ""])
def test_a_mask_in_place_of_the_refresh_token_does_not_replace_it(holder: CliProcess, token: str) -> None:
    assert returned(holder, token) == ""


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("new-token-1\nsecond", "has more than one line, and a secret has one"),
        ("abc\0def", "contains a control character (U+0000), which is not part of a secret"),
        ("\ufeffnew-token", "contains a byte order mark, which is not part of a secret"),
        ("ab" * 32_768, "has 65,536 characters, which is too long"),
    ],
    ids=["two lines", "control character", "byte order mark", "too long"],
)
def test_a_new_refresh_token_that_cannot_be_used_leaves_the_present_one(
    holder: CliProcess, token: str, reason: str
) -> None:
    assert returned(holder, token) == (
        f"warning: the server replaced the refresh token, and the new one cannot be used: it {reason}\n"
        "  hint: this run goes on with the previous one; if it is refused, make a new key in the server's interface\n"
    )


@pytest.mark.parametrize("lost", ["folder", "file", "replaced"])
def test_a_token_that_cannot_be_written_back_is_a_warning(holder: CliProcess, rotating: Sandbox, lost: str) -> None:
    keys = holder.folder / "keys"
    keys.mkdir()
    (holder.folder / "fw.key").rename(keys / "fw.key")
    tokens = rotating._tokens
    redeem = tokens.redeem

    def redeems(refresh_token: str) -> bool:
        (keys / "fw.key").unlink(missing_ok=True)  # the file is removed while the tokens are exchanged
        if lost == "folder":
            keys.rmdir()
        elif lost == "replaced":
            (keys / "fw.key").mkdir()
        return redeem(refresh_token)

    tokens.redeem = redeems  # type: ignore[method-assign]
    done = holder.run("plan", "accounts.yaml", "--refresh-token-file", "keys/fw.key")
    reason = "it is not a file that can be written" if lost == "replaced" else "No such file or directory"
    warning = f"warning: the server replaced the refresh token, and keys/fw.key cannot be written: {reason}"
    assert (done.code, done.err.count(warning), "Plan: 5 to create" in done.out) == (0, 1, True), done.err
    assert tokens.refresh_token not in done.out + done.err


def test_a_token_file_with_other_content_is_refused(holder: CliProcess) -> None:
    (holder.folder / "fw.key").unlink()
    (holder.folder / "fw.key").symlink_to("/proc/self/environ")
    holder.starts_python = True
    holder.environ = {name: value for name, value in holder.environ.items() if name == "RECONCILER_URL"}
    done = holder.run("plan", "accounts.yaml", "--refresh-token-file", "fw.key")
    assert done.code == 1
    assert "fw.key contains a control character" in done.err


def test_parallel_runs_take_turns_with_the_token_file(holder: CliProcess, rotating: Sandbox) -> None:
    runs = [holder.start("plan", "accounts.yaml", "--refresh-token-file", "fw.key", "-q") for _ in range(4)]
    ends = [run.finish() for run in runs]
    assert [end.code for end in ends] == [0] * 4, ends
    assert key(holder).strip() == rotating._tokens.refresh_token
