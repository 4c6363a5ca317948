"""The composition root: puts YAML, secrets, server and planner together for the commands."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.model.account import NO_GLOBS
from reconciler.model.secret import Secret
from reconciler.token_file import Voice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from reconciler.client.connect import Connection
    from reconciler.credentials import ServerOptions
    from reconciler.manifest.approval import Request
    from reconciler.model.account import Globs
    from reconciler.model.desired import Desired, DesiredAccount
    from reconciler.model.plan import Plan
    from reconciler.model.ports import AccountReader, AccountWriter
    from reconciler.model.redaction import Redactor
    from reconciler.model.server import Credentials, Server, ServerConfig
    from reconciler.model.trust import Trust
    from reconciler.planning.builder import PlanOptions


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run takes from outside besides its arguments.

    Attributes:
        trust: What the YAML may use; ``None`` without a trust file.
        voice: Prints what has to be said while a connection is in use.
    """

    redactor: Redactor
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    stop: threading.Event = field(default_factory=threading.Event)
    voice: Voice = field(default_factory=Voice)
    trust: Trust | None = None

    def may_run(self, *, allow_commands: bool) -> bool:
        """Whether commands of references run: ``--allow-commands`` was given, or the trust file lists them all."""
        return allow_commands or self.trust is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What the command line says about the YAML.

    Attributes:
        only: Addresses to which everything is narrowed; empty for all.
        allow_commands: Whether the commands of references run.
        url: The server of ``--url``.
        to_email: The recipient of ``--to-email``.
        no_secrets: Whether passwords stay references, so that none is compared.
        own_files: Files that options of the command line name; no reference leads to them.
        refuse_overwriting_inputs: Raises if a file that the YAML names would be lost to what the command writes.
    """

    only: Globs = NO_GLOBS
    allow_commands: bool = False
    url: str | None = None
    to_email: str | None = None
    no_secrets: bool = False
    own_files: Sequence[str] = ()
    refuse_overwriting_inputs: Callable[[frozenset[str]], None] = lambda _files: None


def trust_in(name: str | None) -> Trust | None:
    """Reads the trust file, if there is one.

    Raises:
        ManifestError: With everything that is wrong in it.
    """
    if name is None:
        return None
    from reconciler.manifest.trust import read_trust

    return read_trust(name)


def check(
    paths: Sequence[str],
    context: RunContext,
    refuse_overwriting_inputs: Callable[[frozenset[str]], None] = lambda _files: None,
) -> Desired:
    """Reads the YAML, and makes sure that it uses nothing it must not; resolves nothing.

    Raises:
        ManifestError: For everything that is wrong in the YAML.
        NotTrustedError: For everything that it must not use.
    """
    from reconciler.manifest.approval import Request, approve, files_of
    from reconciler.manifest.desired import read_manifests

    desired = read_manifests(paths)
    refuse_overwriting_inputs(files_of(desired))
    url = desired.server.url
    name = _name_of(desired.server, url)
    approve(desired, context.trust, Request(paths=None, environ=context.environ, url=url, name=name))
    return desired


def load(paths: Sequence[str], context: RunContext, options: LoadOptions) -> Desired:
    """Reads the YAML, makes sure that it uses nothing it must not, and resolves the passwords of accounts in scope.

    Raises:
        ManifestError: For everything that is wrong in the YAML.
        NotTrustedError: For everything that it must not use. Nothing was resolved, run or sent.
        SecretError: For every reference that cannot be resolved.
    """
    from reconciler.manifest.approval import approve, files_of
    from reconciler.manifest.desired import read_manifests
    from reconciler.manifest.secrets import resolve_accounts, without_secrets
    from reconciler.planning.builder import in_scope

    desired = read_manifests(paths)
    options.refuse_overwriting_inputs(files_of(desired))
    approve(desired, context.trust, _request(paths, desired.server, context, options))
    if options.no_secrets:
        _remember(desired.accounts, context.redactor)
        return replace(desired, accounts=without_secrets(desired.accounts))
    only = options.only
    wanted = [one for one in desired.accounts if in_scope(one, only)]
    others = [one for one in desired.accounts if not in_scope(one, only)]
    allow_commands = context.may_run(allow_commands=options.allow_commands)
    resolved = resolve_accounts(wanted, environ=context.environ, allow_commands=allow_commands)
    _remember([*resolved, *others], context.redactor)
    return replace(desired, accounts=(*resolved, *others))


def _request(paths: Sequence[str], spec: ServerConfig, context: RunContext, options: LoadOptions) -> Request:
    from reconciler.manifest.approval import Request

    url = server_url(spec, options.url, context) if context.trust else None
    return Request(
        paths=paths,
        environ=context.environ,
        url=url,
        name=_name_of(spec, url),
        own_files=options.own_files,
        to_email=options.to_email,
    )


def server_url(spec: ServerConfig, flag: str | None, context: RunContext) -> str:
    """The server that is meant: the flag wins over the environment, which wins over the YAML.

    Raises:
        ApiError: None is named, or what is named is no URL.
    """
    from reconciler.credentials import meant_url

    return meant_url(flag, context.environ, spec.url)


def _name_of(spec: ServerConfig, url: str | None) -> str:
    return spec.name or (urlsplit(url).hostname if url else "") or ""


def connect(
    spec: ServerConfig,
    flags: ServerOptions,
    context: RunContext,
    *,
    allow_commands: bool = False,
    parallelism: int = 10,
) -> tuple[Server, Connection]:
    """Decides which server is meant and with which credentials; see ``credentials``.

    Raises:
        ApiError: No server, or no credentials that may go to it, are named.
        SecretError: The credentials cannot be read.
    """
    from reconciler.client.connect import Connection
    from reconciler.credentials import Sources, access_to_server, remember_credentials

    def resolve(credentials: Credentials) -> Credentials:
        from reconciler.manifest.secrets import resolve_credentials

        may_run = context.may_run(allow_commands=allow_commands)
        return resolve_credentials(credentials, environ=context.environ, allow_commands=may_run)

    sources = Sources(
        config=spec,
        flags=flags,
        environ=context.environ,
        resolve=resolve,
        lists_url=context.trust.lists_url if context.trust else None,
        voice=context.voice,
    )
    access = access_to_server(sources)
    remember_credentials(access.credentials, context.redactor)
    return access.server, Connection(
        url=access.server.url,
        credentials=access.credentials,
        keeper=access.keeper,
        ca_file=access.ca_file,
        client_certificate=access.client_certificate,
        timeout=flags.timeout,
        parallelism=parallelism,
        insecure_http=flags.insecure_http,
        passwords=spec.passwords,
        redactor=context.redactor,
        stop=context.stop,
    )


def reading(connection: Connection) -> AbstractContextManager[AccountReader]:
    """Opens the server for reading; what comes back has no way to write."""
    from reconciler.client.connect import open_reader

    return open_reader(connection)


def writing(connection: Connection) -> AbstractContextManager[AccountWriter]:
    """Opens the server for reading and writing."""
    from reconciler.client.connect import open_writer

    return open_writer(connection)


def opened(connection: Connection) -> AbstractContextManager[tuple[AccountReader, AccountWriter]]:
    """Opens one session for planning and applying: a view of the server that cannot write, and one that can."""
    from reconciler.client.connect import open_server

    return open_server(connection)


def plan(desired: Desired, reader: AccountReader, server: Server, options: PlanOptions) -> Plan:
    """Fetches the current state and plans."""
    from reconciler.manifest.collection import paused_collection
    from reconciler.planning.builder import make_plan

    with paused_collection():
        return make_plan(desired, reader.list_accounts(), server, options)


def _remember(accounts: Sequence[DesiredAccount], redactor: Redactor) -> None:
    for one in accounts:
        password = one.account.fields.get("password")
        if isinstance(password, Secret):
            redactor.add(password)
