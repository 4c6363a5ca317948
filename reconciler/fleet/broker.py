"""The address of the broker, checked. The password in it is a secret like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from reconciler.errors import InvalidValueError
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor

_PORT: Final = 6379
_TLS: Final = "rediss"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where Redis or Valkey listens.

    Attributes:
        url: The whole URL, which may contain a password: only for the libraries that connect.
        shown: The URL without user name and password.
        password: The password in it; ``None`` if there is none.
        ca_file: The CA that the broker's certificate is verified with; ``None`` for those of the system.
    """

    url: Secret
    shown: str
    password: Secret | None
    ca_file: str | None = None

    @classmethod
    def parse(cls, text: str, ca_file: str | None = None) -> BrokerAddress:
        """Reads ``redis://host:6379/0`` or ``rediss://``, which is TLS.

        Raises:
            InvalidValueError: It is not such a URL. Neither message nor hint shows any of it.
        """
        hint = "write it as redis://host:6379/0, or rediss:// for TLS"
        try:
            parts = urlsplit(text)
            port = parts.port or _PORT
        except ValueError:
            raise InvalidValueError("this is not a URL", hint) from None
        database = parts.path.strip("/") or "0"
        is_plain = not parts.query and not parts.fragment and database.isascii() and database.isdigit()
        if parts.scheme not in {"redis", _TLS} or not parts.hostname or not is_plain or not text.isprintable():
            raise InvalidValueError("this is not the URL of a Redis or Valkey server", hint)
        if ca_file is not None and parts.scheme != _TLS:
            raise InvalidValueError("a CA file is only used with TLS", "write the URL with rediss://")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        shown = f"{parts.scheme}://{host}:{port}/{database}"
        password = Secret(unquote(parts.password)) if parts.password else None
        return cls(Secret(text), shown, password, ca_file)

    @property
    def tls_options(self) -> dict[str, Any]:
        """How TLS is verified, as redis-py names it; empty without TLS."""
        if not self.shown.startswith(f"{_TLS}:"):
            return {}
        import ssl

        options: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
        return options | ({"ssl_ca_certs": self.ca_file} if self.ca_file else {})

    def remember(self, redactor: Redactor) -> None:
        """Keeps the password out of all output."""
        if self.password is not None:
            redactor.add(self.password)
            redactor.add(self.url)
