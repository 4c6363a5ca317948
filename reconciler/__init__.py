"""Keep the email accounts of iTFLEX appliances in Git: declare them in YAML, review the plan, apply it safely.

The library does what the command line does:

    import reconciler

    desired = reconciler.load("accounts.yaml")
    with reconciler.connect(desired) as server:
        plan = reconciler.plan(desired, server)
        report = reconciler.apply(plan, server)

And for many servers:

    fleet = reconciler.load_fleet("fleet/")
    with reconciler.FleetRun(fleet.servers, reconciler.ServerRunOptions(paths=["fleet/"])) as run:
        plans = run.plan()
        reports = run.apply(fleet.rollout)

Each name below is imported on first use. Everything else in the package is private, and may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.credentials import ServerOptions
    from reconciler.errors import (
        ApiError,
        GuardError,
        Kind,
        LockedError,
        ManifestError,
        NotFoundError,
        NotTrustedError,
        OutcomeUnknownError,
        PlanError,
        Position,
        Problem,
        ReconcilerError,
        RejectedError,
        SecretError,
        UnreachableError,
        WithheldError,
    )
    from reconciler.fleet.runner import FleetRun
    from reconciler.fleet.selection import Selection, Shard, select
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.account import Account, Globs
    from reconciler.model.desired import (
        Amount,
        DeleteLimit,
        DeliveryTestSettings,
        DeliveryTestWhen,
        Desired,
        DesiredAccount,
    )
    from reconciler.model.fleet import Fleet, Rollout, Selector
    from reconciler.model.on_failure import OnFailure
    from reconciler.model.outcome import DeliveryTestResult, Outcome, Report, ServerStatus, Status
    from reconciler.model.plan import Action, Change, DeliveryTest, FieldChange, Plan
    from reconciler.model.secret import Secret
    from reconciler.model.server import Server
    from reconciler.model.trust import Trust
    from reconciler.planning.planner import PlanOptions
    from reconciler.reconcile import (
        Connection,
        RunContext,
        apply,
        connect,
        export,
        load,
        load_fleet,
        plan,
        plan_tests,
        read_trust,
        resolve,
        test,
        validate,
    )

__all__ = [
    "Account",
    "Action",
    "Amount",
    "ApiError",
    "Change",
    "Connection",
    "DeleteLimit",
    "DeliveryTest",
    "DeliveryTestResult",
    "DeliveryTestSettings",
    "DeliveryTestWhen",
    "Desired",
    "DesiredAccount",
    "FieldChange",
    "Fleet",
    "FleetRun",
    "Globs",
    "GuardError",
    "Kind",
    "LockedError",
    "ManifestError",
    "NotFoundError",
    "NotTrustedError",
    "OnFailure",
    "Outcome",
    "OutcomeUnknownError",
    "Plan",
    "PlanError",
    "PlanOptions",
    "Position",
    "Problem",
    "ReconcilerError",
    "RejectedError",
    "Report",
    "Rollout",
    "RunContext",
    "Secret",
    "SecretError",
    "Selection",
    "Selector",
    "Server",
    "ServerOptions",
    "ServerRunOptions",
    "ServerStatus",
    "Shard",
    "Status",
    "Trust",
    "UnreachableError",
    "WithheldError",
    "apply",
    "connect",
    "export",
    "load",
    "load_fleet",
    "plan",
    "plan_tests",
    "read_trust",
    "resolve",
    "select",
    "test",
    "validate",
]

_HOMES = {
    "credentials": "ServerOptions",
    "errors": "ApiError GuardError Kind LockedError ManifestError NotFoundError NotTrustedError OutcomeUnknownError"
    " PlanError Position Problem ReconcilerError RejectedError SecretError UnreachableError WithheldError",
    "fleet.runner": "FleetRun",
    "fleet.selection": "Selection Shard select",
    "fleet.server_run": "ServerRunOptions",
    "model.account": "Account Globs",
    "model.desired": "Amount DeleteLimit DeliveryTestSettings DeliveryTestWhen Desired DesiredAccount",
    "model.fleet": "Fleet Rollout Selector",
    "model.on_failure": "OnFailure",
    "model.outcome": "DeliveryTestResult Outcome Report ServerStatus Status",
    "model.plan": "Action Change DeliveryTest FieldChange Plan",
    "model.secret": "Secret",
    "model.server": "Server",
    "model.trust": "Trust",
    "planning.planner": "PlanOptions",
    "reconcile": "Connection RunContext apply connect export load load_fleet plan plan_tests read_trust resolve test"
    " validate",
}
"""Where the public names are."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type of the name; type checkers read the imports above
    """Imports a public name on first use."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(f"reconciler.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
