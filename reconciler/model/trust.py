"""What a trust file allows.

Nothing that a pull request can change may decide where secrets go, so a trust file is kept outside the repository.
Patterns have only ``*`` (any characters) and ``?`` (one character); ``[*]``, ``[?]``, ``[[]`` and ``[$]`` are the
characters themselves. What ``*`` matches differs, and is documented at each method. ``${name}`` is the server's name.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.model.account import NO_GLOBS, Globs, glob_forms, identity, readable
from reconciler.model.server import DEFAULT_PORTS, compressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.model.account import Fields
    from reconciler.model.desired import DeleteLimit

PROVIDERS: Final = {"gmail": "smtp.gmail.com", "outlook": "smtp.office365.com"}
"""The SMTP servers of the services other than ``other``."""

_HOST: Final = r"\[[0-9a-f:.*?]+\]|(?:[a-z0-9_.*?-]|\$\{name\})+"
_URL: Final = rf"(https?)://({_HOST})(?::([0-9*]+))?/?"
_WILDCARD: Final = r"\[([*?\[$])\]|\*\*/|\*\*|\*|\?"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_LABEL: Final = re.compile(r"[A-Za-z0-9-]+")
_BOUND: Final = r"(?<![*?])\$\{name\}(?![*?])"
"""The name as a part of a URL that a longer or shorter name does not match."""

_ARGUMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
"""A name that cannot be an option of a command."""
_CLIMBING: Final = r"\.\.(?:/|$)"


class TrustedServer(NamedTuple):
    """A server, or several, that credentials and passwords may be sent to.

    Attributes:
        url: Scheme, host and port; a pattern, in which ``${name}`` is the server's name.
        env: Patterns of the variables that references may name for it; ``${name}`` is the server's name, and
            ``${NAME}`` is the name in upper case, with ``_`` for each hyphen.
        files: Patterns of the files that references may name for it; ``${name}`` is the server's name.
    """

    url: str
    env: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def binds_name(self) -> bool:
        """Whether a server that is listed here cannot have the name of another one."""
        return re.search(_BOUND, self.url) is not None


class Limits(NamedTuple):
    """What the manifests' policy cannot exceed. ``None`` and no patterns limit nothing."""

    max_deletes: DeleteLimit | None = None
    protect: Globs = NO_GLOBS


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust file. What it does not list is not allowed, except that a missing ``limits`` limits nothing.

    Attributes:
        file: The trust file, as the user named it.
    """

    servers: tuple[TrustedServer, ...] = ()
    commands: tuple[str, ...] = ()
    smtp_servers: tuple[str, ...] = ()
    recipients: Globs = NO_GLOBS
    limits: Limits = field(default_factory=Limits)
    file: str = ""

    def lists_url(self, url: str, name: str) -> bool:
        """Whether credentials and passwords may be sent to the server of this name at ``url``.

        ``*`` stays within the host, or within the port. The scheme has to be the same, and a pattern without a port
        means the scheme's own port. A name with a dot is not inserted for ``${name}``: it could be another host.
        """
        return any(True for _ in self._servers(url, name))

    def lists_variable(self, url: str | None, name: str, variable: str) -> bool:
        """Whether a reference for the server at ``url`` may name the variable; ``None`` means any listed server.

        A name is only inserted if the server's URL contains it: otherwise a pull request could write the name of
        another server.
        """
        inserted = _inserted(url, name, _LABEL)
        return any(
            _matches(inserted(pattern), variable)
            for server in self._servers(url, name)
            for pattern in server.env
            if not has_name(pattern) or (inserted(pattern) and server.binds_name)
        )

    def files(self, url: str | None, name: str) -> tuple[str, ...]:
        """The patterns of the files that references for the server at ``url`` may name.

        A name that could be a path is not inserted for ``${name}``. If the server is not known (``None``), its name
        is not either, and any name matches.
        """
        patterns = (pattern for server in self._servers(url, name) for pattern in server.files)
        return tuple(filter(None, map(_inserted(url, name, _NAME), patterns)))

    def lists_command(self, url: str | None, name: str, arguments: Sequence[str]) -> bool:
        """Whether the command line may run for a reference for the server at ``url``; a name as for variables.

        A pattern is split into words as a shell does. Each word must match one argument, so that ``*`` cannot add
        arguments. An argument that matches by a wildcard must not have ``..`` as a part of a path, and must not be an
        option unless the pattern begins with a hyphen.
        """
        inserted = _inserted(url, name, _ARGUMENT)
        binds_name = any(server.binds_name for server in self._servers(url, name))
        return any(
            _allows(list(map(inserted, shlex.split(pattern))), arguments)
            for pattern in self.commands
            if not has_name(pattern) or (inserted(pattern) and binds_name)
        )

    def lists_smtp_server(self, host: str) -> bool:
        """Whether an account with a password may log in at ``host``, in any spelling."""
        key = identity(host).removesuffix(".")
        forms = [glob_forms(pattern.removesuffix(".")) for pattern in self.smtp_servers]
        return any(_matches(for_key, key) or _matches(for_shown, readable(key)) for for_key, for_shown in forms)

    def lists_recipient(self, address: str) -> bool:
        """Whether test mails may go to the address."""
        return address in self.recipients

    def _servers(self, url: str | None, name: str) -> Iterator[TrustedServer]:
        return (server for server in self.servers if url is None or _is_at(server.url, url, name))


def smtp_servers_of(fields: Fields) -> Iterator[tuple[str, str]]:
    """The hosts where an account may log in, each with its field. The service's own host may take precedence."""
    if provider := PROVIDERS.get(str(fields.get("service"))):
        yield "service", provider
    if host := fields.get("smtp_server"):
        yield "smtp_server", str(host)


def has_name(pattern: str) -> bool:
    """Whether a pattern is different for each server."""
    return "${name}" in pattern or "${NAME}" in pattern


def _inserted(url: str | None, name: str, allowed: re.Pattern[str]) -> Callable[[str], str]:
    """Inserts a server's name into a pattern; the result is empty if the name is not allowed there.

    If the server is not known, its name is not either, and any name matches.
    """
    if url is None and not name:
        lower, upper = "*", "*"
    elif allowed.fullmatch(name):
        lower, upper = name, name.upper().replace("-", "_")
    else:
        return lambda pattern: "" if has_name(pattern) else pattern
    return lambda pattern: pattern.replace("${name}", lower).replace("${NAME}", upper)


def is_url_pattern(text: str) -> bool:
    """Whether ``text`` can be the ``url`` of a trusted server."""
    return re.fullmatch(_URL, text.lower()) is not None


def escaped_pattern(text: str) -> str:
    """The pattern that matches only ``text``."""
    return re.sub(r"[*?]|\[(?=[*?\[$]\])|\$(?=\{(?:name|NAME)\})", r"[\g<0>]", text)


def path_matches(pattern: str, path: str) -> bool:
    """Whether a path matches; ``*`` stays within one segment, ``**`` does not."""
    return _compiled(pattern, within="[^/]").fullmatch(path) is not None


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str, within: str = ".") -> re.Pattern[str]:
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": f"{within}*", "?": within}
    parts, end = [], 0
    for found in re.finditer(_WILDCARD, pattern):
        literal = found[1]
        parts.append(re.escape(pattern[end : found.start()]))
        parts.append(re.escape(literal) if literal else wildcards[found[0]])
        end = found.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)


def _is_at(pattern: str, url: str, name: str) -> bool:
    if _LABEL.fullmatch(name):
        pattern = pattern.replace("${name}", name)
    elif "${name}" in pattern:
        return False
    wanted, found = re.fullmatch(_URL, pattern.lower()), re.fullmatch(_URL, url.lower())
    if not wanted or not found or any(mark in url for mark in "*?$"):
        return False
    scheme, host, port = wanted.groups()
    own = str(DEFAULT_PORTS[scheme])
    return (
        scheme == found[1] and _matches(_spelled(host), _spelled(found[2])) and _matches(port or own, found[3] or own)
    )


def _spelled(host: str) -> str:
    return f"[{compressed(host[1:-1])}]" if host.startswith("[") else host


def _allows(words: Sequence[str], arguments: Sequence[str]) -> bool:
    return len(words) == len(arguments) and all(map(_is_argument, words, arguments))


def _is_argument(word: str, argument: str) -> bool:
    if argument == _literal(word):
        return True
    if re.search(_CLIMBING, argument) or (argument.startswith("-") and not word.startswith("-")):
        return False
    return _matches(word, argument)


@cache
def _literal(word: str) -> str | None:
    """The one argument that a word without wildcards matches."""
    bare = re.sub(r"\[([*?\[$])\]", "", word)
    return None if re.search("[*?]", bare) else re.sub(r"\[([*?\[$])\]", r"\1", word)
