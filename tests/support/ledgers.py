"""What tests of the ledger and the API share: a clock, settings with real keys, and a run brought to a state."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from subunit import StreamResultToBytes

from refstack_worker.config.server import ServerSettings, from_mapping
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import keys
from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.payload import Payload, now
from refstack_worker.contract.progress import Progress
from refstack_worker.errors import RefusedError
from refstack_worker.server.domain.attempts import (
    Claim,
    Proof,
    QueuedJob,
    Submission,
)
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.ledger.ledger import Ledger

PASSWORD = "pass-of-the-cloud-7391"
CONF = {"identity": {"uri_v3": "https://cloud.example/v3", "password": PASSWORD, "admin_password": "admin-8264-pass"}}


class Clock:
    """A clock that only moves when a test moves it."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time

    def forward(self, seconds: float) -> float:
        self.time += seconds
        return self.time


def make_settings(folder: Path, **given: Any) -> ServerSettings:
    """Settings on a SQLite file, with keys of their own."""
    key_folder = folder / "keys"
    if not key_folder.exists():
        keys.generate_pair("sign", key_folder / "sign.key", key_folder / "sign.pub")
        keys.generate_pair("seal", key_folder / "fleet.key", key_folder / "fleet.pub")
        keys.generate_pair("seal", key_folder / "store.key", key_folder / "store.pub")
    values = {
        "DATABASE_URL": f"sqlite:///{folder}/ledger.sqlite",
        "DATA_FOLDER": str(folder / "data"),
        "KEY_FOLDER": str(key_folder),
        "APP_ADDRESS": "http://127.0.0.1:8000",
    }
    return from_mapping({**values, **given})


def new_run(**given: Any) -> NewRun:
    return NewRun(**{"spec": RunSpec(tempest_version="47.0.0"), "conf_json": CONF, **given})


@dataclass(frozen=True)
class Job:
    """An attempt as the queue has it."""

    submission: Submission
    envelope: bytes
    claim_id: str = "claim-of-node-1"

    @property
    def proof(self) -> Proof:
        """What the holder of the claim shows."""
        return Proof(
            self.submission.key.test_id, self.submission.secret, self.submission.key.attempt, proofs.mark(self.claim_id)
        )

    @property
    def token(self) -> str:
        """The same as a bearer token."""
        return proofs.join(self.submission.secret, self.claim_id)

    def by(self, claim_id: str) -> Job:
        """The same attempt, held under another claim."""
        return replace(self, claim_id=claim_id)


def submit(ledger: Ledger, test_id: int) -> Job:
    """Do what the queue client does with a run, but for the queue."""
    (submission,) = ledger.submissions.next(test_id=test_id)
    payload = Payload(
        test_id=submission.key.test_id,
        attempt=submission.key.attempt,
        callback=ledger.settings.web.address,
        conf_json=submission.conf_json,
        secret=submission.secret,
        submitted_at=now(),
        tempest_version=submission.spec.tempest_version,
        timeout=submission.spec.timeout,
    )
    files = ledger.settings.keys
    sealer = sealing.Sealer(keys.load_sign_private(files.sign), keys.load_seal_public(files.fleet))
    envelope = sealer.seal(payload)
    assert ledger.submissions.sealed([(submission, sealing.digest(envelope))]) == {submission.key}
    ledger.submissions.submitted(
        [QueuedJob(submission.key, "gearman:4730", "H:gearman:1", submission.spec.function, 0.0)]
    )
    return Job(submission, envelope)


def queued(ledger: Ledger, **given: Any) -> Job:
    return submit(ledger, ledger.runs.add(new_run(**given)).test_id)


def claimed(ledger: Ledger, worker: str = "node-1", **given: Any) -> Job:
    job = queued(ledger, **given).by(f"claim-of-{worker}")
    assert ledger.attempts.claim(job.proof, Claim(job.claim_id, worker, "47.0.0")).granted
    return job


@dataclass(frozen=True)
class Event:
    """A test for :func:`stream`."""

    test_id: str
    status: str = "success"
    text: str = ""
    seconds: float = 1.0


def stream(events: Sequence[Event], padding: int = 0) -> bytes:
    """A real subunit v2 stream; ``padding`` bytes of log with each test."""
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    moment = datetime(2026, 11, 22, 15, 0, 0, tzinfo=timezone.utc)
    for event in events:
        to.status(test_id=event.test_id, test_status="inprogress", timestamp=moment)
        if padding:
            to.status(
                test_id=event.test_id,
                file_name="pythonlogging:''",
                file_bytes=b"log line of tempest\n" * (padding // 20),
                mime_type="text/plain;charset=utf8",
                timestamp=moment,
            )
        if event.text:
            name = "reason" if event.status == "skip" else "traceback"
            to.status(
                test_id=event.test_id,
                file_name=name,
                file_bytes=event.text.encode(),
                eof=True,
                mime_type="text/x-traceback;charset=utf8;language=python",
                timestamp=moment,
            )
        moment += timedelta(seconds=event.seconds)
        to.status(test_id=event.test_id, test_status=event.status, timestamp=moment)
    return out.getvalue()


CLAIM = "claim-of-node-1"
PASSES = [Event("a.B.test_c[id-00000000-0000-0000-0000-000000000001,smoke]"), Event("a.B.test_d", "skip", "not here")]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value.reason


def texts(ledger: Ledger, test_id: int) -> list[str]:
    return [message.message for message in ledger.runs.messages(test_id)]


def beat(ledger: Ledger, job: Job, claim: str = CLAIM) -> HeartbeatReply:
    return ledger.attempts.heartbeat(job.proof, claim, Progress(total=5, done=2)).reply


def of_others(job: Job) -> list[Proof]:
    """The proof of a worker that took the same job from the queue and did not get the claim."""
    return [job.by("other").proof, replace(job.proof, mark=""), replace(job.proof, mark=job.claim_id)]
