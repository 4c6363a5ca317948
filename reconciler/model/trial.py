"""Settings to be sent through the server's test endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.model.desired import DeliveryTestWhen

if TYPE_CHECKING:
    from reconciler.errors import Position
    from reconciler.model.account import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTest:
    """Settings to be tried.

    Attributes:
        fields: The whole account as declared, over what the server has.
        when: What the report says about the occasion; a trial of its own is ``before`` any write.
        position: Where the account is declared.
    """

    address: str
    fields: Fields
    to_email: str
    id: int | None = None
    when: DeliveryTestWhen = DeliveryTestWhen.BEFORE
    position: Position | None = None
