"""A local server with the appliance's API, for tests and for trying things out.

``SandboxOptions`` is always available; ``Sandbox`` and ``Mail`` need the extra ``sandbox``:

    from reconciler.sandbox import Sandbox

    with Sandbox() as sandbox:
        print(sandbox.url, sandbox.refresh_token)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.sandbox.server import Mail, Sandbox

__all__ = ["Mail", "Sandbox", "SandboxOptions"]

AuthField: TypeAlias = Literal["hash_auth", "has_auth", "both"]
Passwords: TypeAlias = Literal["shown", "absent", "null", "empty", "mask"]

REFRESH_TOKEN: Final = "sandbox-refresh-token"  # noqa: S105 - public on purpose: it only works for a sandbox
USERNAME: Final = "admin"
PASSWORD: Final = "sandbox"  # noqa: S105 - public on purpose, as above

_EXTRA: Final = frozenset({"aiosmtpd", "fastapi", "starlette", "trustme", "uvicorn"})
"""What the extra ``sandbox`` installs. A plain install, as in a CI job that applies, has no web server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """How the sandbox behaves in cases that the vendor's pages leave open.

    Attributes:
        host: Address that the API listens on. The SMTP sink always listens on loopback.
        port: The API's port; 0 for any free port.
        allowed_hosts: Names to accept in the ``Host`` header, besides ``host`` and the names of loopback.
        database: Path of the SQLite file, or ``:memory:``.
        auth_field: How responses spell ``has_auth``; requests may use either spelling.
        passwords: How responses show passwords.
        unique_names: Whether names are unique.
        unique_emails: Whether addresses are unique, regardless of case.
        single_default: Whether setting ``default`` on one account clears it on all others.
        keep_default: Whether a default account can neither be deleted nor have its flag cleared by a request.
        latency: Seconds to wait before each response of the API.
        token_lifetime: Lifetime of an access token, in seconds.
        rotate_refresh_tokens: Whether a refresh token can be exchanged once only, for an access token and the next
            refresh token.
        mailboxes: The password of each address at the SMTP sink; ``None`` accepts any login.
        created_status: Status of the response to a create.
        deleted_status: Status of the response to a delete; 204 is sent without ``deleted_body``.
        deleted_body: The JSON in the response to a delete. The vendor's page shows none.
        real_smtp: Whether mail really goes to the SMTP server in the settings. Otherwise, every host name leads to the
            sink, and nothing else can be reached.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allowed_hosts: tuple[str, ...] = ()
    database: str = ":memory:"
    auth_field: AuthField = "hash_auth"
    passwords: Passwords = "shown"
    unique_names: bool = False
    unique_emails: bool = False
    single_default: bool = False
    keep_default: bool = False
    latency: float = 0.0
    token_lifetime: int = 900
    rotate_refresh_tokens: bool = False
    mailboxes: Mapping[str, str] | None = None
    created_status: int = 200
    deleted_status: int = 200
    deleted_body: str = ""
    real_smtp: bool = False


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module has under that name
    """Imports ``Sandbox`` and ``Mail`` on first use.

    Raises:
        MissingExtraError: The extra ``sandbox`` is not installed.
    """
    if name not in ("Mail", "Sandbox"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from reconciler.sandbox import server
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        from reconciler.errors import Kind, MissingExtraError

        message = "the sandbox is not installed: run `pip install 'email-account-reconciler[sandbox]'`"
        raise MissingExtraError.of(message, kind=Kind.MISSING_EXTRA) from None
    return getattr(server, name)
