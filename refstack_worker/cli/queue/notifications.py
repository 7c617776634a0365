"""``refstack-queue notification …``: webhooks and e-mails about runs and nodes."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.names import notification_id
from refstack_worker.cli.queue.records import Columns, Rows

KINDS = ("run.ended", "run.not_passed", "run.failing", "run.waiting", "schedule.skipped", "node.lost")


class NotificationList(Lister):
    """List your vendor's notifications; operators see all."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/notifications")["notifications"]
        rows = [
            (one["id"], one["target"], " ".join(one["kinds"]), one["scope"], _state(one), one["label"]) for one in found
        ]
        return ("Id", "To", "When", "Runs of", "State", "Label"), rows


class NotificationCreate(ShowOne):
    """Get a webhook (a URL) or an e-mail (an address) when something happens.

    The secret of a webhook is shown only once. Messages have the headers webhook-id, webhook-timestamp and
    webhook-signature, as standardwebhooks.com describes them.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("target", help="URL, or e-mail address of your vendor")
        parser.add_argument(
            "--on",
            action="append",
            choices=KINDS,
            metavar="EVENT",
            help=f"one of {', '.join(KINDS)}; repeat it for several (default: run.not_passed)",
        )
        parser.add_argument("--vendor", action="store_true", help="for the runs of all users of your vendor")
        parser.add_argument("--label", default="", help="display name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        is_mail = "@" in parsed_args.target and "://" not in parsed_args.target
        body = {
            "channel": "mail" if is_mail else "webhook",
            "target": parsed_args.target,
            "kinds": list(dict.fromkeys(parsed_args.on or ["run.not_passed"])),
            "scope": "vendor" if parsed_args.vendor else "own",
            "label": parsed_args.label,
        }
        with Api(access_of(self.app.options)) as api:
            made = api.post("/v1/notifications", body)
        names = ("id", "channel", "target", "kinds", "scope", *(["secret"] if made["secret"] else []))
        return names, [" ".join(made[name]) if name == "kinds" else made[name] for name in names]


class _NotificationCommand(Command):
    """A command about one notification."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_notification(super().get_parser(prog_name))


class NotificationDelete(_NotificationCommand):
    """Delete a notification with its log."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = notification_id(api, parsed_args.notification)
            api.delete(f"/v1/notifications/{number}")
        self.app.stdout.write(f"notification {number} is deleted\n")


class NotificationPause(_NotificationCommand):
    """Pause a notification; events in the meantime are not sent later."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = notification_id(api, parsed_args.notification)
            api.put(f"/v1/notifications/{number}", {"paused": True})
        self.app.stdout.write(f"notification {number} is paused\n")


class NotificationResume(_NotificationCommand):
    """Resume a paused notification: messages are sent again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = notification_id(api, parsed_args.notification)
            api.put(f"/v1/notifications/{number}", {"paused": False})
        self.app.stdout.write(f"notification {number} is active again\n")


class NotificationSecret(ShowOne):
    """Create a new secret for a webhook; the old one stops working."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_notification(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            number = notification_id(api, parsed_args.notification)
            made = api.post(f"/v1/notifications/{number}/secret")
        return ("id", "secret"), (made["id"], made["secret"])


class NotificationTest(_NotificationCommand):
    """Send a test message; 'notification log' shows whether it arrived."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            number = notification_id(api, parsed_args.notification)
            api.post(f"/v1/notifications/{number}/test")
        self.app.stdout.write(
            f"notification {number}: the test message is sent within seconds; "
            f"'notification log {number}' shows whether it arrived\n"
        )


class NotificationLog(Lister):
    """List the last messages of a notification, newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_notification(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with Api(access_of(self.app.options)) as api:
            number = notification_id(api, parsed_args.notification)
            found = api.get(f"/v1/notifications/{number}/deliveries")["deliveries"]
        columns = ("created_at", "kind", "test_id", "state", "tries", "error")
        rows = [[one[name] if one[name] is not None else "" for name in columns] for one in found]
        return ("Created", "About", "Run", "State", "Tries", "Error"), rows


def _with_notification(parser: Any) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = parser
    found.add_argument("notification", help="id, name, URL or e-mail address, as 'notification list' shows it")
    return found


def _state(one: dict[str, Any]) -> str:
    if one["problem"]:
        return f"stopped: {one['problem']}"
    return "paused" if one["paused"] else "active"
