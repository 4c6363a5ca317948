"""What the handlers of one sandbox share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.sandbox import SandboxOptions
    from reconciler.sandbox.mailer import Mailer
    from reconciler.sandbox.smtp_sink import Sink
    from reconciler.sandbox.store import AccountStore
    from reconciler.sandbox.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The pieces that a sandbox is put together from."""

    options: SandboxOptions
    store: AccountStore
    tokens: Tokens
    mailer: Mailer
    sink: Sink
