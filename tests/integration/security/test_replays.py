"""Sealed jobs that an attacker kept, put into the queue again: real server, queue and worker (two slots)."""

from __future__ import annotations

import gear
import pytest

from tests.integration.queue.test_dispatch import CONF, FUNCTION, VERSION, gearman_worker, grab
from tests.support import processes
from tests.support.processes import eventually


@pytest.fixture
def site(tmp_path, locks):
    with processes.site("embedded", tmp_path / "site", "", locks=[locks]) as made:
        yield made


def put_back(site, *jobs):
    """Put jobs into the queue as anybody may who reaches it: unique → sealed payload."""
    client = gear.Client("stranger")
    client.addServer("127.0.0.1", site.queue_port)
    client.waitForServer(20)
    try:
        for number, envelope in enumerate(jobs):
            job = gear.Job(FUNCTION.encode(), envelope, unique=f"stranger:{number}".encode())
            client.submitJob(job, background=True)
    finally:
        client.shutdown()


def carried_out(site, test_id, jobs):
    """Let a worker take all of them; return the run's messages when it had."""
    program = site.start_worker("node-1", node={"slots": 2})
    site.wait_for(test_id, "failed", patience=120)
    done = lambda: program.text().count("not claimed") + program.text().count("claimed; Tempest")  # noqa: E731
    eventually(lambda: f"{jobs} jobs were looked at\n{program.text()[-3000:]}", lambda: done() >= jobs)
    return site.said(test_id), program.text()


def test_one_job_twice_at_the_same_time_is_one_claim(site):
    test_id = site.create(CONF, **VERSION)
    with gearman_worker(site) as stranger:
        kept = grab(stranger).arguments
    put_back(site, kept, kept)
    said, log = carried_out(site, test_id, 2)
    # a slow machine may have made attempt 2 meanwhile; that is a job of its own, and the old ones belong to no attempt
    attempt = site.show(test_id)["attempt"]
    assert said.count(f"claimed: attempt {attempt} by node-1") == 1 and said.count("claimed: ") == 1, said
    assert log.count("claimed; Tempest") == 1, log


def test_an_attempt_that_another_followed_is_not_taken(site):
    test_id = site.create(CONF, **VERSION)
    with gearman_worker(site) as stranger:
        job = grab(stranger)
        kept = job.arguments
        # thrown away: the monitor notices, and the next attempt is in the queue
        job.sendWorkComplete()
    eventually("attempt 2", lambda: site.show(test_id)["attempt"] == 2)
    put_back(site, kept)
    said, log = carried_out(site, test_id, 2)
    assert "claimed: attempt 2 by node-1" in said and "attempt 1 by" not in said, said
    assert log.count("claimed; Tempest") == 1 and "superseded" in log, log
