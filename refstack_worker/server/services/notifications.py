"""What users and operators do with notifications: webhooks and e-mails about runs and nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.errors import NotFoundError, StateError, UsageError
from refstack_worker.server.domain.notifications import (
    CHOICES,
    OPERATORS_ONLY,
    Delivery,
    EventKind,
    MessageChannel,
    NewSubscription,
    Subscription,
    SubscriptionScope,
)
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify import signature, webhook
from refstack_worker.server.notify.messages import Composer
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import FLAG, MAIL_ADDRESS, array, choice, fields, string
from refstack_worker.server.services.turns import Turns

TURNS = Turns(3, 1, "The address of another webhook of yours is being looked up. Try again in a moment.")
"""A name server may take seconds to answer, or never do."""
_MAIL = re.compile(rf"{MAIL_ADDRESS}\Z")
_KINDS = array(choice(*(kind.value for kind in CHOICES)), minItems=1, maxItems=len(CHOICES), uniqueItems=True)
_SCOPE = choice("own", "vendor", description="Whose runs: your own, or those of all users of your vendor")
_LABEL = string(100)
NEW_NOTIFICATION = fields(
    "channel",
    "target",
    "kinds",
    channel=choice(*(channel.value for channel in MessageChannel)),
    target=string(500, minLength=1, description="URL of a webhook, or an e-mail address"),
    kinds=_KINDS,
    scope=_SCOPE,
    label=_LABEL,
)
CHANGED_NOTIFICATION = fields(kinds=_KINDS, scope=_SCOPE, label=_LABEL, paused=FLAG)


@dataclass(frozen=True)
class Added:
    subscription: Subscription
    secret: str
    """Secret of a webhook, shown only now; empty for e-mail."""


@dataclass(frozen=True)
class NotificationService:
    """The users' side of notifications."""

    ledger: Ledger

    def visible(self, caller: Caller) -> list[Subscription]:
        """Return the notifications of a caller and the caller's vendor; operators see all."""
        return self.ledger.subscriptions.all(self._owners(caller))

    def get(self, caller: Caller, number: int) -> Subscription:
        """Return one. :raises NotFoundError: there is none that the caller sees."""
        found = self.ledger.subscriptions.get(number)
        owners = self._owners(caller)
        if owners is not None and found.owner_id not in owners:
            raise NotFoundError(f"there is no notification {number}")
        return found

    def add(self, caller: Caller, body: Mapping[str, Any]) -> Added:
        """Add one. :param body: of the schema :data:`NEW_NOTIFICATION`."""
        caller.need_writer()
        channel, kinds = MessageChannel(body["channel"]), _kinds(caller, body["kinds"])
        self._check_target(caller, channel, body["target"])
        secret = signature.new_secret() if channel is MessageChannel.WEBHOOK else ""
        new = NewSubscription(
            channel=channel,
            target=body["target"],
            kinds=kinds,
            scope=SubscriptionScope.ALL if caller.is_operator else SubscriptionScope(body.get("scope", "own")),
            owner_id=None if caller.is_operator else _user(caller),
            label=body.get("label", ""),
            secret=secret,
            created_by=caller.name,
        )
        return Added(self.ledger.subscriptions.add(new, self._owners(caller) or ()), secret)

    def change(self, caller: Caller, number: int, body: Mapping[str, Any]) -> Subscription:
        """Change one, pause or resume it. :param body: of the schema :data:`CHANGED_NOTIFICATION`."""
        found = self._own(caller, number)
        values: dict[str, Any] = {}
        if "kinds" in body:
            values["kinds"] = " ".join(kind.value for kind in _kinds(caller, body["kinds"]))
        if "scope" in body and found.owner_id is not None:
            values["scope"] = body["scope"]
        if "label" in body:
            values["label"] = body["label"]
        if values:
            self.ledger.subscriptions.change(number, **values)
        if "paused" in body and body["paused"] != bool(found.paused_at):
            change = self.ledger.subscriptions.pause if body["paused"] else self.ledger.subscriptions.resume
            change(number)
        return self.get(caller, number)

    def renew_secret(self, caller: Caller, number: int) -> Added:
        """Make a new secret for a webhook; the old one stops working."""
        found = self._own(caller, number)
        if found.channel is not MessageChannel.WEBHOOK:
            raise StateError("e-mails are not signed; only a webhook has a secret")
        secret = signature.new_secret()
        self.ledger.subscriptions.set_secret(number, secret)
        return Added(found, secret)

    def delete(self, caller: Caller, number: int) -> None:
        self._own(caller, number)
        self.ledger.subscriptions.delete(number)

    def test(self, caller: Caller, number: int) -> Delivery:
        """Send a test message, once and within seconds, also while the notification is paused."""
        found = self._own(caller, number)
        made = self.ledger.deliveries.add_test(number, Composer(self.ledger).test(found))
        return next(one for one in self.ledger.deliveries.of(number, made + 1, 1))

    def deliveries(self, caller: Caller, number: int, before: int = 0, limit: int = 100) -> list[Delivery]:
        """Return the log of messages, the newest first."""
        self.get(caller, number)
        return self.ledger.deliveries.of(number, before, limit)

    def addresses(self, caller: Caller) -> list[str]:
        """Return the addresses to which a caller may send e-mail: those of the vendor's users and its contact.

        Others would let anyone send messages to strangers; disabled users get none. Operators may enter any.
        """
        owners, disabled = self._owners(caller) or (), self.ledger.account_changes.states().users
        users = [user for user in self.ledger.accounts.users() if user.id in owners and user.id not in disabled]
        vendors = {user.vendor_id for user in users}
        contacts = [vendor.contact_email for vendor in self.ledger.accounts.vendors() if vendor.id in vendors]
        mine = [user.email for user in sorted(users, key=lambda user: user.id != caller.token.user_id)]
        return list(dict.fromkeys(address for address in (*mine, *contacts) if address))

    def _own(self, caller: Caller, number: int) -> Subscription:
        caller.need_writer()
        return self.get(caller, number)

    def _owners(self, caller: Caller) -> Sequence[int] | None:
        scope = access.scope_of(self.ledger, caller)
        return None if scope is None else scope.owner_ids

    def _check_target(self, caller: Caller, channel: MessageChannel, target: str) -> None:
        settings = self.ledger.settings.notify
        if channel is MessageChannel.WEBHOOK:
            try:
                with TURNS.turn(caller.token.account):
                    webhook.check_target(target, settings.hook_networks)
            except UsageError as error:
                raise invalid("target", str(error)) from None
            return
        if settings.smtp_server is None:
            raise invalid(
                "channel", "this server sends no e-mail; use a webhook, or ask the operator to set SMTP_SERVER"
            )
        if not _MAIL.match(target):
            raise invalid("target", "must be an e-mail address")
        if not caller.is_operator and target not in self.addresses(caller):
            known = ", ".join(self.addresses(caller)) or "none is known; ask the operator"
            raise invalid("target", f"must be an address of your vendor: {known}")


def _kinds(caller: Caller, values: Sequence[str]) -> tuple[EventKind, ...]:
    kinds = tuple(EventKind(value) for value in values)
    if not caller.is_operator and OPERATORS_ONLY & set(kinds):
        raise invalid("kinds", "only operators can be notified about nodes")
    return kinds


def _user(caller: Caller) -> int:
    if caller.token.user_id is None:
        raise invalid("", "this token belongs to no user, so there is nothing to notify about")
    return caller.token.user_id
