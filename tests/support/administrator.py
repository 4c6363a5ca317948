"""An administrator who changes accounts on the server during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.model.fields import FIELDS
from reconciler.sandbox.store import AccountStore

if TYPE_CHECKING:
    from reconciler.sandbox.schemas import AccountFields
    from reconciler.sandbox.store import StoredAccount

DEEDS: Final = ("edit", "edit_password", "delete", "recreate", "recreate_alike", "recreate_elsewhere")
"""``recreate`` deletes the account and creates another one under its id, with other values; ``recreate_alike`` with the
same values, and ``recreate_elsewhere`` with another address."""

ELSEWHERE: Final = "elsewhere@example.com"
NEW: Final = {
    **dict.fromkeys(FIELDS),
    "default": False,
    "name": "By hand",
    "service": "other",
    "has_auth": False,
}


class SharedStore(AccountStore):
    """Accounts whose ids can be used again after they are deleted."""

    def put(self, account_id: int, fields: AccountFields) -> None:
        """Creates an account under this id, in place of the one that has it."""
        with self._writing() as connection:
            connection.execute("DELETE FROM accounts WHERE id = ?", (account_id,))
            created = self._insert(fields)
            connection.execute("UPDATE accounts SET id = ? WHERE id = ?", (account_id, created.id))

    def drop(self, account_id: int) -> None:
        """Deletes an account, whatever the rules."""
        with self._writing() as connection:
            connection.execute("DELETE FROM accounts WHERE id = ?", (account_id,))

    def find(self, account_id: int | None, address: str | None) -> StoredAccount | None:
        """The account with this id or, without one, with this address."""
        found = (one for one in self.list() if account_id in (None, one.id))
        return next((one for one in found if account_id is not None or one.fields["email"] == address), None)


def row_of(account: StoredAccount) -> dict[str, Any]:
    """An account with all that the store knows about it."""
    times = {"created_at": account.created_at, "updated_at": account.updated_at}
    return {"id": account.id, **account.fields, **times}


class Administrator:
    """Makes changes to accounts, and remembers how each left the account.

    Attributes:
        done: For each deed its name, the id, the addresses that it was about, and the account since, if there is one.
    """

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self._addresses: dict[int, AccountFields] = {one.id: one.fields for one in store.list()}
        self.done: list[dict[str, Any]] = []

    def write(self, account_id: int | None, fields: AccountFields | None) -> None:
        """Creates, replaces or deletes an account."""
        complete = {**dict.fromkeys(FIELDS), **(fields or {})}
        if account_id is None and fields:
            self._store.create(complete)
        elif account_id is not None:
            self._store.replace(account_id, complete) if fields else self._store.drop(account_id)

    def act(self, deed: str, account_id: int | None, address: str | None) -> None:
        """Makes the change ``deed`` to the account with this id, or else with this address."""
        account = self._store.find(account_id, address)
        if account:
            self._change(deed, account)
            account_id = account.id
            fields = account.fields
        elif deed.startswith("recreate"):
            account_id, fields = self._create(deed, account_id, address)
        else:
            return
        left = self._store.find(account_id, None)
        addresses = {fields["email"], *([address] if address else []), *([left.fields["email"]] if left else [])}
        row = row_of(left) if left else None
        self.done.append({"deed": deed, "id": account_id, "addresses": sorted(addresses), "left": row})

    def _change(self, deed: str, account: StoredAccount) -> None:
        fields = account.fields
        if deed == "edit":
            self._store.replace(account.id, _edited(fields))
        elif deed == "edit_password":
            self._store.replace(account.id, {**fields, "password": "changed-by-hand"})
        elif deed == "delete":
            self._store.delete(account.id)
        else:
            self._store.put(account.id, _recreated(deed, fields))

    def _create(self, deed: str, account_id: int | None, address: str | None) -> tuple[int, AccountFields]:
        """Takes an address, or an id, that is free."""
        former = self._addresses.get(account_id or 0)
        fields = former or {**NEW, "email": address or ELSEWHERE}
        recreated = _recreated(deed, fields)
        if account_id is None:
            return self._store.create(recreated).id, fields
        self._store.put(account_id, recreated)
        return account_id, fields


def _edited(fields: AccountFields) -> AccountFields:
    return {**fields, "smtp_server": "by-hand.example.com", "smtp_port": 2525, "password": "changed-by-hand"}


def _recreated(deed: str, fields: AccountFields) -> AccountFields:
    if deed == "recreate_alike":
        return fields
    edited = {**_edited(fields), "default": False, "name": "By hand"}
    return edited if deed == "recreate" else {**edited, "email": ELSEWHERE}
