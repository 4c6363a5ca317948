"""The library: load, connect, plan, apply, test, export. The commands call these functions."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Self

from reconciler.credentials import CredentialSelector, ServerOptions, effective_url, remember_credentials
from reconciler.errors import GuardError, Kind, NotTrustedError, PlanError, Problem, ReconcilerError, internal_error
from reconciler.model.account import Globs
from reconciler.model.on_failure import OnFailure
from reconciler.model.ports import Notifier, RunObserver
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
    from types import TracebackType

    from reconciler.applying.worker_pool import InterruptGate
    from reconciler.client.gateway import ConnectionSettings, ServerConnection
    from reconciler.credentials import ServerAccess
    from reconciler.manifest.export import Export
    from reconciler.manifest.secrets import SecretResolver
    from reconciler.model.account import Account
    from reconciler.model.desired import Desired, DesiredAccount
    from reconciler.model.fleet import Fleet
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, DeliveryTest, Plan
    from reconciler.model.ports import AccountReader, AccountWriter
    from reconciler.model.server import Server
    from reconciler.model.trust import Trust
    from reconciler.planning.planner import PlanOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a run takes from outside. Pass one context to all functions of a run.

    Attributes:
        server: The settings of the server from the command line or the calling program.
        environ: Environment variables, for credentials and for references to secrets.
        trust: What the manifests may use; ``None`` without a trust file. ``read_trust`` reads one.
        allow_commands: Whether ``{command: ...}`` references run without a trust file that lists them.
        within: The folder that manifests, and the files with secrets beside them, must be in; ``None`` for the paths
            that the user named and the working directory.
        redactor: Learns the run's secrets, and masks them in text from outside.
        stop: Set it from another thread to stop: no new write starts, and those under way finish.
        notifier: Prints warnings and notes that occur while a connection is in use.
        explain_bug: Describes a bug that ended a single write or delivery test. Several threads call it.
        replaced_tokens: Remembers refresh tokens that servers replace, for a process that connects again and again.
        fence: Called with the server at the moment when a write or a delivery test is sent to it. If it raises
            ``WithheldError``, nothing is sent. If the error is transient, the write begins again, with a read.
    """

    server: ServerOptions = field(default_factory=ServerOptions)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    trust: Trust | None = None
    allow_commands: bool = False
    within: str | None = None
    redactor: Redactor = field(default_factory=Redactor)
    stop: threading.Event = field(default_factory=threading.Event)
    notifier: Notifier = field(default_factory=Notifier)
    explain_bug: Callable[[Exception], str] = internal_error
    replaced_tokens: MutableMapping[object, Secret] | None = None
    fence: Callable[[Server], None] | None = None

    @property
    def may_run_commands(self) -> bool:
        """Whether secret commands may run. With a trust file they may, because it has to list them."""
        return self.allow_commands or self.trust is not None

    def server_url(self, declared: str | None) -> str:
        """The URL of the server: from the options, else from the environment, else the one in the manifests.

        Raises:
            ApiError: There is none, or it is not the URL of a server.
        """
        return effective_url(self.server.url, self.environ, declared)


def read_trust(path: str) -> Trust:
    """Reads a trust file.

    Raises:
        ManifestError: With every problem in the file.
    """
    from reconciler.manifest.trust import read_trust as read

    return read(path)


def read_fleet(*paths: str, within: str | None = None) -> Fleet:
    """Reads manifests of any number of servers without resolving a secret.

    On Linux, many files are parsed by several processes, unless this one has further threads or may start none.

    Args:
        paths: YAML or JSON files, and folders of them.
        within: As in ``RunContext``.

    Raises:
        ManifestError: With every problem in the manifests.
    """
    from reconciler.manifest import reader

    return reader.read_fleet(paths, within)


def validate(*paths: str, context: RunContext | None = None) -> Desired:
    """Reads manifests, and checks that they use only what they may use. Resolves nothing.

    Raises:
        ManifestError: With every problem in the manifests.
        NotTrustedError: With everything that they may not use.
    """
    from reconciler.manifest.reader import read_manifests

    context = context or RunContext()
    desired = read_manifests(paths, context.within)
    approve([desired], None, context)
    return desired


def load(
    *paths: str,
    only: Iterable[str] = (),
    to_email: str | None = None,
    no_secrets: bool = False,
    context: RunContext | None = None,
) -> Desired:
    """Reads manifests, checks that they use only what they may use, and resolves the passwords.

    Args:
        paths: YAML or JSON files, and folders of them. Together they declare one server.
        only: Address patterns. Only passwords of matching accounts are resolved.
        to_email: The recipient of all delivery tests, if the caller sets one.
        no_secrets: Whether passwords stay references. A plan then compares none.
        context: What the run takes from outside.

    Raises:
        ManifestError: With every problem in the manifests.
        NotTrustedError: With everything that they may not use. Nothing was resolved, run or sent.
        SecretError: With every reference that cannot be resolved.
    """
    from reconciler.manifest.reader import read_manifests

    context = context or RunContext()
    desired = read_manifests(paths, context.within)
    return resolve(desired, paths, only=only, to_email=to_email, no_secrets=no_secrets, context=context)


def load_fleet(*paths: str, context: RunContext | None = None) -> Fleet:
    """Reads manifests of any number of servers, and checks that they use only what they may use.

    Passwords are resolved server by server, by ``resolve`` or ``FleetRun``: a missing one fails only its own server.

    Args:
        paths: YAML or JSON files, and folders of them.
        context: What the run takes from outside.

    Raises:
        ManifestError: With every problem in the manifests.
        NotTrustedError: With everything that they may not use. Nothing was resolved, run or sent.
        ReconcilerError: They declare several servers, and the context gives one URL for all of them.
    """
    context = context or RunContext()
    fleet = read_fleet(*paths, within=context.within)
    check_single_url(fleet, context)
    approve(fleet.servers, paths, context)
    return fleet


def check_single_url(fleet: Fleet, context: RunContext) -> None:
    """Refuses one URL for several servers: all of them would get each other's accounts.

    Raises:
        ReconcilerError: The manifests declare several servers, and an option or the environment gives a URL.
    """
    if len(fleet.servers) > 1 and (context.server.url or context.environ.get("RECONCILER_URL")):
        given = "--url" if context.server.url else "RECONCILER_URL"
        message = f"{given} names one server, and the files declare {len(fleet.servers)}"
        raise ReconcilerError.of(message, kind=Kind.SEVERAL_SERVERS, hint=f"remove {given}, or name fewer files")


def approve(
    servers: Iterable[Desired], paths: Sequence[str] | None, context: RunContext, *, to_email: str | None = None
) -> None:
    """Checks, before anything is resolved, run or sent, that the manifests of all servers use only what they may use.

    Args:
        servers: What the manifests declare.
        paths: The manifests, as the user named them; ``None`` if it does not matter yet where files are.
        context: What the run takes from outside.
        to_email: The recipient of all delivery tests, if the caller sets one.

    Raises:
        NotTrustedError: With everything that they may not use. A problem of a base is the same for many servers.
    """
    from reconciler.manifest.trust_check import TrustCheckContext, check_trust

    problems: dict[Problem, None] = {}
    own_files = () if paths is None else context.server.own_files(context.environ)
    for desired in servers:
        url = desired.server.url
        if paths is not None:
            url = context.server_url(url) if context.trust else None
        request = TrustCheckContext(
            paths=paths,
            environ=context.environ,
            url=url,
            name=desired.server.as_server(url or "").name,
            own_files=own_files,
            to_email=to_email,
            within=context.within,
        )
        try:
            check_trust(desired, context.trust, request)
        except NotTrustedError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise NotTrustedError(*problems)


def resolve(
    desired: Desired,
    paths: Sequence[str],
    *,
    only: Iterable[str] = (),
    to_email: str | None = None,
    no_secrets: bool = False,
    context: RunContext | None = None,
) -> Desired:
    """Resolves the passwords of one server: the second half of ``load``, for manifests read from ``paths``."""
    context = context or RunContext()
    approve([desired], paths, context, to_email=to_email)
    return resolve_approved(desired, only=only, no_secrets=no_secrets, context=context)


def resolve_approved(desired: Desired, *, only: Iterable[str], no_secrets: bool, context: RunContext) -> Desired:
    """The second half of ``resolve``, for manifests that ``approve`` has checked."""
    from reconciler.manifest.secrets import without_secrets

    if no_secrets:
        _remember_passwords(desired.accounts, context.redactor)
        return replace(desired, accounts=without_secrets(desired.accounts))
    globs = Globs(tuple(only))
    others = [one for one in desired.accounts if not one.in_scope(globs)] if globs else []
    wanted = [one for one in desired.accounts if one.in_scope(globs)] if others else desired.accounts
    resolved = _resolver(context).accounts(wanted)
    accounts = (*resolved, *others)
    _remember_passwords(accounts, context.redactor)
    return replace(desired, accounts=accounts)


def server_of(desired: Desired, context: RunContext) -> Server:
    """The server that the manifests, the context or the environment name, as reports name it.

    Raises:
        ApiError: None of them does.
    """
    return desired.server.as_server(context.server_url(desired.server.url))


def _remember_passwords(accounts: Iterable[DesiredAccount], redactor: Redactor) -> None:
    passwords = (one.account.fields.get("password") for one in accounts)
    redactor.add(*(password for password in passwords if isinstance(password, Secret)))


class Connection:
    """A server, and what may be sent to it. As a context manager, it is the session with the server.

    Attributes:
        server: Name and URL of the server.
        context: What the run takes from outside.
    """

    def __init__(self, access: ServerAccess, settings: ConnectionSettings, context: RunContext) -> None:
        """Use ``connect``."""
        self.server: Server = access.server
        self.context = context
        self._settings = settings
        self._held = ExitStack()
        self._is_locked = False
        self._session: ServerConnection | None = None

    @property
    def reader(self) -> AccountReader:
        """A view of the server that can only read: it sends no request but GET, and the one for a token."""
        return self._opened().reader

    @property
    def writer(self) -> AccountWriter:
        """A view of the server that can read and write."""
        return self._opened().writer

    @property
    def parallelism(self) -> int:
        """The most requests at a time."""
        return self._settings.parallelism

    @property
    def timeout(self) -> float:
        """Seconds that one request may take."""
        return self._settings.timeout

    def lock(self, timeout: float = 60.0) -> None:
        """Keeps other runs on this machine from writing to the server until the session ends.

        Args:
            timeout: Seconds to wait for another run.

        Raises:
            LockedError: The other run did not end in time.
        """
        from reconciler.applying.lock import server_lock

        if not self._is_locked:
            context = self.context
            lock = server_lock(
                self.server.url,
                timeout=timeout,
                environ=context.environ,
                stop=context.stop,
                notifier=context.notifier,
            )
            self._held.enter_context(lock)
            self._is_locked = True

    def release(self) -> None:
        """Closes idle connections and keeps the session, which may be used again later."""
        if self._session is not None:
            self._session.release()

    def close(self) -> None:
        """Ends the session."""
        self._session, self._is_locked = None, False
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> ServerConnection:
        if self._session is None:
            from reconciler.client.gateway import connect

            self._session = self._held.enter_context(connect(self._settings))
        return self._session


def connect(
    desired: Desired | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    parallelism: int = 10,
    context: RunContext | None = None,
    in_fleet: bool = False,
) -> Connection:
    """Decides which server is meant, and which credentials may go to it. Sends nothing yet.

    The same rules apply as on the command line: credentials from the environment, or from the context, go only to a
    URL that comes from there too or that the trust file lists; those of the manifests go only to the manifests' URL.

    Args:
        desired: The loaded manifests. ``None`` if the server is named elsewhere, as for an export.
        url: The server's URL; wins over the environment and the manifests.
        token: An access token, in place of the environment's credentials.
        parallelism: The most requests at a time.
        context: What the run takes from outside.
        in_fleet: Whether the server is one of several. A trust file that lists its URL does not let it have credentials
            from outside then: they are for one server.

    Raises:
        ApiError: No server is named, no credentials are, or those that are named may not go to it.
        SecretError: The credentials cannot be read.
    """
    from reconciler.model.server import ServerConfig

    context = _with_access(context or RunContext(), url, token)
    config = desired.server if desired else ServerConfig()
    _remember_passwords(desired.accounts if desired else (), context.redactor)

    access = CredentialSelector(
        config=config,
        options=context.server,
        environ=context.environ,
        resolve=lambda credentials: _resolver(context).credentials(credentials),
        trust=context.trust,
        in_fleet=in_fleet,
        notifier=context.notifier,
        replaced=context.replaced_tokens,
    ).select()
    remember_credentials(access.credentials, context.redactor)
    from reconciler.client.gateway import ConnectionSettings  # imports httpx: only after the checks above

    settings = ConnectionSettings(
        url=access.server.url,
        credentials=access.credentials,
        keeper=access.keeper,
        ca_file=access.ca_file,
        client_certificate=access.client_certificate,
        timeout=context.server.timeout,
        parallelism=parallelism,
        insecure_http=context.server.insecure_http,
        passwords=config.passwords,
        redactor=context.redactor,
        stop=context.stop,
        fence=partial(context.fence, access.server) if context.fence else None,
    )
    return Connection(access, settings, context)


def _resolver(context: RunContext) -> SecretResolver:
    from reconciler.manifest.secrets import SecretResolver

    return SecretResolver(
        context.environ, allow_commands=context.may_run_commands, stop=context.stop, within=context.within
    )


def _with_access(context: RunContext, url: str | None, token: str | None) -> RunContext:
    if url is not None:
        context = replace(context, server=replace(context.server, url=url))
    if token is not None:
        context = replace(context, environ={**context.environ, "RECONCILER_TOKEN": token})
    return context


def plan(desired: Desired, server: Connection, options: PlanOptions | None = None) -> Plan:
    """Fetches the current accounts, and plans what makes the server match. Uses a view that can only read.

    Returns:
        The plan. ``errors`` and ``refusals`` explain why it cannot be applied.

    Raises:
        ApiError: The server cannot be reached, or its response cannot be used.
    """
    from reconciler.planning.planner import PlanOptions, make_plan

    options = replace(options or PlanOptions(), trust=server.context.trust)
    return make_plan(desired, server.reader.list_accounts(), server.server, options)


def apply(
    plan: Plan,
    server: Connection,
    *,
    on_failure: OnFailure | str = OnFailure.CONTINUE,
    observer: RunObserver | None = None,
    in_place: Sequence[tuple[Change, Outcome]] = (),
    gate: InterruptGate | None = None,
) -> Report:
    """Carries out a plan, and checks at the end that every change is in place.

    Holds the server's lock. To keep other runs from writing between the plan and its end, call ``server.lock()`` before
    ``plan``.

    Args:
        plan: A plan without errors and refusals.
        server: The connection that the plan was made with.
        on_failure: After a failure, continue with the rest, stop, or roll back what fails its delivery test.
        observer: Is notified before and after each write.
        in_place: Changes that were in place before the run, such as those of a reviewed plan. They are only checked.
        gate: Ends the wait for what is in flight, for a second signal. Its ``stop`` is the context's.

    Returns:
        The report, with one outcome for each change. ``complete`` is true if all succeeded and were confirmed.

    Raises:
        PlanError: The plan has errors.
        GuardError: A guard refused the plan.
        LockedError: Another run holds the server's lock.
    """
    from reconciler.applying.executor import ApplyOptions, execute
    from reconciler.applying.final_check import final_check
    from reconciler.applying.worker_pool import InterruptGate
    from reconciler.model.outcome import Report
    from reconciler.planning.checks import suspension

    if plan.errors:
        raise PlanError(*plan.errors)
    if plan.refusals:
        raise GuardError(*plan.refusals)
    if plan.suspended and plan.changes:
        raise GuardError(suspension(plan.suspended, "nothing was written"))
    server.lock()
    context = server.context
    options = ApplyOptions(
        parallelism=server.parallelism,
        on_failure=OnFailure(on_failure),
        timeout=server.timeout,
        explain_bug=context.explain_bug,
    )
    observer = observer or RunObserver()
    gate = gate or InterruptGate(context.stop)
    started_at = datetime.now(UTC)
    outcomes = execute(plan, server.writer, options, gate=gate, observer=observer)
    changes = (*(change for change, _ in in_place), *plan.changes)
    reported = (*(outcome for _, outcome in in_place), *outcomes)
    checked = final_check(replace(plan, changes=changes), reported, server.reader, gate=gate)
    _notify(observer, zip(changes, reported, checked.outcomes, strict=True), context.notifier)
    return Report(
        server=plan.server,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        outcomes=checked.outcomes,
        errors=(checked.problem,) if checked.problem else (),
        verified=checked.problem is None,
    ).redacted(context.redactor.redact)


def _notify(observer: RunObserver, checked: Iterable[tuple[Change, Outcome, Outcome]], notifier: Notifier) -> None:
    """Reports outcomes that the final check changed. The report must not be lost if an observer fails."""
    try:
        for change, before, after in checked:
            if after.status is not before.status:
                observer.outcome_changed(change, after.status)
    except ReconcilerError as error:
        for problem in error.problems:
            notifier.warn(problem)


def plan_tests(
    desired: Desired, server: Connection, *, only: Iterable[str] = (), to_email: str | None = None
) -> tuple[DeliveryTest, ...]:
    """Plans a delivery test for each declared account in scope.

    What a declaration leaves open is taken from the account on the server.

    Args:
        desired: The loaded manifests.
        server: The connection.
        only: Address patterns; empty for all accounts.
        to_email: The recipient of the mails; wins over the manifests.

    Raises:
        PlanError: An account is ambiguous, has no recipient, or its stored password would go to an SMTP server that is
            not approved.
        ApiError: The server cannot be reached, or its response cannot be used.
    """
    from reconciler.planning.delivery_plan import plan_delivery_tests

    current = server.reader.list_accounts()
    return plan_delivery_tests(desired, current, Globs(tuple(only)), to_email=to_email, trust=server.context.trust)


def test(
    tests: Sequence[DeliveryTest],
    server: Connection,
    *,
    gate: InterruptGate | None = None,  # noqa: PT028 - not a test of pytest
) -> Report:
    """Runs delivery tests: for each, the server sends a mail with the given settings. Nothing is written.

    Args:
        tests: The delivery tests.
        server: The connection.
        gate: Ends the wait for what is in flight, for a second signal. Its ``stop`` is the context's.
    """
    from reconciler.applying.delivery_tests import run_delivery_tests
    from reconciler.applying.worker_pool import InterruptGate
    from reconciler.model.outcome import Report

    context = server.context
    started_at = datetime.now(UTC)
    outcomes = run_delivery_tests(
        server.writer,
        tests,
        parallelism=server.parallelism,
        gate=gate or InterruptGate(context.stop),
        timeout=server.timeout,
        explain_bug=context.explain_bug,
    )
    report = Report(server=server.server, started_at=started_at, finished_at=datetime.now(UTC), outcomes=outcomes)
    return report.redacted(context.redactor.redact)


test.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it in every module that imports it


def export(server: Connection, *, only: Iterable[str] = ()) -> str:
    """The server's accounts as a manifest, with passwords as references to variables.

    Raises:
        ApiError: The server cannot be reached, or its response cannot be used.
    """
    return exported(server.reader.list_accounts(), server.server, only).text


def exported(accounts: Sequence[Account], server: Server, only: Iterable[str] = ()) -> Export:
    """The accounts of a server as ``export`` writes them, those outside ``only`` left out."""
    from reconciler.manifest.export import export_manifest

    wanted = in_scope(accounts, only)
    return export_manifest(wanted, server=server, partial=len(wanted) < len(accounts))


def in_scope(accounts: Sequence[Account], only: Iterable[str]) -> list[Account]:
    """The accounts whose address matches one of the patterns; all if there is no pattern."""
    globs = Globs(tuple(only))
    return [account for account in accounts if not globs or account.email in globs]
