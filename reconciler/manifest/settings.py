"""The ``server`` and ``policy`` blocks of all files, merged into one of each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reconciler.errors import Kind, Position
from reconciler.manifest.issues import Issue
from reconciler.model.account import NO_GLOBS, Globs, glob_forms
from reconciler.model.desired import (
    NO_DELIVERY_TEST,
    DeliveryTestSettings,
    DeliveryTestWhen,
    Policy,
)
from reconciler.model.fleet import Fleet, Rollout
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import (
    AccessToken,
    ClientCertificate,
    Credentials,
    Login,
    Passwords,
    RefreshToken,
    ServerConfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.manifest.issues import Path
    from reconciler.manifest.parsed_file import ParsedFile

Settings: TypeAlias = dict[tuple[str | int, ...], Any]
"""What the blocks contain, by path."""

_URL: Final = ("server", "url")
_AUTH: Final = ("server", "auth")
_LISTS: Final = (("policy", "protect"), ("policy", "ignore"))
_OWN: Final = ("policy", "own")
_PLAIN_POLICY: Final = ("prune", "max_deletes")
_LABELS: Final = ("server", "labels")


def merged(files: Sequence[ParsedFile]) -> tuple[Settings, list[Issue]]:
    """The settings of all files together, and an issue wherever two files disagree."""
    if len(files) == 1:
        return _settings(files[0]), []
    given: dict[Path, tuple[ParsedFile, Any]] = {}
    issues: list[Issue] = []
    for file in files:
        for path, value in _settings(file).items():
            first, before = given.setdefault(path, (file, value))
            if path != _OWN and _comparable(path, before) != _comparable(path, value):
                issues.append(_conflict(path, file, first))
    return {path: value for path, (_, value) in given.items()}, issues


def positions_of(files: Sequence[ParsedFile], settings: Settings) -> dict[Path, Position]:
    """Where each of the merged settings is written: in the first file, if several have it."""
    if len(files) == 1:
        return {path: _position(path, files[0]) for path in settings}
    return {path: _position(path, file) for file in reversed(files) for path in _settings(file)}


def _position(path: Path, file: ParsedFile) -> Position:
    key = str(path[-1])
    return file.positions_of(*path[:-1]).get(key, Position(file.source.name))


def unused_auth_warning(file: ParsedFile) -> Issue | None:
    """A warning if a file has credentials that belong to no server, and are therefore not used."""
    server = file.block("server")
    if "auth" not in server or "url" in server:
        return None
    message = "server.auth is not used: credentials travel only to the server.url beside them"
    hint = "write server.url, or give the credentials in the environment"
    return Issue(kind=Kind.AUTH_WITHOUT_URL, message=message, hint=hint, node=file.node(*_AUTH, key=True))


def auth_error(file: ParsedFile) -> Issue | None:
    """An error if ``auth`` is not exactly one of the three kinds of credentials."""
    server = file.block("server")
    if "auth" not in server:
        return None
    given = {name for name, value in server["auth"].items() if value is not None}
    if given in ({"access_token"}, {"refresh_token"}, {"username", "password"}):
        return None
    message = "server.auth takes exactly one of access_token, refresh_token, or username with password"
    return Issue(kind=Kind.WRONG_AUTH, message=message, hint="keep one of them", node=file.node(*_AUTH, key=True))


def fleet(files: Sequence[ParsedFile]) -> tuple[Fleet, list[Issue]]:
    """What the files say about the fleet, still without servers, and an issue wherever two files disagree."""
    given = [file for file in files if "fleet" in file.header]
    if not given:
        return Fleet(servers=()), []
    first, *others = given
    block = first.block("fleet")
    conflicts = [_conflict(("fleet",), file, first) for file in others if file.block("fleet") != block]
    rollout: dict[str, Any] = dict(block.get("rollout", {}))
    if "batches" in rollout:
        rollout["batches"] = tuple(rollout["batches"])
    return Fleet(servers=(), rollout=Rollout(**rollout), min_servers=block.get("min_servers", 0)), conflicts


def own(files: Sequence[ParsedFile]) -> Globs:
    """The addresses that the files of one server are responsible for; none if that is all of them."""
    if responsible_for_all(files):
        return NO_GLOBS
    given = [file.block("policy")["own"] for file in files if file.declares_accounts]
    return Globs(tuple(dict.fromkeys(pattern for patterns in given for pattern in patterns)))


def responsible_for_all(files: Sequence[ParsedFile]) -> ParsedFile | None:
    """The first file that declares accounts and has no ``policy.own``: because of it, the set owns all addresses."""
    return next((file for file in files if file.declares_accounts and "own" not in file.block("policy")), None)


def policy(settings: Settings, own: Globs) -> Policy:
    """The merged policy, with the addresses that the files are responsible for."""
    given: dict[str, Any] = {key: settings["policy", key] for key in _PLAIN_POLICY if ("policy", key) in settings}
    given.update({path[1]: Globs(tuple(settings[path])) for path in _LISTS if path in settings})
    test = {path[2]: value for path, value in settings.items() if path[:2] == ("policy", "test")}
    return Policy(**given, own=own, test=delivery_test(test))


def delivery_test(block: Mapping[Any, Any]) -> DeliveryTestSettings:
    """The settings in a ``test`` block."""
    if not block:
        return NO_DELIVERY_TEST
    when = block.get("when")
    return DeliveryTestSettings(None if when is None else DeliveryTestWhen(when), block.get("to_email"))


def variables(files: Sequence[ParsedFile]) -> dict[str, str]:
    """What the files of one server substitute, by name, without variables that differ between files."""
    given = [(name, value) for file in files for name, value in file.variables.items()]
    found = dict(given)
    differing = {name for name, value in given if found[name] != value}
    return {name: value for name, value in found.items() if name not in differing}


def server(settings: Settings, positions: Mapping[Path, Position], variables: Mapping[str, str]) -> ServerConfig:
    """The merged server.

    Args:
        settings: The merged settings.
        positions: Where each setting is written.
        variables: What the files substitute.
    """
    return ServerConfig(
        url=settings.get(_URL),
        name=settings.get(("server", "name")),
        auth=settings.get(_AUTH),
        ca_file=settings.get(("server", "ca_file")),
        client_cert=settings.get(("server", "client_cert")),
        passwords=Passwords(settings.get(("policy", "passwords"), Passwords.AUTO)),
        labels={str(path[2]): value for path, value in settings.items() if path[:2] == _LABELS},
        suspended=settings.get(("server", "suspended")),
        queue=settings.get(("server", "queue")),
        variables=variables,
        position=positions.get(_URL),
    )


def _settings(file: ParsedFile) -> Settings:
    given = dict(_flat(file.block("policy"), ("policy",)))
    own = file.block("server")
    given.update({("server", name): value for name, value in own.items() if name not in {"auth", "labels"}})
    if "labels" in own:
        given.update({(*_LABELS, key): value for key, value in own["labels"].items()})
    if "ca_file" in own:
        given["server", "ca_file"] = _path(own["ca_file"], file, "ca_file")
    if certificate := own.get("client_cert"):
        paths = {name: _path(value, file, "client_cert") for name, value in certificate.items()}
        given["server", "client_cert"] = ClientCertificate(**paths)
    if {"auth", "url"} <= own.keys() and auth_error(file) is None:
        given[_AUTH] = _credentials(own["auth"])
    return given


def _path(name: str, file: ParsedFile, key: str) -> str:
    """A path, relative to the file that it is written in: this one, or a base."""
    folder = file.node("server", key).source.folder
    return os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 - names stay as the user wrote them


def _flat(block: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for name, value in block.items():
        if name == "test":
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value


def _credentials(given: Mapping[str, Any]) -> Credentials:
    found = {name: value for name, value in given.items() if value is not None}
    if "access_token" in found:
        return AccessToken(found["access_token"])
    if "refresh_token" in found:
        return RefreshToken(found["refresh_token"])
    return Login(found["username"], found["password"])


def _comparable(path: Path, value: object) -> object:
    """A form of the value that must be equal for two files to agree."""
    if path in _LISTS and isinstance(value, list):
        return frozenset(map(glob_forms, value))
    if isinstance(value, AccessToken | RefreshToken):
        return type(value), _target(value.token)
    if isinstance(value, Login):
        return _target(value.username), _target(value.password)
    return value


def _target(value: Secret | SecretReference) -> object:
    return value if isinstance(value, Secret) else value.key


def _conflict(path: Path, file: ParsedFile, first: ParsedFile) -> Issue:
    message = f"{'.'.join(map(str, path))} differs between files"
    hint = "keep it in one file"
    return Issue(kind=Kind.CONFLICT, message=message, hint=hint, node=file.node(*path), other=first.node(*path))
