"""An account's settings and the stored account, as the sandbox handles them between wire, store and mailer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a request says about an account; the vendor's fields under the vendor's names."""

    default: bool
    name: str
    email: str
    service: str
    has_auth: bool
    password: str | None = field(default=None, repr=False)
    smtp_server: str | None = None
    smtp_port: int | None = None
    smtp_crypt: str | None = None
    smtp_auth_mechanism: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account with what the server adds to it; the times are ISO 8601 texts."""

    id: int
    settings: Settings
    created_at: str
    updated_at: str
