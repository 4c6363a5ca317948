"""The types of the API's documents, for its OpenAPI description."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.watch.records import Origin, ServerState, SuspendedBy


class ApiModel(BaseModel):
    """A document. Later versions may add keys."""

    model_config = ConfigDict(extra="forbid")


class SuspensionModel(ApiModel):
    """Why nothing is written to a server."""

    reason: str
    by: SuspendedBy = Field(description="The command, the server's manifest, or the watcher at the heal limit.")
    user: str = Field(description="Who suspended it; empty if that is not known.")
    since: datetime | None
    until: datetime | None = Field(description="When it ends by itself; null if it does not.")


class FieldModel(ApiModel):
    """One field of a change. The values of secrets are never in it."""

    field: str
    before: str = Field("", description="The value on the server, as YAML would write it.")
    after: str = Field("", description="The declared value, likewise.")
    words: str = Field("", description="What may be shown about a secret.")
    changed: bool = Field(description="Whether the change is about this field.")


class ChangeModel(ApiModel):
    """A change of one account."""

    address: str
    action: Literal["create", "update", "delete"]
    origin: Origin = Field(description="Whether the declaration changed, the server changed, or both did.")
    fields: list[FieldModel]
    notes: list[str]
    held: str = Field(description="Why it was not written; empty if it was, or has yet to be.")
    status: str = Field(description="Its outcome; empty if it was not written.")
    error: str


class RunModel(ApiModel):
    """One run on a server, or several that found the same and did nothing."""

    run: str = Field(description="The identifier of the round, as in the logs.")
    trigger: str = Field(description="start, interval, commit, hook, signal, retry, resume, rollout, broker or once.")
    commit: str
    result: str = Field(description="unchanged, planned (nothing was written), or the status of a result document.")
    started_at: datetime
    finished_at: datetime
    count: int = Field(description="How many runs this stands for.")
    changes: list[ChangeModel]
    error: str


class ServerModel(ApiModel):
    """A server as the watcher last saw it."""

    name: str
    url: str
    labels: dict[str, str]
    state: ServerState
    drift: int = Field(description="The number of accounts that were changed on the server; 0 if not known.")
    drift_known: bool = Field(description="False if the server could not be compared, and no drift was known.")
    changed_since: datetime | None = Field(description="Since when it differs from its declaration.")
    last_success: datetime | None = Field(description="When it was last as declared.")
    next_run: datetime | None
    commit: str = Field(description="The commit whose manifest is in force on the server; empty if none is yet.")
    suspended: SuspensionModel | None
    error: str
    held: list[str] = Field(description="Why a drifted or pending server is not written to, each reason once.")


class ServerDetailsModel(ServerModel):
    """A server with its changes and its runs."""

    last_run: datetime | None
    failures: int = Field(description="How many runs in a row have failed.")
    changes: list[ChangeModel]
    runs: list[RunModel] = Field(description="Newest first, at most fifty.")


class NoticeModel(ApiModel):
    """Something that is wrong with the watcher or its source."""

    about: str = Field(description="A fixed word, such as source_failed: the newest declaration is not in force.")
    message: str


class ErrorModel(ApiModel):
    """Why a request was refused."""

    error: str
