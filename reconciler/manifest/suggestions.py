"""Names that authors know from other tools or in Portuguese, and what they are called here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LOGIN: Final = "the login is the account's address: remove this key, and write the address as email"
_LOGINS: Final = (
    "username user user_name login smtp_user smtp_username smtp_login auth_user "
    "from from_email from_address from_addr mail_from sender"
)


def _aliases(**words: str) -> dict[str, str]:
    return {alias: key for key, listed in words.items() for alias in listed.split()}


_ACCOUNT: Final = {
    **dict.fromkeys(_LOGINS.split(), _LOGIN),
    **_aliases(
        email="mail address e_mail mail_address email_address emailaddress endereco endereço correio",
        name="display_name displayname full_name from_name sender_name title label nome",
        password="pass passwd pwd smtp_password smtp_pass smtp_passwd secret senha auth_password",  # noqa: S106 - keys
        smtp_server="host hostname server smtp smtp_host smtp_hostname mail_server mailserver smarthost relay "
        "servidor servidor_smtp",
        smtp_port="port smtpport server_port porta porta_smtp",
        smtp_crypt="encryption crypt tls ssl security secure starttls use_tls use_ssl smtp_tls smtp_ssl "
        "smtp_encryption smtp_security smtp_secure criptografia",
        smtp_auth_mechanism="mechanism auth_mechanism auth_method smtp_auth_method auth_type smtp_mechanism mecanismo",
        has_auth="auth authentication smtp_auth use_auth auth_required require_auth hasauth autenticacao autenticação",
        service="provider type kind servico serviço provedor tipo",
        default="is_default primary padrao padrão",
        renamed_from="old_email old_address former_email previous renamed moved_from",
        test="check verify",
    ),
}
_ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "accounts": _ACCOUNT,
    "defaults": _ACCOUNT,
    "server": _aliases(
        url="host hostname address endpoint base_url api_url uri", ca_file="ca cafile ca_cert cacert ca_bundle ca_path"
    ),
    "auth": _aliases(
        refresh_token="api_key apikey key",  # noqa: S106 - keys
        username="user login",
        password="pass passwd pwd",  # noqa: S106 - a key
    ),
    "policy": _aliases(prune="delete purge", max_deletes="max_delete limit", ignore="exclude skip", protect="keep"),
    "": _aliases(
        accounts="users emails mailboxes email_accounts emailaccounts mails contas contas_de_email",
        defaults="default",
        extends="extend inherit inherits include includes parent from",
        vars="variables values",
    ),
}
"""By the last key above the unknown one."""

_ENCRYPTED: Final = frozenset({"tls", "ssl", "ssl/tls", "tls/ssl", "ssltls", "smtps", "implicit", "true", "yes", "on"})
_UNENCRYPTED: Final = frozenset({"false", "no", "off", "plain", "unencrypted", "0"})
_PORTUGUESE: Final = {"outro": "other", "nenhum": "none", "nenhuma": "none", "antes": "before", "depois": "after"}
"""Values in the vendor's language. By their spelling, ``outro`` would be closest to ``outlook``."""

_STARTTLS_PORTS: Final = frozenset({25, 587, 2525, 2587})
_TLS_PORTS: Final = frozenset({465, 2465})


def suggestion(found: str, known: Iterable[str]) -> str:
    """``did you mean …?``, or an empty string if nothing is close."""
    near = _nearest(found, list(known))
    return f'did you mean "{near}"?' if near else ""


def _nearest(found: str, known: Sequence[str]) -> str | None:
    from difflib import get_close_matches  # here, because few commands need it

    if (translated := _PORTUGUESE.get(found.casefold())) in known:
        return translated
    return next(iter(get_close_matches(found.casefold(), known, 1)), None)


def key_hint(key: str, block: str, homes: Mapping[str, Iterable[str]]) -> str:
    """A hint about an unknown key; empty if there is none.

    Args:
        key: The unknown key.
        block: The last key above it; empty at the top level.
        homes: The known keys of every block, by the block's name.
    """
    if key.startswith(_ODD_SPACES):
        return "it begins with a no-break space (U+00A0): indent with ordinary spaces"
    if meant := meant_key(key, block, homes):
        return f'did you mean "{meant}"?'
    folded = _folded(key)
    if alias := _ALIASES.get(block, {}).get(folded):
        return alias
    if home := _home_of(folded, block, homes):
        return f"{folded} belongs to {home}: indent it as the other keys there"
    return ""


def meant_key(key: str, block: str, homes: Mapping[str, Iterable[str]]) -> str | None:
    """The known key that an unknown one most likely stands for; the arguments are those of ``key_hint``."""
    folded = _folded(key)
    if folded in homes[block]:
        return folded
    if alias := _ALIASES.get(block, {}).get(folded):
        return None if " " in alias else alias
    return None if _home_of(folded, block, homes) else _nearest(key, list(homes[block]))


def _folded(key: str) -> str:
    return key.casefold().replace("-", "_").strip()


def _home_of(folded: str, block: str, homes: Mapping[str, Iterable[str]]) -> str | None:
    """What to call the other block that a key belongs to."""
    home = next((name for name, keys in homes.items() if name != block and folded in keys), None)
    if home is None or (home == "accounts" and block == "defaults"):
        return None
    return {"accounts": "an account", "": "the top level"}.get(home, home)


_ODD_SPACES: Final = ("\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}", "\ufeff")


def encryption_hint(found: object, port: object) -> str:
    """A hint about a wrong ``smtp_crypt``, by the port beside it; empty if there is none."""
    if not isinstance(found, str | bool):
        return ""
    word = str(found).casefold().replace("_", "-")
    if word.replace("-", "") == "starttls" or word in _UNENCRYPTED:
        return f'did you mean "{"none" if word in _UNENCRYPTED else "starttls"}"?'
    if word.replace("-", "/") not in _ENCRYPTED and word not in _ENCRYPTED:
        return ""
    if isinstance(port, int) and port in _STARTTLS_PORTS | _TLS_PORTS:
        return f'did you mean "{"starttls" if port in _STARTTLS_PORTS else "ssl-tls"}", as usual with port {port}?'
    return '"starttls" begins unencrypted (port 587); "ssl-tls" is encrypted from the start (port 465)'
