"""What operators do with vendors and users: list, change, disable, hand over, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.domain.accounts import AccountStates, User, Vendor
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import FLAG, ID, fields, integer, mail_text, maybe, name_text, string

MAX_LIMIT = 10**6
CHANGED_VENDOR = fields(
    name=name_text(80),
    contact_name=string(120),
    contact_email=mail_text(120),
    max_open_runs=maybe(integer(0, MAX_LIMIT, description="0: no limit; null: the server's MAX_OPEN_RUNS")),
    disabled=FLAG,
)
CHANGED_USER = fields(name=name_text(60), email=mail_text(200), vendor_id=maybe(ID), disabled=FLAG)


@dataclass(frozen=True)
class AccountService:
    """The operators' side of accounts; the caller's rights are checked where a call comes in."""

    ledger: Ledger

    def states(self) -> AccountStates:
        return self.ledger.account_changes.states()

    def vendor(self, vendor_id: int) -> Vendor:
        """Return a vendor. :raises NotFoundError: no such id."""
        for vendor in self.ledger.accounts.vendors():
            if vendor.id == vendor_id:
                return vendor
        raise NotFoundError(f"there is no vendor {vendor_id}")

    def change_vendor(self, caller: Caller, vendor_id: int, body: Mapping[str, Any]) -> Vendor:
        """Change a vendor. :param body: of the schema :data:`CHANGED_VENDOR`."""
        changes = self.ledger.account_changes
        names = {"name": "vendor_name", "contact_name": "contact_name", "contact_email": "contact_email"}
        values = {column: body[name] or None for name, column in names.items() if name in body}
        if values:
            changes.change_vendor(vendor_id, values)
        if "max_open_runs" in body:
            changes.limit_vendor(vendor_id, body["max_open_runs"])
        if body.get("disabled") is True:
            self._check_not_self(caller, self._members(vendor_id))
            changes.disable_vendor(vendor_id, caller.name)
        elif body.get("disabled") is False:
            changes.enable_vendor(vendor_id)
        return self.vendor(vendor_id)

    def change_user(self, caller: Caller, user_id: int, body: Mapping[str, Any]) -> User:
        """Change a user; another ``vendor_id`` moves the user with runs and clouds to that vendor.

        :param body: of the schema :data:`CHANGED_USER`.
        """
        changes = self.ledger.account_changes
        values = {name: body[name] or None for name in ("name", "email", "vendor_id") if name in body}
        if values:
            changes.change_user(user_id, values)
        if body.get("disabled") is True:
            self._check_not_self(caller, {user_id})
            changes.disable_user(user_id, caller.name)
        elif body.get("disabled") is False:
            changes.enable_user(user_id)
        return self.ledger.accounts.user(user_id)

    def transfer(self, user_id: int, to_user_id: int) -> None:
        """Hand over what a user has to another. :raises InvalidInput: both are the same."""
        if user_id == to_user_id:
            raise invalid("to_user_id", "must be another user")
        self.ledger.account_changes.transfer(user_id, to_user_id)

    def remove_user(self, caller: Caller, user_id: int) -> None:
        self._check_not_self(caller, {user_id})
        self.ledger.account_changes.remove_user(user_id)

    def _members(self, vendor_id: int) -> set[int]:
        return {user.id for user in self.ledger.accounts.users() if user.vendor_id == vendor_id}

    def _check_not_self(self, caller: Caller, users: set[int]) -> None:
        if caller.token.user_id in users:
            raise StateError("you cannot disable or remove yourself; another operator can")


def vendor_json(vendor: Vendor, states: AccountStates) -> dict[str, Any]:
    """Return a vendor as the API shows it."""
    return {
        **asdict(vendor),
        "disabled": vendor.id in states.vendors,
        "max_open_runs": states.limits.get(vendor.id),
    }


def user_json(user: User, states: AccountStates) -> dict[str, Any]:
    """Return a user as the API shows it; ``disabled``: alone or with the vendor."""
    return {**asdict(user), "disabled": user.id in states.users or user.vendor_id in states.vendors}
