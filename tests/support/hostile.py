"""One vendor's token doing the worst it can, while nodes send heartbeats and another vendor works.

Used short by ``tests/integration/server/test_hostile_token.py`` and long by ``tests/bench/run hostile``.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.dripping import dripping
from tests.support.hostile_attacks import ANSWER_SECONDS, Attack, attacks
from tests.support.ledgers import CONF, Event, Job, make_settings, stream, submit
from tests.support.processes import free_port


@dataclass
class Measured:
    """What the others felt."""

    heartbeats: list[float] = field(default_factory=list)
    """Seconds of each."""
    calls: list[float] = field(default_factory=list)
    """Of the other vendor."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Answers to nodes and to the other vendor that were not good."""
    attacks: Counter[str] = field(default_factory=Counter)
    """Name of an attack and the status that it got."""
    peaks: tuple[int, ...] = ()
    """Largest resident size of each of the server's processes, in KiB."""


@dataclass
class Site:
    """A server in a process of its own, with what the three parties have."""

    ledger: Ledger
    port: int
    process: subprocess.Popen[bytes]
    attacker: str
    other: str
    jobs: list[Job]
    drip: str
    result: int
    """A large result of the attacker's."""

    def request(self, method: str, path: str, token: str, body: bytes = b"") -> tuple[int, float]:
        """Return the status of an answer and the seconds that it took."""
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, time.perf_counter() - began
        finally:
            connection.close()

    def read(self, path: str, token: str) -> Any:
        """Return the JSON at a path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def peaks(self) -> tuple[int, ...]:
        """Return the largest resident sizes that the processes that serve had so far, in KiB."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return tuple(_peak(one) for one in children or [str(pid)])


@contextmanager
def site(folder: Path, nodes: int, url: str = "", processes: int = 1) -> Iterator[Site]:
    """Serve a ledger with ``nodes`` held runs, two vendors and a large result.

    :param url: of the database; empty: SQLite.
    :param processes: of the API.
    """
    settings = make_settings(folder, **({"DATABASE_URL": url} if url else {}))
    ledger = Ledger(settings)
    ledger.upgrade()
    with ExitStack() as ends:
        ends.callback(ledger.close)
        port = free_port()
        drip = ends.enter_context(dripping(pause=0.5)) + "/v3"
        attacker, other = (_vendor(ledger, name) for name in ("attacker", "other"))
        jobs = [_held(ledger, number) for number in range(nodes)]
        result = _large_result(ledger, folder, _user_of(ledger, attacker))
        process = ends.enter_context(_process(folder, port, settings.database.url, processes))
        found = Site(ledger, port, process, attacker, other, jobs, drip, result)
        _wait(found)
        yield found


def measure(site: Site, seconds: float, connections: int, beat: float = 2.0) -> Measured:
    """Attack for some time and return what the others felt."""
    found, stop = Measured(), threading.Event()
    cloud = site.ledger.clouds.add(
        NewCloud("drip", site.drip, user_id=_user_of(site.ledger, site.attacker), test_user="x")
    ).cloud.id
    acts = attacks(site, cloud)
    threads = [_thread(_attack, site, acts[number % len(acts)], found, stop) for number in range(connections)]
    threads += [_thread(_node, site, job, found, stop, beat) for job in site.jobs]
    threads.append(_thread(_vendor_works, site, found, stop))
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(ANSWER_SECONDS + 10)
    found.peaks = site.peaks()
    return found


def _attack(site: Site, attack: Attack, found: Measured, stop: threading.Event) -> None:
    name, act = attack
    while not stop.is_set():
        try:
            status = act(stop)
        except (OSError, http.client.HTTPException) as error:
            found.attacks[f"{name}: {type(error).__name__}"] += 1
            continue
        found.attacks[f"{name}: {status}"] += 1
        if status == 429:
            # as fast as a client goes that does not want to overload its own machine
            stop.wait(0.02)


def _node(site: Site, job: Job, found: Measured, stop: threading.Event, beat: float) -> None:
    key = job.submission.key
    path = f"/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/heartbeat"
    body = json.dumps({"claim": job.claim_id, "worker": "node", "progress": {"total": 9, "done": 3}}).encode()
    while not stop.is_set():
        _felt(site, ("POST", path, job.token, body), found.heartbeats, found)
        stop.wait(beat)


def _vendor_works(site: Site, found: Measured, stop: threading.Event) -> None:
    while not stop.is_set():
        for path in ("/v1/me", "/v1/runs", "/v1/clouds", "/v1/guidelines"):
            _felt(site, ("GET", path, site.other, b""), found.calls, found)
        stop.wait(0.2)


def _felt(site: Site, request: tuple[str, str, str, bytes], times: list[float], found: Measured) -> None:
    try:
        status, seconds = site.request(*request)
    except (OSError, http.client.HTTPException) as error:
        found.wrong[f"{request[1].rpartition('/')[2]}: {type(error).__name__}"] += 1
        return
    times.append(seconds)
    if status != 200:
        found.wrong[f"{request[1].rpartition('/')[2]}: {status}"] += 1


def _thread(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    return threading.Thread(target=target, args=arguments, daemon=True)


def _vendor(ledger: Ledger, name: str) -> str:
    user = ledger.accounts.add_user(name, f"{name}@x", ledger.accounts.add_vendor(name).id)
    return str(ledger.tokens.add(name, ["vendor"], user.id)[1])


def _user_of(ledger: Ledger, token: str) -> int:
    found = ledger.tokens.find(token)
    assert found is not None and found.user_id is not None
    return found.user_id


def _held(ledger: Ledger, number: int) -> Job:
    run = ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), CONF, label=f"held {number}"))
    job = submit(ledger, run.test_id)
    ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
    ledger.attempts.report(job.proof, Report(RunState.RUNNING, "runs"))
    return job


def _large_result(ledger: Ledger, folder: Path, owner: int) -> int:
    run = ledger.runs.add(NewRun(RunSpec(tempest_version="47.0.0"), label="large", owner_id=owner))
    job = submit(ledger, run.test_id)
    ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
    file = folder / "large.subunit"
    file.write_bytes(stream([Event(f"a.B.test_{number}") for number in range(300)], padding=40_000))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    return run.test_id


@contextmanager
def _process(folder: Path, port: int, url: str, processes: int) -> Iterator[subprocess.Popen[bytes]]:
    config = folder / "refstack.cfg"
    config.write_text(
        f"DATABASE_URL = {url!r}\nDATA_FOLDER = {str(folder / 'data')!r}\nKEY_FOLDER = {str(folder / 'keys')!r}\n"
        f"APP_ADDRESS = 'http://127.0.0.1:{port}'\nCLOUD_NETWORKS = ['127.0.0.0/8']\n"
    )
    command = [sys.executable, "-m", "refstack_worker.cli.queue.main", "api", "--listen", f"127.0.0.1:{port}"]
    command += ["--processes", str(processes)] if processes > 1 else []
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, "REFSTACK_CFG": str(config)}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _peak(pid: str) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])


def _wait(site: Site) -> None:
    """Wait until the server answers; its process ending is an error at once."""
    while site.process.poll() is None:
        try:
            if site.request("GET", "/health", "")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server ended")
