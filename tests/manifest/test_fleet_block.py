"""The keys that concern fleets: labels, suspension, queues, the fleet block, and files that share a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.manifest.reader import read_fleet, read_manifests
from reconciler.model.account import Globs
from reconciler.model.desired import Amount
from reconciler.model.fleet import ALL_AT_ONCE, Rollout, Selector

if TYPE_CHECKING:
    from tests.manifest.conftest import Complain, Write

HEAD = "version: 1\naccounts: []\n"
FLEET = "version: 1\nfleet: "
ACCOUNT = "accounts: [{email: a@sales.example.com, name: A, service: gmail}]\n"


def test_a_server_has_labels_a_queue_and_a_suspension(write: Write) -> None:
    server = read_manifests(
        [write(HEAD + "server: {labels: {region: south, ring: '1'}, queue: south, suspended: moving}\n")]
    ).server
    assert (server.labels, server.queue, server.suspended) == ({"region": "south", "ring": "1"}, "south", "moving")


def test_labels_of_several_files_are_merged(write: Write) -> None:
    names = [write(HEAD + f"server: {{labels: {{{text}}}}}\n", f"{text[0]}.yaml") for text in ("a: x", "b: y")]
    assert read_manifests(names).server.labels == {"a": "x", "b": "y"}


def test_the_fleet_block_says_how_a_rollout_proceeds(write: Write) -> None:
    block = (
        "{min_servers: 3, rollout: {canary: 'ring=canary', batches: [1, 5%, 100%], max_failures: 2%, "
        "max_unreachable: 3, pause: 5m}}\n"
    )
    fleet = read_fleet([write(FLEET + block, "fleet.yaml"), write(HEAD, "a.yaml")])
    assert fleet.min_servers == 3
    assert fleet.rollout == Rollout(
        canary=Selector.parse("ring=canary"),
        batches=(Amount(1, percent=False), Amount(5, percent=True), Amount(100, percent=True)),
        max_failures=Amount(2, percent=True),
        max_unreachable=Amount(3, percent=False),
        pause=300.0,
    )
    assert len(fleet.servers) == 1
    assert read_fleet(["a.yaml"]).rollout == ALL_AT_ONCE


def test_a_canary_selector_that_matches_no_server_is_a_warning(write: Write) -> None:
    servers = [
        write(HEAD + f"server: {{url: 'https://{name}', labels: {{ring: canary}}}}", f"{name}.yaml") for name in "xy"
    ]
    right = write(FLEET + "{rollout: {canary: 'ring=canary'}}", "right.yaml")
    wrong = write(FLEET + "{rollout: {canary: 'ring=canry'}}", "wrong.yaml")
    assert read_fleet([*servers, right]).warnings == ()
    assert [(one.kind, str(one)) for one in read_fleet([*servers, wrong]).warnings] == [
        ("no_canary", "wrong.yaml:2:27: canary: ring=canry matches no server")
    ]


def test_a_mistake_in_the_fleet_block_is_the_only_problem(complain: Complain) -> None:
    servers = [HEAD + f"server: {{url: 'https://{name}'}}\n" for name in "xy"]
    assert complain(*servers, FLEET + "{rollout: {max_failure: 1}}\n") == [
        'unknown_key | c.yaml:2:19: unknown key "max_failure" | did you mean "max_failures"?'
    ]


def test_two_fleet_blocks_have_to_be_equal(complain: Complain, write: Write) -> None:
    same = [write(FLEET + text, f"{index}.yaml") for index, text in enumerate(["{min_servers: 3}", "{min_servers: 3}"])]
    assert read_fleet([*same, write(HEAD, "a.yaml")]).min_servers == 3
    assert complain(FLEET + "{min_servers: 3}", FLEET + "{min_servers: 4}", HEAD) == [
        "conflict | b.yaml:2:8: fleet differs between files (the other is at a.yaml:2:8) | keep it in one file"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "fleet: {rollout: {canary: ring}}",
            "wrong_value | a.yaml:3:27: canary: expected terms such as label=value or label!=value, "
            'found "ring" | write region=south,name=b0*',
        ),
        (
            "fleet: {rollout: {canary: 3}}",
            "wrong_value | a.yaml:3:27: canary: expected a selector, found a number, found 3 | write it as label=value",
        ),
        (
            "fleet: {rollout: {batches: [1, x]}}",
            "wrong_value | a.yaml:3:32: batches[1]: expected a number from 0, or a percentage from 0% to 100%, "
            'found "x" | write it as 5 or as 30%',
        ),
        (
            "fleet: {rollout: {batches: 1}}",
            "wrong_type | a.yaml:3:28: batches: expected a list, found a number",
        ),
        (
            "fleet: {rollout: {pause: soon}}",
            'wrong_value | a.yaml:3:26: pause: expected a duration up to a day, found "soon" '
            "| write it as 30s, 5m or 1h",
        ),
        (
            "fleet: {rollout: {pause: 30}}",
            "wrong_value | a.yaml:3:26: pause: a duration has a unit, found 30 | write 30s for seconds",
        ),
        (
            'fleet: {rollout: {pause: "30"}}',
            'wrong_value | a.yaml:3:26: pause: a duration has a unit, found "30" | write 30s for seconds',
        ),
        ("fleet: {min_server: 3}", 'unknown_key | a.yaml:3:9: unknown key "min_server" | did you mean "min_servers"?'),
        (
            "server: {labels: {name: x}}",
            'wrong_value | a.yaml:3:19: name: name is always the server\'s name in a selector, found "name" '
            "| give the label another key",
        ),
        (
            "server: {labels: {a: 'x,y'}}",
            'wrong_value | a.yaml:3:22: a: the value of a label has neither , nor =, found "x,y" | leave them out',
        ),
        ("server: {labels: {a: 3}}", "wrong_type | a.yaml:3:22: a: expected a string, found 3 | put it in quotes"),
        (
            "server: {labels: {a: }}",
            "empty_value | a.yaml:3:19: a has no value "
            "| give it one, or leave the key out; a value that begins with # or & needs quotes",
        ),
        (
            "server: {queue: 'a b'}",
            'wrong_value | a.yaml:3:17: queue: this is not the name of a queue, found "a b" '
            "| letters, digits and . _ - only",
        ),
        (
            "vars: {name: x}",
            'wrong_value | a.yaml:3:8: name: ${name} is always the server\'s name, found "name" '
            "| give the variable another name",
        ),
        ("vars: {a: 3}", "wrong_type | a.yaml:3:11: a: expected a string, found 3 | put it in quotes"),
        (
            "policy: {own: []}",
            "wrong_value | a.yaml:3:15: own: this cannot be empty, found a list "
            "| leave the key out if the file is responsible for every address",
        ),
    ],
)
def test_a_wrong_value_is_explained_where_it_is(complain: Complain, text: str, problem: str) -> None:
    assert complain(HEAD + text + "\n") == [problem]


@pytest.mark.parametrize("text", ["version: 1\nbase: true\n", FLEET + "{}\n"])
def test_files_that_declare_no_server_are_not_an_empty_set(complain: Complain, text: str) -> None:
    (problem,) = complain(text)
    assert problem.startswith("no_server | a.yaml:1:1: no server is declared")


def test_a_base_is_not_a_server(write: Write) -> None:
    base = write("version: 1\nbase: true\nserver: {url: 'https://y'}\n" + ACCOUNT, "base.yaml")
    desired = read_manifests([write(HEAD + "server: {url: 'https://x'}\n"), base])
    assert (desired.server.url, desired.accounts) == ("https://x", ())


def own(pattern: str | None, account: str) -> str:
    policy = f"policy: {{own: ['{pattern}']}}\n" if pattern else ""
    return f"version: 1\n{policy}accounts: [{{email: {account}, name: {account[0]}, service: gmail}}]\n"


def test_a_server_owns_what_its_files_own_together(write: Write) -> None:
    names = [write(own("*@a", "x@a"), "a.yaml"), write(own("*@b", "y@b"), "b.yaml")]
    assert read_manifests(names).policy.own == Globs(("*@a", "*@b"))
    assert read_manifests([*names, write(own(None, "z@c"), "c.yaml")]).policy.own == Globs()


def test_a_file_declares_only_addresses_of_its_own(complain: Complain) -> None:
    hint = "declare the account in another file, or widen policy.own"
    outside = "matches no pattern of policy.own, which limits this file to"
    text = own("*@a", "x@b").replace("name:", "renamed_from: y@a, name:")
    more = own("*@c', '*@d', '*@e', '*@f', '*@g", "z@c").replace("name:", "renamed_from: z@a, name:")
    assert complain(text, more) == [
        f'not_own | a.yaml:3:20: x@b {outside} "*@a" (policy.own is at a.yaml:2:15) | {hint}',
        f'not_own | b.yaml:3:39: z@a {outside} "*@c", "*@d", "*@e" and 2 more (policy.own is at b.yaml:2:15) | {hint}',
    ]
