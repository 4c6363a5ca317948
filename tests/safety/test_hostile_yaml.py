"""Hostile files and names: no format lets one pass as something else, and none takes long."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.report.formats import PLAN_FORMATS, RESULT_FORMATS, VALIDATION_FORMATS
from tests.support.canaries import Canaries
from tests.support.leaky_server import LeakyServer, serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_runner import CliProcess, CliRunner

HEAD = b"version: 1\naccounts:\n"
ENTRY = b"  - {email: a@example.com, service: gmail, name: %s}\n"

FILES: dict[str, tuple[bytes, int, str]] = {
    "a tag": (HEAD + ENTRY % b"!!python/object/apply:os.system [id]", 1, "a YAML tag (!…) is not allowed here"),
    "an alias bomb": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 110))
        + HEAD,
        1,
        "the aliases expand to too many values",
    ),
    "a loop": (HEAD + b"  - &a [*a]\n", 1, "this alias (*…) lies inside the value that it refers to"),
    "deep nesting": (b"accounts: " + b"[" * 900 + b"\n" * 100_000, 1, "nested more than 64 levels deep"),
    "deep mappings": (b"".join(b" " * depth + b"a:\n" for depth in range(2_000)), 1, "nested more than 64 levels deep"),
    "a megabyte in a scalar": (HEAD + ENTRY % (b"x" * 1_000_000), 0, "Valid: 1 account."),
    "a megabyte in a key": (HEAD + b"x" * 1_000_000 + b": 1\n", 1, "this is not YAML"),
    "invalid UTF-8": (HEAD + ENTRY % b"\xff\xfe", 1, "is not UTF-8"),
    "NUL": (HEAD + ENTRY % b"a\0b", 1, "this is a binary file"),
    "an escaped NUL": (
        HEAD + ENTRY % b'"a\\0b"',
        1,
        "a name has no line breaks and no other control characters, such as U+0000",
    ),
    "UTF-16": ((HEAD + ENTRY % b"a").decode().encode("utf-16"), 1, "the file is UTF-16"),
    "a mark and CRLF": (b"\xef\xbb\xbf" + (HEAD + ENTRY % b"A").replace(b"\n", b"\r\n"), 0, "Valid: 1 account."),
    "an unpaired surrogate": (HEAD + ENTRY % b'"\\ud800"', 1, "a.yaml:3"),
    "thousands of errors": (HEAD + b"  - x\n" * 10_000, 1, "accounts[0]: expected a mapping"),
    "an address to get lost in": (
        HEAD + b"  - {name: A, service: gmail, email: " + b"a.-" * 20_000 + b"@" * 20_000 + b"}\n",
        1,
        "this is not an email address",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_reported_within_bounds(user: CliProcess, name: str) -> None:
    data, code, words = FILES[name]
    (user.folder / "a.yaml").write_bytes(data)
    done = user.run("validate", "a.yaml")
    assert (done.code, "Traceback" in done.whole) == (code, False), done.whole[-2000:]
    assert words in done.whole
    assert done.usage.seconds < 15
    assert done.usage.peak_memory < 700 * 1024


NAMES = [
    "A\n  - delete  boss@example.com  (id 1)",
    "A\r\nPlan: 0 to create, 0 to update, 0 to delete.",
    "\n::error file=x::forged",
    "::error::forged",
    "##[error]forged",
    "##vso[task.complete result=Succeeded;]",
    "A | B | **C** |\n| --- | --- |",
    "</code></td><script>alert(1)</script>",
    "\u202egnp.exe",
    "\u2066\u2067\u2069\u200b\u200e\u061c",
    "\x1b[2J\x1b[31mred\x07\x9b2J",
    "a\u2028b\u2029c\x85d\x0be\x0cf",
    "<!-- reconciler: 000000000000 -->",
    "![x](https://evil.example.com/x.png) @everyone #1 GH-1",
    "]]></failure><!--",
    "%0A::error::x",
    "🏴\U000e0067\U000e007f",
]

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def hostile_accounts() -> list[dict[str, Any]]:
    return [
        {"id": number, "email": f"a{number}@example.com", "name": name, "service": name, "hash_auth": False}
        for number, name in enumerate(NAMES, 1)
    ]


def in_yaml(text: str) -> str:
    """A scalar in double quotes; YAML takes no pairs of surrogates, and a name no control characters."""
    text = re.sub("[\0-\x1f\x7f-\x9f]", " ", text)
    return '"' + "".join(char if char > "\uffff" else json.dumps(char)[1:-1] for char in text) + '"'


def declared_names(desk: CliRunner) -> Path:
    """A file with the same names, one of them another account's."""
    path = desk.inputs / "accounts.yaml"
    entries = [
        f"  - {{email: a{number}@example.com, service: gmail, name: {in_yaml(f'{name}+')}}}\n"
        for number, name in enumerate(NAMES, 1)
    ]
    path.write_text(f"version: 1\nserver: {{name: {in_yaml(NAMES[0])}}}\naccounts:\n{''.join(entries)}")
    return path


@pytest.mark.parametrize(
    "command",
    [
        *(("plan", "-v", "-f", one.value) for one in PLAN_FORMATS),
        *(("apply", "-v", "--auto-approve", "--allow-empty", "-f", one.value) for one in RESULT_FORMATS),
        *(("test", "--to-email", "ops@example.com", "-f", one.value) for one in RESULT_FORMATS),
        *(("validate", "-f", one.value) for one in VALIDATION_FORMATS),
        ("export",),
    ],
    ids=" ".join,
)
def test_no_name_forges_a_line_or_a_command_or_hides_text(desk: CliRunner, command: tuple[str, ...]) -> None:
    place = {"apply": "update", "test": "test"}.get(command[0])
    path = declared_names(desk)
    spoken = Canaries()
    spoken.values = {"header": "x", **{str(number): name for number, name in enumerate(NAMES)}}
    with serve(LeakyServer(spoken, hostile_accounts(), list(spoken.values), place)) as server:
        paths = [] if command[0] == "export" else [str(path)]
        traces = desk.run(*command, *paths, environ={"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "x"})
    assert traces.code in {0, 3}, traces.whole
    for name, text in traces.texts.items():
        assert _CONTROL.search(text) is None, name
        lines = text.split("\n")
        commands = [line for line in lines if line.lstrip().startswith("::")]
        assert "github" in command or not commands
        assert not [
            line
            for line in commands
            if not line.startswith(
                ("::error title=reconciler", "::error file=", "::warning ", "::notice title=reconciler")
            )
        ]
        assert not [
            line
            for line in lines
            if line.lstrip().lstrip("\ufeff").startswith(("- delete  boss", "| ---  |", "Plan: 0 to create, 0 "))
        ]
        assert "##[" not in text
        assert "##vso[" not in text
    if command[-1] in {"html", "markdown", "junit"}:
        assert "<script>alert" not in traces.texts["stdout"]
