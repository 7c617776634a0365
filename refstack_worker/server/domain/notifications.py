"""Notifications: what can happen, who wants to hear of it, and the messages.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class EventKind(str, enum.Enum):
    """What can happen. The values are stored, sent as ``type``, and chosen by subscribers."""

    RUN_ENDED = "run.ended"
    """A run ended, however."""
    RUN_NOT_PASSED = "run.not_passed"
    """Chosen by subscribers only: ends with failed tests, without a result, or by a cancel."""
    RUN_FAILING = "run.failing"
    """The first test of a run failed, while it still runs."""
    RUN_WAITING = "run.waiting"
    """A run waits in vain: no node serves what it needs."""
    SCHEDULE_SKIPPED = "schedule.skipped"
    """A schedule was due and started no run."""
    NODE_LOST = "node.lost"
    """A node has stopped reporting. For operators."""
    TEST = "test"
    """Asked for by a subscriber, to try the way."""


CHOICES = (
    EventKind.RUN_ENDED,
    EventKind.RUN_NOT_PASSED,
    EventKind.RUN_FAILING,
    EventKind.RUN_WAITING,
    EventKind.SCHEDULE_SKIPPED,
    EventKind.NODE_LOST,
)
"""What a subscriber can choose."""
OPERATORS_ONLY = frozenset({EventKind.NODE_LOST})


class MessageChannel(str, enum.Enum):
    """The way that messages take."""

    WEBHOOK = "webhook"
    MAIL = "mail"


class SubscriptionScope(str, enum.Enum):
    """Whose runs a subscriber hears of."""

    OWN = "own"
    VENDOR = "vendor"
    """Those of all users of the owner's vendor."""
    ALL = "all"
    """Everybody's; for operators."""


@dataclass(frozen=True)
class Event:
    id: int
    kind: EventKind
    subject: str
    at: float
    test_id: int | None = None
    text: str = ""


@dataclass(frozen=True)
class NewSubscription:
    channel: MessageChannel
    target: str
    """URL, or e-mail address."""
    kinds: tuple[EventKind, ...]
    scope: SubscriptionScope = SubscriptionScope.OWN
    owner_id: int | None = None
    """None: the operators'."""
    label: str = ""
    secret: str = field(default="", repr=False)
    """Signs the messages of a webhook; kept sealed."""
    created_by: str = ""


@dataclass(frozen=True)
class Subscription:
    id: int
    channel: MessageChannel
    target: str
    kinds: tuple[EventKind, ...]
    scope: SubscriptionScope
    owner_id: int | None
    label: str
    created_at: float
    created_by: str
    paused_at: float = 0.0
    problem: str = ""
    """Why the server paused it; empty: it did not."""


@dataclass(frozen=True)
class Delivery:
    """A message to one subscriber, as its log shows it."""

    id: int
    subscription_id: int
    kind: EventKind
    created_at: float
    test_id: int | None = None
    is_open: bool = True
    """Still to be sent."""
    due_at: float = 0.0
    tries: int = 0
    ended_at: float = 0.0
    status: int = 0
    """Last answer of the receiver: HTTP's or SMTP's number; 0: none."""
    error: str = ""
    """Error of the last try; empty: it was accepted, or not tried yet."""


@dataclass(frozen=True)
class DueDelivery:
    """A message that its holder sends now."""

    id: int
    message_id: str
    """The same at each try, so that a receiver can leave out what it has."""
    channel: MessageChannel
    target: str
    tries: int
    """That failed before."""
    body: Mapping[str, Any] = field(repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Sent:
    """How a try to send a message ended."""

    is_accepted: bool
    status: int = 0
    error: str = ""
    is_final: bool = False
    """Trying again would not help."""
    is_gone: bool = False
    """The receiver wants no further messages."""
