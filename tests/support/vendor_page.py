"""What the vendor's page on email accounts shows."""

from __future__ import annotations

from typing import Any

ACCOUNT: dict[str, Any] = {
    "default": True,
    "name": "Contas envio de certificados",
    "email": "certs@itflex.com.br",
    "service": "gmail",
    "hash_auth": True,
    "password": "certs",
    "smtp_server": "smtp.test.com.br",
    "smtp_port": 1000,
    "smtp_crypt": "ssl-tls",
    "smtp_auth_mechanism": "plain",
}
"""The account that its requests carry."""
