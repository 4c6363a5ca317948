"""How the server shows an account: in the vendor's order of fields, in the dialect that the options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from reconciler.sandbox import SandboxOptions
    from reconciler.sandbox.settings import StoredAccount

MASK: Final = "********"


def present(account: StoredAccount, options: SandboxOptions) -> dict[str, Any]:
    """The account as the answer's JSON has it."""
    settings = account.settings
    return {
        "id": account.id,
        "default": settings.default,
        "name": settings.name,
        "email": settings.email,
        "service": settings.service,
        **dict.fromkeys(spellings(options), settings.has_auth),
        **_password(settings.password, options),
        "smtp_server": settings.smtp_server,
        "smtp_port": settings.smtp_port,
        "smtp_crypt": settings.smtp_crypt,
        "smtp_auth_mechanism": settings.smtp_auth_mechanism,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def spellings(options: SandboxOptions) -> tuple[str, ...]:
    """The names under which answers say whether the account authenticates."""
    return ("hash_auth", "has_auth") if options.auth_field == "both" else (options.auth_field,)


def hidden_fields(options: SandboxOptions) -> frozenset[str]:
    """The fields that no answer has."""
    absent = {"hash_auth", "has_auth"}.difference(spellings(options))
    return frozenset(absent | ({"password"} if options.passwords == "absent" else set()))


def _password(password: str | None, options: SandboxOptions) -> dict[str, str | None]:
    match options.passwords:
        case "shown":
            return {"password": password}
        case "absent":
            return {}
        case "null":
            return {"password": None}
        case "empty":
            return {"password": ""}
        case _:
            return {"password": MASK if password else None}
