"""Secrets in what the user names, and the files that references lead to."""

from __future__ import annotations

from reconciler.errors import InvalidValueError, Kind, Problem, SecretError
from reconciler.model.secret import Secret, secret_text


def given_secret(name: str, text: str) -> Secret:
    """The secret in a variable or a file that the user names, by the rules of ``secret_text``.

    Args:
        name: What messages call it.
        text: What is in it.

    Raises:
        SecretError: It cannot be a secret, or is empty.
    """
    try:
        bare = secret_text(text)
    except InvalidValueError as error:
        raise SecretError(Problem(kind=Kind.BAD_SECRET, message=f"{name} {error.message}", hint=error.hint)) from None
    if not bare:
        raise SecretError(Problem(kind=Kind.SECRET_EMPTY, message=f"{name} is empty", hint="put the secret into it"))
    return Secret(bare)
