"""The targets of fuzzing: each takes any bytes, and raises only if there is a bug."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.client.errors import error_from_status
from reconciler.client.transport import InvalidResponseError, Response
from reconciler.client.wire import read_list, read_one, read_token, to_account
from reconciler.errors import ReconcilerError
from reconciler.manifest.export import export_manifest
from reconciler.manifest.reader import read_manifests
from reconciler.model.desired import Desired
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan
from reconciler.report.formats import PLAN_FORMATS, Format, PlanInput, RenderContext, renderer

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECONDS: Final = 20.0
"""CPU time that only an endless loop or a quadratic algorithm takes for a few kilobytes."""

_FILE: Final = Path(tempfile.mkdtemp(prefix="reconciler-fuzz-")) / "accounts.yaml"
_SERVER: Final = Server("fw", "https://fw.example.com")
_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CONTEXT: Final = RenderContext(
    started_at=datetime(2026, 1, 1, tzinfo=UTC), finished_at=datetime(2026, 1, 1, tzinfo=UTC)
)
_CANARY: Final = "Kq7Zr2-canary-Wm9Xs4"


def yaml(data: bytes) -> None:
    """The YAML loader: a desired set, or errors that show no literal password."""
    _FILE.write_bytes(data)
    try:
        desired = read_manifests([str(_FILE)])
    except ReconcilerError as error:
        problems = error.problems
    else:
        make_plan(Desired(desired.accounts, desired.policy), (), _SERVER, PlanOptions(allow_empty=True))
        return
    assert problems
    assert all(one.message and one.kind and "\n" not in one.message for one in problems)


def wire(data: bytes) -> None:
    """The wire models: accounts, of which every document can be made, or a refusal."""
    for read in (read_one, read_token):
        with suppress(InvalidResponseError):
            read(data)
    try:
        accounts = tuple(map(to_account, read_list(data)))
    except InvalidResponseError:
        return
    _FILE.write_text(export_manifest(accounts, server=_SERVER).text, encoding="utf-8")
    with suppress(ReconcilerError):  # the server may hold two accounts that the YAML cannot tell apart
        read_manifests([str(_FILE)])
    plan = make_plan(Desired(()), accounts, _SERVER, PlanOptions(allow_empty=True))
    for chosen in PLAN_FORMATS:
        document = renderer("plan", chosen)(PlanInput(plans=(plan,)), _CONTEXT)
        document.encode()
        assert chosen is Format.GITHUB or not any(line.lstrip().startswith("::") for line in document.split("\n"))


def refusal(data: bytes) -> None:
    """An error's body: a message on one line, without the secret that the body begins or ends with."""
    redactor = Redactor()
    redactor.add(Secret(_CANARY))
    body = data + _CANARY.encode()
    for status in (400, 302, 500):
        (problem,) = error_from_status(Response(status, (), body), redactor).problems
        assert problem.message.isprintable()
        assert _CANARY not in problem.message


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"yaml": yaml, "wire": wire, "refusal": refusal}


def within_bounds(target: Callable[[bytes], None], data: bytes) -> None:
    """Runs ``target``, and fails if it takes too long."""
    start = time.process_time()
    target(data)
    assert time.process_time() - start < MAX_SECONDS, "too slow"
