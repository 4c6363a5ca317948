"""Reads back what earlier runs wrote: a saved plan as ``Change`` values, and the servers of a result."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem, ReconcilerError
from reconciler.model.account import NO_EXTRA, NO_FIELDS, Account
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.outcome import ServerStatus
from reconciler.model.plan import Action, Change, FieldChange, PlanStatus
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.planning.fields import TIMES
from reconciler.report.json import FORMAT_VERSION, MALFORMED, Document, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class InconsistentPlanError(ValueError):
    """The plan contradicts itself: it is not as this program wrote it."""


@dataclass(frozen=True, slots=True)
class ReviewedPlan:
    """The part of a saved plan that is about one server.

    Attributes:
        uncompared: Updates of passwords that were not compared; ``None`` if passwords were compared.
    """

    changes: tuple[Change, ...]
    uncompared: tuple[Change, ...] | None = None

    def with_test(self, given: DeliveryTestSettings) -> ReviewedPlan:
        """The reviewed plan with the command line's setting for delivery tests; it overrides the reviewed one."""
        changes, uncompared = (
            tuple(replace(change, test=given.over(change.test)) if change.after else change for change in listed or ())
            for listed in (self.changes, self.uncompared)
        )
        return ReviewedPlan(changes, None if self.uncompared is None else uncompared)


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan that was saved and reviewed.

    Attributes:
        servers: What was reviewed for each server, by URL.
    """

    path: str
    servers: Mapping[str, ReviewedPlan]


def parse_plan(text: bytes, path: str) -> SavedPlan:
    """Reads a saved plan.

    Args:
        text: The file's content.
        path: The file, for messages.

    Raises:
        ReconcilerError: It is not a plan as ``plan --save`` wrote it.
    """
    try:
        document = json.loads(text)
        is_applicable = document["format_version"] == FORMAT_VERSION and document["applyable"] is True
        servers = _read_servers(document) if is_applicable else {}
    except InconsistentPlanError:
        raise unusable_plan(path, "was changed after it was saved") from None
    except MALFORMED:
        raise unusable_plan(path, "is not a saved plan, or was cut short") from None
    if not is_applicable:
        raise unusable_plan(path, "holds a plan that cannot be applied")
    return SavedPlan(path, servers)


def _read_servers(document: Document) -> dict[str, ReviewedPlan]:
    entries, others = document["resource_changes"], document.get("not_compared")
    if document["digest"] != digest([*entries, *(others or ())]):
        raise InconsistentPlanError
    changes, uncompared = _by_server(entries), _by_server(others or ())
    return {
        str(server["url"]): ReviewedPlan(
            tuple(map(read_change, changes[server["name"]])),
            None if others is None else tuple(map(read_change, uncompared[server["name"]])),
        )
        for server in document["servers"]
        if server["status"] == PlanStatus.PLANNED
    }


def _by_server(entries: Sequence[Document]) -> Mapping[str, list[Document]]:
    found: defaultdict[str, list[Document]] = defaultdict(list)
    for entry in entries:
        found[entry["server"]].append(entry)
    return found


def parse_unfinished(text: bytes, path: str) -> frozenset[str] | None:
    """The names of the servers that did not succeed, from a result; ``None`` if the run did not get to any server.

    Args:
        text: The file's content.
        path: The file, for messages.

    Raises:
        ReconcilerError: It is not a result as ``apply --format json`` wrote it.
    """
    done = (ServerStatus.APPLIED, ServerStatus.UNCHANGED)
    try:
        document = json.loads(text)
        is_result = document["format_version"] == FORMAT_VERSION and isinstance(document["results"], list)
        servers = [(str(server["name"]), ServerStatus(server["status"])) for server in document["servers"]]
    except MALFORMED:
        raise unusable_result(path, "is not a result, or was cut short") from None
    if not is_result:
        raise unusable_result(path, "is not a result of this version")
    return frozenset(name for name, status in servers if status not in done) if servers else None


def unusable_result(path: str, what: str) -> ReconcilerError:
    """A file that cannot be used as an earlier result."""
    message, hint = f"{path or repr(path)} {what}", "name the document of `reconciler apply --format json`"
    return ReconcilerError(Problem(kind=Kind.BAD_RESULT_FILE, message=message, hint=hint))


def unusable_plan(path: str, what: str) -> ReconcilerError:
    """A file that cannot be used as a saved plan."""
    message, hint = f"{path or repr(path)} {what}", "make a new one with `reconciler plan --save`"
    return ReconcilerError(Problem(kind=Kind.BAD_PLAN_FILE, message=message, hint=hint))


def read_change(entry: Document) -> Change:
    """A change as the planner makes it.

    Raises:
        InconsistentPlanError: The planner makes no such change: anyone can compute a digest.
    """
    what, test = entry["change"], entry.get("test", {})
    action = Action(what["actions"][0])
    times = [entry.get("times", {}).get(name) for name in TIMES]
    before, after = _read_account(what["before"], *times), _read_account(what["after"], None, None)
    address, names, source = entry["name"], entry["fields"], entry.get("password_from")
    texts = (entry["address"], address, *names, source or "", test.get("to_email", ""), *filter(None, times))
    is_consistent = (
        len(what["actions"]) == 1
        and (before is None) == (action is Action.CREATE)
        and (after is None) == (action is Action.DELETE)
        and all(isinstance(account.fields["email"], str) for account in (before, after) if account)
        and all(isinstance(text, str) for text in texts)
    )
    if not is_consistent:
        raise InconsistentPlanError
    old, new = (account.fields if account else NO_FIELDS for account in (before, after))
    return Change(
        action=action,
        address=address,
        before=before,
        after=after,
        managed={"password": Secret("", source)} if source else NO_FIELDS,
        fields=tuple(FieldChange(name, old.get(name), new.get(name)) for name in names),
        test=DeliveryTestSettings(DeliveryTestWhen(test["when"]), test.get("to_email")) if test else NO_DELIVERY_TEST,
    )


def _read_account(state: Document | None, created_at: str | None, updated_at: str | None) -> Account | None:
    if state is None:
        return None
    fields = {name: value for name, value in state.items() if name != "id"}
    if updated_at is not None:
        fields["password"] = UNKNOWN
    return Account(fields, state.get("id"), NO_EXTRA, created_at, updated_at)
