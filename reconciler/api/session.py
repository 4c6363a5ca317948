"""A call to the server: authenticated, repeated where that is safe, ended in an answer or in an error that is true."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.api.failure import AttemptError, Failure, UnreadableError, outcome_unknown
from reconciler.api.mapping import bad_answer, failure_of_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.api.answer import Answer
    from reconciler.api.auth import Authority
    from reconciler.api.client import Client
    from reconciler.api.retry import Retry

T = TypeVar("T")

_REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as often as it has to be sent.

    Attributes:
        on_account: The path names an account, so that 404 means that this account is not there.
    """

    method: str
    path: str
    body: bytes | None = None
    on_account: bool = False

    def repeatable(self, failure: Failure) -> bool:
        """Whether another attempt may follow.

        Always for a call that has the same effect twice as once; otherwise only where the failed attempt had none.
        """
        return self.method in _REPEATABLE or not failure.doubtful

    def done_by(self, answer: Answer) -> bool:
        """Whether ``answer`` says that what was asked for is so."""
        return answer.good or (self.method == "DELETE" and answer.status == HTTPStatus.NOT_FOUND)


class Session:
    """Makes calls. Safe for threads."""

    def __init__(self, client: Client, authority: Authority, retry: Retry) -> None:
        self._client = client
        self._authority = authority
        self._retry = retry

    def make(self, call: Call, read: Callable[[Answer], T]) -> T:
        """Makes ``call`` and reads its answer.

        Args:
            call: What to send.
            read: Makes the result from a good answer; raises ``UnreadableError`` where it makes no sense.

        Raises:
            RejectedError: The server refused; nothing happened.
            UnreachableError: The call never got there; nothing happened.
            OutcomeUnknownError: A write that may have taken effect in one of its attempts.
            ApiError: Any other failure of a read.
        """
        doubts: list[Failure] = []

        def attempt(deadline: float) -> T:
            try:
                return self._attempt(call, read, deadline)
            except AttemptError as error:
                if error.failure.doubtful and call.method != "GET":
                    doubts.append(error.failure)
                raise

        try:
            return self._retry.run(attempt, repeatable=call.repeatable)
        except AttemptError as error:
            last = error.failure
        raise outcome_unknown(doubts, last) if doubts else last.exception()

    def _attempt(self, call: Call, read: Callable[[Answer], T], deadline: float) -> T:
        answer = self._answer(call, deadline)
        if not call.done_by(answer):
            raise AttemptError(failure_of_status(answer, self._client.redactor, on_account=call.on_account))
        try:
            return read(answer)
        except UnreadableError as error:
            raise AttemptError(bad_answer(f"{call.method} {call.path}: {error}")) from None

    def _answer(self, call: Call, deadline: float) -> Answer:
        bearer = self._authority.bearer()
        answer = self._client.exchange(call.method, call.path, bearer=bearer.header, body=call.body, deadline=deadline)
        if answer.status != HTTPStatus.UNAUTHORIZED or (other := self._authority.renewed(bearer)) is None:
            return answer
        # 401 means that the request was not processed: sending it once more with a new token is safe for a create too.
        return self._client.exchange(call.method, call.path, bearer=other.header, body=call.body, deadline=deadline)
