"""Claimed runs and their heartbeats, sent by processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Job, submit

PROGRESS = {"total": 100, "done": 7, "passed": 7, "failed": 0, "skipped": 0, "seconds_left": 9.0, "test": "t"}


def held(ledger: Ledger) -> Job:
    job = submit(ledger, ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), label="bench")).test_id)
    ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
    return job


def heartbeat(job: Job) -> dict[str, Any]:
    """Return the request."""
    key = job.submission.key
    body = {"claim": job.claim_id, "worker": "node", "state": "running", "progress": PROGRESS}
    path = f"/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/heartbeat"
    return {"path": path, "token": job.token, "body": body}


def p99(told: dict[str, Any]) -> float:
    """Return the milliseconds within which 99 of 100 answers came."""
    return 1000 * float(sorted(told["times"])[int(len(told["times"]) * 0.99)])


def load(port: int, requests: list[dict[str, Any]], seconds: float, pause: float = 0.0) -> dict[str, Any]:
    """Let two processes of eight threads ask; one that only warms up goes first."""
    words = [sys.executable, str(Path(__file__).with_name("_load.py")), str(port)]
    subprocess.run([*words, "1", "4", "0"], input=json.dumps(requests), text=True, capture_output=True, check=True)
    parts = [requests[0::2] or requests, requests[1::2] or requests]
    began = [
        subprocess.Popen(
            [*words, str(seconds), "8", str(pause)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in parts
    ]
    threads: list[threading.Thread] = []
    told: list[dict[str, Any]] = []
    for process, part in zip(began, parts):

        def ask(process: Any = process, part: Any = part) -> None:
            told.append(json.loads(process.communicate(json.dumps(part))[0]))

        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return {
        "done": sum(one["done"] for one in told),
        "wrong": sum(one["wrong"] for one in told),
        "seconds": max(one["seconds"] for one in told),
        "times": [moment for one in told for moment in one["times"]],
    }
