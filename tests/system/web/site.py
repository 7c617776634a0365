"""A server to look at with a browser: real ledger, real HTTP, and runs brought through their states as by a worker."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import update

from refstack_worker.contract.console import Batch, RequestLine, TestLine
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.contract.testcases import Testcases
from refstack_worker.gearman import Address
from refstack_worker.server.app import create_app
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.notifications import EventKind, MessageChannel, NewSubscription, Sent
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.domain.schedules import NewSchedule, Times
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.serving.http_server import http_server
from tests.support.ledgers import Event, Job, claimed, make_settings, stream, submit

PROGRAM = "Example Powered Storage"


@dataclass(frozen=True)
class Site:
    """A running server and the users who can enter it."""

    ledger: Ledger
    url: str
    folder: Path
    tokens: dict[str, str]
    users: dict[str, int]


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


CAPABILITIES = {
    "objectstore-container-create": ("Create a container", 6),
    "objectstore-object-get": ("Read an object", 9),
    "objectstore-temp-url-get": ("Read by a temporary address", 4),
    "identity-tokens-create": ("Get a token", 5),
}


def names() -> list[tuple[str, str, str]]:
    """Capability, test name and id of each test of :func:`guideline`."""
    found = []
    for capability, (_about, count) in CAPABILITIES.items():
        words = capability.split("-")
        area = "identity" if words[0] == "identity" else "object_storage"
        found += [
            (
                capability,
                f"tempest.api.{area}.test_{words[1]}.{words[1].title()}Test.test_{'_'.join(words[1:])}_{number}",
                uuid(len(found) + number),
            )
            for number in range(count)
        ]
    return found


def guideline(name: str = "2026.06") -> str:
    """Return a guideline of schema 2.0, made for the tests."""
    tests: dict[str, dict[str, Any]] = {capability: {} for capability in CAPABILITIES}
    for capability, test, known in names():
        tests[capability][test] = {"idempotent_id": f"id-{known}"}
    return json.dumps(
        {
            "metadata": {"id": name, "schema": "2.0"},
            "platforms": {
                PROGRAM: {"description": "Object storage and identity.", "components": [{"name": "storage"}]}
            },
            "components": {"storage": {"capabilities": {"required": list(CAPABILITIES), "advisory": []}}},
            "capabilities": {
                one: {"description": about, "tests": tests[one]} for one, (about, _count) in CAPABILITIES.items()
            },
        }
    )


def events(failing: Sequence[str] = ()) -> list[Event]:
    """Return a result: every test of the guideline, those of the named capabilities failed."""
    trace = (
        'Traceback (most recent call last):\n  File "tempest/api/object_storage/test_temp.py", line 91, in test\n'
        "    resp, body = self.object_client.get(url)\ntempest.lib.exceptions.Unauthorized: Unauthorized\nDetails: 401"
    )
    found = [
        Event(
            f"{name}[id-{known}]",
            "fail" if capability in failing else "success",
            trace if capability in failing else "",
            0.6,
        )
        for capability, name, known in names()
    ]
    skipped = Event(
        "tempest.api.object_storage.test_container_sync.SyncTest.test_sync", "skip", "no realm is configured", 0
    )
    return [*found, skipped]


def run_of(site: Site, who: str, cloud_id: int, label: str) -> NewRun:
    spec = RunSpec(
        tempest_version="47.0.0", testcases=Testcases(names=tuple(f"id-{known}" for _c, _n, known in names()))
    )
    return NewRun(spec, label=label, cloud_id=cloud_id, owner_id=site.users[who], created_by=who)


def finish(site: Site, job: Job, failing: Sequence[str] = (), seconds: float = 1.0) -> None:
    file = site.folder / f"result-{job.submission.key}.subunit".replace(":", "-")
    made = [replace(event, seconds=event.seconds * seconds) for event in events(failing)]
    file.write_bytes(stream(made))
    log = file.with_suffix(".log.gz")
    log.write_bytes(gzip.compress(tempest_log(made).encode()))
    acceptance.accept(site.ledger, job.proof, Upload.of(file, {"cpid": "c0ffee"}, log))


def tempest_log(made: Sequence[Event]) -> str:
    """Return what Tempest logs of these tests: two requests of each, and where it failed."""
    lines = ["2026-11-26 08:00:00.000 1 INFO tempest [-] Using tempest config file tempest.conf"]
    for number, event in enumerate(made):
        path, _, method = event.test_id.partition("[")[0].rpartition(".")
        key, moment = f"{path.rpartition('.')[2]}:{method}", f"2026-11-26 08:{number // 60:02}:{number % 60:02}"
        what = f"{moment}.100 1 INFO tempest.lib.common.rest_client [req-{number} - -] Request ({key}):"
        status = 401 if event.status == "fail" else 200
        lines += [
            f"{what} 200 GET https://cloud.example/v1/info 0.011s",
            f"{what} {status} GET https://cloud.example/v1/x",
        ]
        if event.status == "fail":
            lines.append(f"{moment}.200 1 ERROR tempest {event.text.splitlines()[-1]}")
    return "\n".join(lines) + "\n"


def begin(site: Site, new: NewRun, worker: str = "node-a") -> Job:
    """Take a run as a worker does."""
    job = submit(site.ledger, site.ledger.runs.add(new).test_id)
    site.ledger.attempts.claim(job.proof, Claim(job.claim_id, worker, "47.0.0"))
    site.ledger.attempts.report(job.proof, Report(RunState.BUILDING, "Tempest 47.0.0 on Python 3.11"))
    site.ledger.attempts.report(job.proof, Report(RunState.RUNNING, "24 tests"))
    return job


def beat(site: Site, job: Job, done: int, failed: int = 0) -> Any:
    test = names()[min(done, len(names()) - 1)][1]
    progress = Progress(
        total=24, done=done, passed=done - failed, failed=failed, skipped=0, seconds_left=12.0, test=test
    )
    return site.ledger.attempts.heartbeat(job.proof, job.claim_id, progress)


@contextmanager
def serving(
    folder: Path, prepare: Callable[[Any], object] | None = None, port: int = 0, **settings: Any
) -> Iterator[Site]:
    """Serve an empty ledger with two vendors, ann of Acme and bob of Bravo, and an operator.

    :param prepare: is given the Flask application before it serves.
    :param port: 0: a free one.
    """
    made = make_settings(folder, CLOUD_NETWORKS="127.0.0.0/8", **settings)
    ledger = Ledger(made)
    ledger.upgrade()
    tokens, users = {}, {}
    for name, vendor in (("ann", "Acme Cloud"), ("bob", "Bravo Hosting")):
        user = ledger.accounts.add_user(name, f"{name}@example.org", ledger.accounts.add_vendor(vendor).id)
        users[name] = user.id
        tokens[name] = ledger.tokens.add(f"{name} of {vendor}", ["vendor"], user.id)[1]
    tokens["operator"] = ledger.tokens.add("operator", ["operator"])[1]
    app = create_app(ledger)
    if prepare is not None:
        prepare(app)
    server = http_server(app, Address("127.0.0.1", port), made)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Site(ledger, f"http://127.0.0.1:{server.effective_port}", folder, tokens, users)
    finally:
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        server.close()
        ledger.close()


def furnish(site: Site) -> dict[str, int]:
    """Fill a site with what a vendor has after some weeks; return the ids of what is worth looking at."""
    ledger = site.ledger
    stored = ledger.guidelines.add(guideline(), StoredGuideline(0, "", "", added_by="operator"))
    cloud = ledger.clouds.add(
        NewCloud("Acme Public, Frankfurt", "https://identity.fra.acme.example/v3", "fra-1", "2025.1", "interop",
                 "interop-2", "interop-admin", user_id=site.users["ann"], conf_json={"identity": {"password": "pw-1"}})
    ).cloud  # fmt: skip
    temp, both = ["objectstore-temp-url-get"], ["objectstore-temp-url-get", "objectstore-object-get"]
    shapes = ((both, 1.6), (temp, 1.5), ([], 1.2), (temp, 1.4), ([], 1.1), ([], 1.25), ([], 0.9), (temp, 1.0))
    last = 0
    for number, (failing, pace) in enumerate(shapes):
        job = begin(site, run_of(site, "ann", cloud.id, f"Certification, try {number + 1}"))
        last = job.submission.key.test_id
        ledger.guidelines.choose(last, Choice(stored.id, PROGRAM))
        finish(site, job, failing, pace)
        _age(site, last, 3600.0 * 20 * (len(shapes) - number), 18.0 * pace)
    running = begin(site, run_of(site, "ann", cloud.id, "Nightly"))
    beat(site, running, 9, 1)
    _talk(site, running)
    waiting = ledger.runs.add(run_of(site, "ann", cloud.id, "After the upgrade")).test_id
    now = time.time()
    for name, busy, state in (("node-a.fra", 1, "ready"), ("node-b.fra", 2, "ready"), ("node-c.ams", 0, "draining")):
        ledger.nodes.record(Node(name, ("47.0.0", "46.3.0", "43.0.0"), 2, busy, ("eu",), state, "0.1.0", now, now))
    _add_news(site, cloud.id)
    return {"cloud": cloud.id, "judged": last, "running": running.submission.key.test_id, "waiting": waiting}


def _age(site: Site, test_id: int, ago: float, lasted: float) -> None:
    """Let a run have ended a while ago, and have taken as long as one does. Both in seconds."""
    ended = time.time() - ago
    moments = {"created_at": ended - lasted - 4, "started_at": ended - lasted, "ended_at": ended}
    with site.ledger.database.writing() as connection:
        connection.execute(update(queue_tables.run).where(queue_tables.run.c.test_id == test_id).values(moments))


def heard(site: Site, test_id: int) -> None:
    """Let the node of a run have sent a heartbeat just now."""
    attempt = queue_tables.attempt
    with site.ledger.database.writing() as connection:
        connection.execute(update(attempt).where(attempt.c.test_id == test_id).values(heartbeat_at=time.time()))


def _talk(site: Site, job: Job) -> None:
    """Send what the console of a running run shows."""
    now, lines = time.time(), []
    for number, (_capability, name, _known) in enumerate(names()[6:10]):
        short, at = ":".join(name.rsplit(".", 2)[1:]), now - 8 + 2 * number
        status = 404 if number == 1 else 200
        lines += [
            TestLine(at, name, "started"),
            RequestLine(at + 0.2, "PUT", "/v1/AUTH_c0ffee/container-7", 201, 41, "object-store", f"tx{number}a", short),
            RequestLine(at + 0.6, "GET", "/v1/AUTH_c0ffee/container-7/object", status, 12, "object-store", "", short),
            TestLine(at + 0.8, name, "failed" if number == 1 else "passed", 0.8),
        ]
    site.ledger.console.add(job.proof, job.claim_id, Batch(0, tuple(lines)))


def _add_news(site: Site, cloud_id: int) -> None:
    """A schedule, and a notification whose first message was accepted and whose second was not."""
    ledger, ann = site.ledger, site.users["ann"]
    body = {"guideline": {"id": 1, "program": PROGRAM}}
    ledger.schedules.add(NewSchedule(cloud_id, body, Times.of("02:30", ("mon", "thu")), ann, "nightly", "ann"))
    kinds = (EventKind.RUN_NOT_PASSED, EventKind.RUN_WAITING)
    hook = NewSubscription(
        MessageChannel.WEBHOOK, "https://chat.acme.example/hooks/1", kinds, owner_id=ann, label="Chat"
    )
    number = ledger.subscriptions.add(hook, (ann,)).id
    for sent in (Sent(True, 200), Sent(False, 500, "the receiver answered 500")):
        ledger.deliveries.note(ledger.deliveries.add_test(number, {"type": "test"}), sent)


__all__ = ["Site", "beat", "begin", "claimed", "finish", "furnish", "guideline", "heard", "run_of", "serving"]
