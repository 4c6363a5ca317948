"""The vendor's error format: what the server says when it says no."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Literal, TypeAlias

FaultType: TypeAlias = Literal["invalid", "required", "duplicated", "not_found", "rule"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of an error answer; ``msg`` is in Portuguese, as the vendor's are."""

    field: str
    type: FaultType
    msg: str


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """Ends the handling of a request with a 4XX answer in the vendor's format."""

    def __init__(self, status: int, *faults: Fault) -> None:
        super().__init__("; ".join(fault.msg for fault in faults))
        self.status = status
        self.faults = faults

    @property
    def body(self) -> dict[str, list[dict[str, str]]]:
        """The answer's JSON."""
        return {"errors": [asdict(fault) for fault in self.faults]}


def no_such_account() -> Refusal:
    """Refuses an id that no account has."""
    return Refusal(HTTPStatus.NOT_FOUND, Fault("id", "not_found", "Conta de email não encontrada"))


def duplicated(field: str, value: str) -> Refusal:
    """Refuses a value that another account has; the wording is the vendor's."""
    label = "nome" if field == "name" else field
    return Refusal(HTTPStatus.CONFLICT, Fault(field, "duplicated", f"Já existe um item com o {label} '{value}'"))


def default_kept(msg: str) -> Refusal:
    """Refuses to leave the system without its default account."""
    return Refusal(HTTPStatus.CONFLICT, Fault("default", "rule", msg))


def required(field: str) -> Refusal:
    """Refuses settings that lack what they need."""
    return Refusal(HTTPStatus.BAD_REQUEST, Fault(field, "required", "Campo obrigatório"))


def not_sent(field: str, reason: str) -> Refusal:
    """Says why the test mail did not go out: the SMTP settings are the request's, so this is a 400 and no 5XX."""
    return Refusal(HTTPStatus.BAD_REQUEST, Fault(field, "rule", f"Falha ao enviar o email: {reason}"))
