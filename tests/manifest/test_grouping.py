"""Files that name several servers: which file belongs to which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ManifestError
from reconciler.manifest.reader import read_fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from tests.manifest.conftest import Complain, Write

    Servers: TypeAlias = Callable[..., list[tuple[str | None, str | None, list[str]]]]

ACCOUNT = "accounts: [{{email: {0}@example.com, name: {0}, service: gmail}}]\n"


def file(server: str, account: str = "a") -> str:
    return f"version: 1\nserver: {{{server}}}\n" + ACCOUNT.format(account)


@pytest.fixture
def servers(write: Write) -> Servers:
    """Reads the texts as files, and returns the name, the URL and the accounts of each server."""

    def _servers(*texts: str) -> list[tuple[str | None, str | None, list[str]]]:
        fleet = read_fleet([write(text, f"{letter}.yaml") for letter, text in zip("abcdef", texts, strict=False)])
        return [
            (one.server.name, one.server.url, [entry.account.email for entry in one.accounts]) for one in fleet.servers
        ]

    return _servers


def test_files_of_one_url_are_one_server(servers: Servers) -> None:
    assert servers(
        file("url: 'https://y', name: two", "a"),
        file("url: 'https://x', name: one", "b"),
        file("url: 'https://Y:443/'", "c"),
        file("name: one", "d"),
    ) == [
        ("one", "https://x", ["b@example.com", "d@example.com"]),
        ("two", "https://y", ["a@example.com", "c@example.com"]),
    ]


def test_a_server_without_a_name_is_called_as_its_host(servers: Servers) -> None:
    assert [
        name for name, _, _ in servers(file("url: 'https://b'"), file("url: 'https://a'"), file("name: a", "c"))
    ] == [
        "a",
        None,
    ]


def test_files_without_a_url_belong_to_the_only_server(servers: Servers) -> None:
    assert servers(file("url: 'https://x'"), file("name: n", "b"), "version: 1\n" + ACCOUNT.format("c")) == [
        ("n", "https://x", ["a@example.com", "b@example.com", "c@example.com"])
    ]


def test_rules_across_files_hold_for_each_server(write: Write, complain: Complain) -> None:
    one, two = file("url: 'https://x'"), file("url: 'https://y'")
    assert len(read_fleet([write(one, "a.yaml"), write(two, "b.yaml")]).servers) == 2
    assert complain(one, two, two.replace("'https://y'", "'https://y/'")) == [
        "duplicate_account | c.yaml:3:20: this account is declared twice (the other is at b.yaml:3:20) "
        "| keep one of the two; if the server holds the address twice, pin each with its id"
    ]


def test_a_default_account_is_one_for_each_server(write: Write) -> None:
    names = [
        write(file(f"url: 'https://{host}'").replace("gmail", "gmail, default: true"), f"{host}.yaml") for host in "xy"
    ]
    names.append(write(file("url: 'https://x'", "b"), "b.yaml"))
    names.append(write(file("url: 'https://z'", "b"), "z.yaml"))
    fleet = read_fleet(names)
    assert [[entry.account.fields.get("default") for entry in one.accounts] for one in fleet.servers] == [
        [True, False],
        [True],
        [None],
    ]


@pytest.mark.parametrize(
    ("texts", "problems"),
    [
        (
            ["url: 'https://x', name: a", "url: 'https://y', name: a"],
            [
                "duplicate_server | b.yaml:2:34: two servers are called a (the other is at a.yaml:2:34) "
                "| one name belongs to one URL: give each server a name of its own, or both the same URL"
            ],
        ),
        (
            ["url: 'https://x'", "url: 'https://x:8443'"],
            [
                "duplicate_server | b.yaml:2:15: two servers are called x (the other is at a.yaml:2:15) "
                "| one name belongs to one URL: give each server a name of its own, or both the same URL"
            ],
        ),
        (
            ["url: 'https://x', name: a", "url: 'https://x', name: b", "url: 'https://y'"],
            [
                "conflict | b.yaml:2:34: server.name differs between files (the other is at a.yaml:2:34) "
                "| keep it in one file"
            ],
        ),
        (
            ["url: 'https://x', name: south", "url: 'https://y', name: north", "name: suoth"],
            ['no_server | c.yaml:2:16: no file gives the URL of the server suoth | did you mean "south"?'],
        ),
        (
            ["url: 'https://x'", "url: 'https://y'", ""],
            [
                "several_servers | c.yaml:1:1: it is not clear which server this file is about: the files name several "
                "| write server.name, or server.url, in every file of a fleet"
            ],
        ),
    ],
)
def test_servers_that_cannot_be_told_apart_are_errors(
    complain: Complain, texts: list[str], problems: list[str]
) -> None:
    accounts = iter("abc")
    assert complain(*(file(text, next(accounts)) for text in texts)) == problems


def test_every_server_of_a_fleet_reports_its_errors_at_once(write: Write) -> None:
    names = [
        write(file(f"url: 'https://{host}'").replace("gmail", "gmial"), f"{host}.yaml") for host in ("v", "w", "x", "y")
    ]
    with pytest.raises(ManifestError, match=r"gmial.*4 times"):
        read_fleet(names)


def test_what_is_not_about_a_server_is_a_warning_of_the_fleet(write: Write) -> None:
    for host in "xy":
        write(file(f"url: 'https://{host}'"), f"d/{host}.yaml")
    write("text", "d/readme.txt")
    fleet = read_fleet(["d"])
    assert [str(warning.position) for warning in fleet.warnings] == ["d/readme.txt"]
    assert [one.warnings for one in fleet.servers] == [(), ()]


def test_a_copy_that_keeps_the_old_name_is_an_error(write: Write) -> None:
    base = 'version: 1\nbase: true\nserver: {url: "https://${name}.example.com"}\n'
    write(base + "accounts: [{email: c@x, name: c, service: gmail, default: true}]\n", "base.yaml")
    branch = "version: 1\nextends: base.yaml\nserver: {name: b1, labels: {ring: main}}\nvars: {}\n"
    first = write(branch + ACCOUNT.format("a"), "b1.yaml")
    copy = write(branch + ACCOUNT.format("b"), "b2.yaml")
    with pytest.raises(ManifestError) as caught:
        read_fleet([first, copy])
    assert [(one.kind, str(one)) for one in caught.value.problems] == [
        (
            "duplicate_server",
            "b2.yaml:3:16: another file declares the server b1 too (the other is at b1.yaml:3:16)",
        )
    ]
    team = write("version: 1\nserver: {name: b1}\npolicy: {own: ['b@*']}\n" + ACCOUNT.format("b"), "b2.yaml")
    assert len(read_fleet([first, team]).servers) == 1


def test_a_warning_about_a_base_is_the_same_for_every_server(write: Write) -> None:
    base = 'version: 1\nbase: true\nserver: {url: "https://${name}.example.com"}\n'
    entry = "accounts: [{email: a@example.com, name: a, service: gmail, has_auth: true, password: sesame}]\n"
    write(base + entry, "base.yaml")
    paths = [write(f"version: 1\nextends: base.yaml\nserver: {{name: b{n}}}\n", f"b{n}.yaml") for n in (1, 2)]
    first, second = (one.warnings for one in read_fleet(paths).servers)
    assert first == second
    assert [str(one.position) for one in first] == ["base.yaml:4"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:${port}", "${port} is not allowed in server: it would control where credentials go"),
        ("https://${host}.example.com", "${host} is not allowed in server: it would control where credentials go"),
        ("htps://${name}", 'url: the URL must begin with https:// or http://, found "htps://a"'),
    ],
)
def test_a_wrong_url_in_a_base_is_the_only_problem(write: Write, url: str, problem: str) -> None:
    write("version: 1\nbase: true\nserver: {url: '" + url + "', auth: {access_token: {env: T}}}\n", "base.yaml")
    child = "version: 1\nextends: base.yaml\nserver: {{name: {0}, labels: {{ring: {0}}}}}\n"
    given = "vars: {{port: '1', host: {0}}}\naccounts: [{{email: a@x, name: a, service: gmail, default: true}}]\n"
    paths = [write((child + given).format(name), f"{name}.yaml") for name in "abcde"]
    with pytest.raises(ManifestError) as caught:
        read_fleet(paths)
    assert [str(one) for one in caught.value.problems] == [
        f"base.yaml:3:15: {problem} (extended at a.yaml:2:10, and in 4 more files)"
    ]


def test_a_file_with_the_right_url_is_no_other_server_than_one_with_a_wrong_url(write: Write) -> None:
    paths = [write(file("name: b, url: 'https://b'"), "a.yaml"), write(file("name: b, url: 'htps://b'", "b"), "b.yaml")]
    with pytest.raises(ManifestError) as caught:
        read_fleet(paths)
    assert [one.kind for one in caught.value.problems] == ["wrong_value"]
