"""The lines of ``docs/api.md`` and ``docs/users.md``, run as they stand there, from another network namespace.

The ledger is in PostgreSQL. What a worker would do is done to the ledger, as by the calls of a worker.
"""

from __future__ import annotations

import io
import json
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from subunit import ByteStreamToStreamResult
from testtools import StreamSummary

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.nodes import Node
from tests.support.ledgers import Job, submit
from tests.support.network_namespaces import Elsewhere, elsewhere
from tests.system.web.site import PROGRAM, Site, beat, finish, guideline, serving

DOCS = Path(__file__).resolve().parents[3] / "docs"
FAILING = ("objectstore-temp-url-get",)


@pytest.fixture
def site(tmp_path: Path, postgresql_url: str) -> Iterator[Site]:
    with serving(tmp_path, DATABASE_URL=postgresql_url) as made:
        yield made


@pytest.fixture
def away(site: Site, tmp_path: Path) -> Iterator[Elsewhere]:
    with elsewhere(tmp_path, urlsplit(site.url).port or 0) as made:
        token = made.home / ".refstack-token"
        token.touch(mode=0o600)
        token.write_text(site.tokens["ann"] + "\n")
        text = guideline("2020.06").replace(PROGRAM, "OpenStack Powered Storage")
        (made.home / "2020.06.json").write_text(text)
        yield made


def lines_of(page: str, heading: str) -> list[str]:
    """Return the commands under a heading of a page: indented, and as long as they stand there."""
    section = (DOCS / page).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    block = "".join(line[4:] for line in re.findall(r"^    .*\n", section, re.MULTILINE))
    found = re.split(r"\n(?![ \\])", block.strip())
    return [line for line in found if not line.startswith("#")]


def test_the_namespace_is_another_machine(site: Site, away: Elsewhere) -> None:
    assert away.run(f"curl {site.url}/health").returncode == 7
    assert away.run("curl https://refstack.example/health").returncode == 0
    # without the authority that signed it the certificate is not believed
    assert away.run("curl https://refstack.example/health", {"CURL_CA_BUNDLE": "/dev/null"}).returncode in (60, 77)


def test_the_calls_of_the_api_page(site: Site, away: Elsewhere) -> None:
    lines = lines_of("api.md", "With curl")
    settings = [line for line in lines if re.match(r"\w+=", line)]
    calls = [line for line in lines if line not in settings]
    assert len(settings) == 3 and len(calls) == 15
    answers = []
    with working(site) as go:
        for line in calls:
            answers.append((line, away.run("\n".join([*settings, line]))))
            if line.endswith("/place"):
                # only what still waits has a place
                go.set()
    for line, done in answers:
        assert done.returncode == 0 and re.fullmatch(r"20[0-9]", done.stderr), (line, done.stderr, done.stdout)
    told = {line.rpartition("$url")[2].split()[0].strip('"'): done.stdout for line, done in answers}

    assert json.loads(told["/v1/me"])["user"]["name"] == "ann"
    events = told["/v1/runs/1/events"]
    assert '"running"' in events and '"finished"' in events and "event: end" in events
    failed = json.loads(told["/v1/runs/1/results?status=failed"])["tests"]
    verdict = json.loads(told["/v1/runs/1/verdict"])
    assert len(failed) == 4 and verdict["passed"] is False
    junit = ET.parse(away.home / "result.xml").getroot()
    assert len(junit.findall(".//failure")) == 4
    assert how_many(away.home / "result.subunit") == 25
    assert len(json.loads(told["/v1/runs/1/rerun"])["testcases"]["names"]) == 4
    assert site.ledger.runs.get(2).state is RunState.CANCELLED
    with pytest.raises(NotFoundError):
        site.ledger.runs.get(1)


def test_the_commands_of_the_users_page(site: Site, away: Elsewhere) -> None:
    export, *commands = lines_of("users.md", "With the command line")
    assert export.startswith("export ") and len(commands) == 12
    now = site.ledger.clock()
    site.ledger.nodes.record(Node("node-a", ("47.0.0",), 1, 0, (), "ready", "", now, now))
    operators = away.home / "operator"
    operators.write_text(site.tokens["operator"])
    with working(site) as go:
        go.set()
        for line in commands:
            who = f"REFSTACK_TOKEN_FILE={operators}\n" if "# operators" in line else ""
            done = away.run(f"{export}\n{who}{line}", {"REFSTACK_CLOUD_PASSWORD": "pw-of-the-cloud"})
            # tests failed, and watch and verdict say so
            wanted = 1 if re.search("run (watch|verdict)", line) else 0
            assert done.returncode == wanted, (line, done.stderr, done.stdout)
    assert len(ET.parse(away.home / "result.xml").getroot().findall(".//failure")) == 4
    assert site.ledger.clouds.saved_conf(1) == {"identity": {"password": "pw-of-the-cloud"}}

    listed = json.loads(away.run(f"{export}\nrefstack-queue run list -f json").stdout)
    assert [(one["Id"], one["State"]) for one in listed] == [(2, "queued"), (1, "finished")]
    shown = json.loads(away.run(f"{export}\nrefstack-queue run show 1 -f json").stdout)
    assert shown["counts"] == {"passed": 20, "failed": 4, "skipped": 1}
    assert away.run(f"{export}\nrefstack-queue run cancel 2 --wait").returncode == 0
    assert away.run(f"{export}\nrefstack-queue run watch 2").returncode == 9
    assert away.run(f"{export}\nrefstack-queue run report 1 --subunit out.subunit").returncode == 0
    assert how_many(away.home / "out.subunit") == 25


def test_who_has_no_good_token_gets_nothing(away: Elsewhere) -> None:
    (away.home / ".refstack-token").write_text("rsq_not-a-token")
    settings = "\n".join(lines_of("api.md", "With curl")[:3])
    done = away.run(f'{settings}\ncurl -H "$token" $url/v1/me')
    assert done.returncode == 22 and done.stderr.endswith("401") and json.loads(done.stdout)["reason"] == "wrong-token"


@contextmanager
def working(site: Site) -> Iterator[threading.Event]:
    """Take the first run that comes once the event is set, as a worker does, and finish it with four tests failed."""
    stop, go = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            if go.is_set() and site.ledger.queue.count_states().get("queued"):
                break
        else:
            return
        job = take(site, 1)
        beat(site, job, 9, 1)
        # a user who watches shall see it run
        stop.wait(4)
        finish(site, job, FAILING)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield go
    finally:
        stop.set()
        thread.join(30)


def take(site: Site, test_id: int) -> Job:
    job = submit(site.ledger, test_id)
    assert site.ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-a", "47.0.0")).granted
    site.ledger.attempts.report(job.proof, Report(RunState.BUILDING, "Tempest 47.0.0 on Python 3.11"))
    site.ledger.attempts.report(job.proof, Report(RunState.RUNNING, "25 tests"))
    return job


def how_many(file: Path) -> int:
    summary = StreamSummary()
    summary.startTestRun()
    ByteStreamToStreamResult(io.BytesIO(file.read_bytes())).run(summary)
    summary.stopTestRun()
    return int(summary.testsRun)
