"""A worker without a run: takes jobs with the worker's own parts, claims each, and says at once that it is over.

``python _claimer.py WORKER.TOML FUNCTION``; a line on stdout for each run. With ``--bare HOST:PORT FUNCTION`` it is the
peer: a gear worker that takes jobs and completes them.
"""

from __future__ import annotations

import secrets
import sys
import threading
from pathlib import Path
from typing import Any

from refstack_worker import gearman
from refstack_worker.config import worker as config
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import Opener
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefstackError
from refstack_worker.worker.queue.gearman_worker import SlotQueue
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt


def main() -> None:
    if sys.argv[1] == "--bare":
        bare(gearman.Address.parse(sys.argv[2]), sys.argv[3])
    else:
        claim(config.load(Path(sys.argv[1])), sys.argv[2])


def bare(address: gearman.Address, function: str) -> None:
    worker = gearman.Worker("bare")
    gearman.add_servers(worker, [address])
    worker.waitForServer()
    worker.registerFunction(function)
    say("ready")
    while True:
        worker.getJob().sendWorkComplete()
        say("done")


def claim(settings: config.WorkerSettings, function: str) -> None:
    opener = Opener(
        keys.load_seal_private(settings.keys.fleet_private), keys.load_sign_public(settings.keys.server_public)
    )
    queue = SlotQueue("claimer", [function], lambda: True)
    queue.connect(settings.gearman.addresses)
    queue.waitForServer()
    say("ready")
    while True:
        job = queue.next_job()
        carry_out(settings, opener, job)
        queue.done(job)
        say("done")


def carry_out(settings: config.WorkerSettings, opener: Opener, job: Any) -> None:
    envelope = bytes(job.arguments)
    claimed = ClaimedAttempt(opener.open(envelope), envelope, secrets.token_hex(16), settings.node.name, "47.0.0")
    reporter = AttemptApi(claimed, settings.server)
    try:
        reporter.claim(threading.Event())
        reporter.report(Report(RunState.FAILED, "nothing to do", "bad-input"), 0.0)
    except RefstackError as error:
        print(error, file=sys.stderr)
    finally:
        reporter.close()


def say(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    main()
