"""Schedule, webhook, e-mail and audit log with the real processes: a scheduled run starts, ends, and is announced.

The signature is verified by openssl, as a receiver that has never seen this project would do it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.api_client import Access, Api
from tests.integration.server import test_mail
from tests.support import http_server, processes
from tests.support.http_server import Asked, Reply, Scripted
from tests.support.processes import eventually

SECONDS_AHEAD = 5
"""A schedule is due at a full minute; one that is nearer than this is missed."""
DUE_SECONDS = 90.0


@dataclass
class Place:
    """The server's processes, a receiver of webhooks and a mail server."""

    site: processes.Site
    receiver: Scripted
    mailbox: test_mail.Mailbox


@pytest.fixture(params=("production", "embedded"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = request.getfixturevalue("postgresql").new_database() if request.param == "production" else ""
    mailbox = test_mail.Mailbox()
    with http_server.serving() as receiver, test_mail.serving(mailbox) as mail_port:
        receiver.on("/hook", Reply(204, b""))
        settings = {
            "SMTP_SERVER": f"127.0.0.1:{mail_port}",
            "SMTP_SECURITY": "none",
            "MAIL_FROM": "refstack@refstack.example",
            "HOOK_NETWORKS": ["127.0.0.0/8"],
        }
        with processes.site(request.param, tmp_path / "site", url, settings=settings) as site:
            yield Place(site, receiver, mailbox)


def test_a_scheduled_run_starts_and_its_end_is_told_and_audited(place: Place) -> None:
    with ann_of(place.site) as ann:
        secret = subscribe(place, ann)
        schedule = add_schedule(ann)
        test_id = eventually(
            lambda: f"the schedule started a run\n{place.site.logs()[-3000:]}",
            lambda: ann.get(f"/v1/schedules/{schedule}")["last_test_id"],
            DUE_SECONDS,
        )
        run = ann.get(f"/v1/runs/{test_id}")
        assert (run["state"], run["label"]) == ("queued", "nightly")
        ann.post(f"/v1/runs/{test_id}/cancel")
    (asked,) = eventually("the webhook was called", lambda: list(place.receiver.asked))
    told = json.loads(asked.body)
    assert (told["type"], told["data"]["run"]["test_id"]) == ("run.ended", test_id)
    assert signature_by_openssl(secret, asked) in headers(asked)["webhook-signature"].split()
    (mail,) = eventually("the e-mail came", lambda: place.mailbox.messages)
    assert mail["To"] == "ann@example.org" and mail["Subject"] == f"RefStack: run {test_id} (nightly): cancelled"
    assert f"/runs/{test_id}" in mail.get_content()
    assert_audited(place.site, test_id)


def ann_of(site: processes.Site) -> Api:
    vendor = site.queue("vendor", "create", "Acme", "-f", "json").json()["id"]
    words = ("user", "create", "ann", "--email", "ann@example.org", "--vendor", str(vendor))
    assert site.queue(*words).status == 0
    token = site.queue("token", "create", "ann's", "--user", "ann", "-f", "json").json()["token"]
    return Api(Access(site.url, token))


def subscribe(place: Place, ann: Api) -> str:
    """Ask for a webhook and an e-mail; return the webhook's secret."""
    kinds = ["run.ended"]
    hook = {"channel": "webhook", "target": f"{place.receiver.url}/hook", "kinds": kinds}
    ann.post("/v1/notifications", {"channel": "mail", "target": "ann@example.org", "kinds": kinds})
    return str(ann.post("/v1/notifications", hook)["secret"])


def add_schedule(ann: Api) -> int:
    """Add a schedule for the next minute of a cloud that keeps its password; return its id."""
    cloud = {"label": "Acme", "endpoint_v3": "https://cloud.example/v3", "test_user": "interop"}
    cloud_id = ann.post("/v1/clouds", {**cloud, "conf_json": {"identity": {"password": "pw-1"}}})["id"]
    soon = datetime.now(timezone.utc) + timedelta(seconds=60)
    if soon.second > 60 - SECONDS_AHEAD:
        time.sleep(SECONDS_AHEAD)
        soon += timedelta(seconds=SECONDS_AHEAD)
    body = {"cloud_id": cloud_id, "time": soon.strftime("%H:%M"), "label": "nightly"}
    return int(ann.post("/v1/schedules", {**body, "run": {"tempest_version": "47.0.0"}})["id"])


def headers(asked: Asked) -> dict[str, str]:
    return {name.lower(): value for name, value in asked.headers.items()}


def signature_by_openssl(secret: str, asked: Asked) -> str:
    """Return the signature that a message should have, as standardwebhooks.com describes it."""
    given = headers(asked)
    key = base64.b64decode(secret.removeprefix("whsec_")).hex()
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode() + asked.body
    words = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key}", "-binary"]
    made = subprocess.run(words, input=signed, capture_output=True, check=True).stdout
    assert abs(int(given["webhook-timestamp"]) - time.time()) < 120
    return f"v1,{base64.b64encode(made).decode()}"


def assert_audited(site: processes.Site, test_id: int) -> None:
    """Check that the audit log tells who did what, when and from where, and that nothing takes it back."""
    entries: list[dict[str, Any]] = site.api.get("/v1/audit")["entries"]
    by_ann = [one for one in entries if "ann" in one["actor"]]
    done = [one["action"] for one in reversed(by_ann)]
    assert done == ["add notification", "add notification", "add cloud", "add schedule", "cancel run"]
    assert by_ann[0]["target"].startswith(f"/v1/runs/{test_id}") and by_ann[0]["address"] == "127.0.0.1"
    assert "pw-1" not in json.dumps(entries)
    exported = site.queue("audit", "list", "-f", "csv")
    assert exported.status == 0 and exported.out.count("cancel run") == 1
