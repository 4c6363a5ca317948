"""Which servers of a fleet a run is about: a selector, a shard, those that failed before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidValueError, Kind, Problem, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reconciler.model.desired import Desired
    from reconciler.model.fleet import Fleet, Selector

_SHARD: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
_INDEX: Final = re.compile(r"[0-9]{1,6}")
_HINT: Final = "write it as 3/16, or as auto in a Kubernetes Indexed Job or a parallel GitLab job"


@dataclass(frozen=True, slots=True)
class Shard:
    """A stable part of a fleet: a server belongs to the same shard in every run, whatever other servers there are.

    Attributes:
        index: From 1 to ``count``.
    """

    index: int
    count: int

    def contains(self, name: str) -> bool:
        """Whether the server of this name belongs to the shard."""
        return int.from_bytes(sha256(name.encode()).digest()[:8]) % self.count == self.index - 1

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str]) -> Shard:
        """Reads ``3/16``; for ``auto``, the variables of a Kubernetes Indexed Job or of a parallel GitLab job.

        Raises:
            InvalidValueError: It is not a shard, or none of the variables is set.
        """
        if text == "auto":
            text = _from_variables(environ)
        found = _SHARD.fullmatch(text)
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not 1 <= shard.index <= shard.count:
            raise InvalidValueError("expected a shard from 1 to the number of shards", _HINT)
        return shard


def _from_variables(environ: Mapping[str, str]) -> str:
    index, total = environ.get("JOB_COMPLETION_INDEX", ""), environ.get("JOB_COMPLETIONS", "")
    if _INDEX.fullmatch(index) and total:
        return f"{int(index) + 1}/{total}"
    index, total = environ.get("CI_NODE_INDEX", ""), environ.get("CI_NODE_TOTAL", "")
    if index and total:
        return f"{index}/{total}"
    message = "auto needs JOB_COMPLETION_INDEX with JOB_COMPLETIONS, or CI_NODE_INDEX with CI_NODE_TOTAL"
    raise InvalidValueError(message, _HINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the user narrows a run to.

    Attributes:
        selector: Which servers; ``None`` for all.
        shard: Which part of those; ``None`` for all.
        names: Only these; ``None`` for all.
    """

    selector: Selector | None = None
    shard: Shard | None = None
    names: Collection[str] | None = None


def select(fleet: Fleet, selection: Selection) -> tuple[Desired, ...]:
    """The selected servers of a fleet, by name. A shard may be empty.

    Raises:
        GuardError: The fleet declares fewer servers than it must.
        ReconcilerError: The selector matches no server.
    """
    fleet.check_min_servers()
    found = fleet.servers
    if selection.selector:
        found = tuple(one for one in found if selection.selector.matches(one.named_server))
        if not found:
            raise ReconcilerError(_nothing_selected(fleet, selection.selector))
    if selection.names is not None:
        found = tuple(one for one in found if one.named_server.name in selection.names)
    if selection.shard:
        found = tuple(one for one in found if selection.shard.contains(one.named_server.name))
    return found


def _nothing_selected(fleet: Fleet, selector: Selector) -> Problem:
    labels = sorted({label for one in fleet.servers for label in one.server.labels})
    hint = f"the labels are {', '.join(['name', *labels])}"
    return Problem(kind=Kind.NOTHING_SELECTED, message=f"--select {selector} matches no server", hint=hint)
