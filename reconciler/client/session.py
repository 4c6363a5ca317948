"""A call to the server: authenticated, repeated if it only reads, ended in a response or in an error that is true."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from reconciler.client.errors import error_from_status, invalid_response
from reconciler.client.failure import AttemptError, UnreadableError
from reconciler.retry import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.client.answer import Answer
    from reconciler.client.auth import TokenProvider
    from reconciler.client.client import Client, ReadClient
    from reconciler.retry import Retry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        on_account: The path names an account, so that 404 means that this account is not there.
        writes: It changes accounts. Then it is sent once: whoever wants it sent again has to look at the server first,
            because others may have changed it meanwhile.
    """

    method: str
    path: str
    body: bytes | None = None
    on_account: bool = False
    writes: bool = False


class _Renewed(threading.local):
    """The token that this thread got in place of one that a write was refused with."""

    generation: int | None = None


class Session:
    """Makes calls. Safe for threads."""

    def __init__(self, client: Client | ReadClient, authority: TokenProvider, retry: Retry) -> None:
        self._client = client
        self._authority = authority
        self._retry = retry
        self._renewed = _Renewed()
        self._accepted: dict[str, int] = {}  # by method, the last token that was accepted

    def make(self, call: Call, read: Callable[[Answer], T]) -> T:
        """Makes ``call`` and reads its answer.

        Args:
            call: What to send.
            read: Makes the result from a good answer; raises ``UnreadableError`` if the response is not a documented
                success, and ``AttemptError`` if it says no.

        Raises:
            RejectedError: The server refused; nothing happened.
            UnreachableError: The call never got there; nothing happened.
            OutcomeUnknownError: Something other than a read, which may have taken effect.
            ApiError: Any other failure of a read.
        """
        reads = call.method == "GET"
        send = self._retry.run_or_join if reads else self._retry.once
        try:
            return send(lambda deadline: self._attempt(call, read, deadline))
        except AttemptError as error:
            raise error.failure.exception(writing=not reads) from None

    def _attempt(self, call: Call, read: Callable[[Answer], T], deadline: float) -> T:
        answer = self._answer(call, deadline)
        if not answer.good:
            raise AttemptError(error_from_status(answer, self._client.redactor, on_account=call.on_account))
        try:
            return read(answer)
        except UnreadableError as error:
            raise AttemptError(invalid_response(f"{call.method} {call.path}: {error}")) from None

    def _answer(self, call: Call, deadline: float) -> Answer:
        bearer = self._authority.bearer()
        is_renewed = call.writes and self._renewed.generation == bearer.generation
        for _ in range(ATTEMPTS):
            answer = self._client.exchange(
                call.method, call.path, bearer=bearer.header, body=call.body, deadline=deadline
            )
            if answer.status != HTTPStatus.UNAUTHORIZED:
                self._accepted[call.method] = bearer.generation
                break
            # A new token that no call of this kind was accepted with is not the reason. One that was has expired since.
            if is_renewed and self._accepted.get(call.method) != bearer.generation:
                break
            if (other := self._authority.renewed(bearer)) is None:
                break
            if call.writes:
                # The exchange of tokens took its time: the account has to be read again before the write is sent again.
                self._renewed.generation = other.generation
                refused = error_from_status(answer, self._client.redactor, on_account=call.on_account)
                raise AttemptError(replace(refused, transient=True))
            bearer, is_renewed = other, True
        return answer
