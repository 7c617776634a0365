"""A small but complete run on this node; only the server and the cloud are simulated.

The run goes through the node's gearmand under a function of its own, is sealed, opened and claimed; its environment
comes from the node's store; ``execute_test`` runs in the node's sandbox; Tempest runs its identity discovery tests. The
simulated server and cloud are on loopback (``selftest_server``), with keys of their own: a node cannot forge a run that
another node, or the daemon, would accept.
"""

from __future__ import annotations

import dataclasses
import queue
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gear

from refstack_worker.config.worker import ServerLinkSettings, SpoolSettings, WorkerSettings
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import Opener, Sealer
from refstack_worker.contract.payload import Payload, now
from refstack_worker.contract.testcases import Testcases
from refstack_worker.environments.catalogue import Catalogue
from refstack_worker.errors import QueueError, VersionUnavailableError
from refstack_worker.gearman import Client, add_servers
from refstack_worker.worker.attempt.attempt import AttemptExecution, NodeServices, ReceivedJob
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.attempt.stop_request import StopRequest
from refstack_worker.worker.doctor.selftest_server import TEST_ID, SelfTestServer, serving
from refstack_worker.worker.queue.gearman_worker import Interrupted, SlotQueue
from refstack_worker.worker.sandbox import commands, leftovers, runner
from refstack_worker.worker.spool.spool import Spool

TESTS = "tempest.api.identity.v3.test_api_discovery"
"""Tests of Tempest that need only an identity service."""
QUEUE_SECONDS = 20.0
RUN_SECONDS = 300


@dataclass(frozen=True)
class SelfTestOutcome:
    """What the self-test run did, and how long it took."""

    version: str
    state: str
    """``finished`` if a result with passed tests came back; else how the run ended."""
    message: str
    passed: int
    failed: int
    runner: str
    queue_seconds: float
    """Seconds from submission until gearmand handed the job out."""
    seconds: float
    """Seconds of the run itself."""


def run(settings: WorkerSettings, version: str) -> SelfTestOutcome:
    """Carry out a self-test with this Tempest version.

    :raises VersionUnavailableError: this node cannot build it.
    :raises QueueError: gearmand does not hand out the run.
    """
    catalogue = Catalogue(settings.environments)
    offers = [offer for offer in catalogue.offers() if offer.version == version]
    problem = next((offer.problem for offer in offers if offer.problem), "")
    if not [offer for offer in offers if not offer.problem]:
        raise VersionUnavailableError(
            f"Tempest {version}: {problem or 'not on this node'}; see 'refstack-worker versions'"
        )
    with tempfile.TemporaryDirectory(prefix="refstack-selftest-") as name, serving() as server:
        folder = Path(name)
        sealer, opener = _keys(folder)
        services = _services(_settings(settings, folder, server.url), opener, catalogue)
        began = time.monotonic()
        with _through_the_queue(services, sealer.seal(_payload(server, version))) as received:
            waited = time.monotonic() - began
            outcome = AttemptExecution(services, received, StopRequest()).carry_out()
        return _outcome(version, outcome, server, services.runner.name, (waited, time.monotonic() - began - waited))


def _settings(settings: WorkerSettings, folder: Path, url: str) -> WorkerSettings:
    """Return the node's settings, except what must not clash with the daemon: names, state, spool, hooks."""
    node = dataclasses.replace(settings.node, name=f"{settings.node.name}-selftest"[:63], state_folder=folder / "state")
    none = folder / "none"
    execution = dataclasses.replace(settings.run, folder=folder / "runs", pre_run_hooks=none, post_run_hooks=none)
    return dataclasses.replace(
        settings,
        node=node,
        run=execution,
        server=ServerLinkSettings(urls=(url,), patience=5.0),
        spool=SpoolSettings(folder=folder / "spool"),
    )


def _keys(folder: Path) -> tuple[Sealer, Opener]:
    paths = [folder / name for name in ("fleet.key", "fleet.pub", "server.key", "server.pub")]
    keys.generate_pair("seal", paths[0], paths[1])
    keys.generate_pair("sign", paths[2], paths[3])
    sealer = Sealer(keys.load_sign_private(paths[2]), keys.load_seal_public(paths[1]))
    return sealer, Opener(keys.load_seal_private(paths[0]), keys.load_sign_public(paths[3]))


def _services(settings: WorkerSettings, opener: Opener, catalogue: Catalogue) -> NodeServices:
    services = NodeServices(
        settings=settings,
        opener=opener,
        runner=runner.choose(settings.run, leftovers.instance_of(settings.node.state_folder)),
        catalogue=catalogue,
        claims=ClaimRecords(settings.claims_folder),
        spool=Spool(settings.spool_folder, settings.spool),
        program=commands.find_program(settings.run.execute_test),
    )
    services.claims.prepare()
    services.spool.prepare()
    return services


def _payload(server: SelfTestServer, version: str) -> Payload:
    return Payload(
        test_id=TEST_ID,
        attempt=1,
        callback=server.url,
        conf_json=server.conf(),
        secret=server.secret,
        submitted_at=now(),
        tempest_version=version,
        testcases=Testcases(names=(TESTS,)),
        concurrency=1,
        timeout=RUN_SECONDS,
    )


@contextmanager
def _through_the_queue(services: NodeServices, envelope: bytes) -> Iterator[ReceivedJob]:
    """Submit the run to the node's queue and take it from there. :raises QueueError: gearmand does not hand it out."""
    settings = services.settings
    function = f"refstack:selftest:{settings.node.name}:{secrets.token_hex(4)}"
    slot = SlotQueue(f"{settings.node.name}:{secrets.token_hex(4)}", [function], lambda: True)
    client = Client(f"{settings.node.name}-client")
    try:
        slot.connect(settings.gearman.addresses)
        add_servers(client, settings.gearman.addresses)
        _submit(client, function, envelope, settings)
        job = _take(slot)
        yield ReceivedJob(job.name, str(job.unique), bytes(job.arguments))
        slot.done(job)
    finally:
        for connected in (slot, client):
            with suppress(Exception):
                connected.shutdown()


def _submit(client: Client, function: str, envelope: bytes, settings: WorkerSettings) -> None:
    servers = ", ".join(settings.gearman.servers)
    try:
        client.waitForServer(timeout=QUEUE_SECONDS)
        client.submitJob(gear.Job(function, envelope, unique=secrets.token_hex(8)), background=True)
    except (gear.GearmanError, gear.TimeoutError, OSError) as error:
        raise QueueError(
            f"gearmand at {servers} does not accept the self-test run: {error or 'no response'}"
        ) from error


def _take(slot: SlotQueue) -> Any:
    taken: queue.Queue[Any] = queue.Queue()

    def wait() -> None:
        with suppress(Interrupted):
            taken.put(slot.next_job())

    threading.Thread(target=wait, name="self-test slot", daemon=True).start()
    try:
        return taken.get(timeout=QUEUE_SECONDS)
    except queue.Empty:
        slot.stop_waiting()
        raise QueueError(f"gearmand did not hand out the self-test run within {QUEUE_SECONDS:g} s") from None


def _outcome(
    version: str, outcome: AttemptOutcome, server: SelfTestServer, how: str, seconds: tuple[float, float]
) -> SelfTestOutcome:
    record = server.record
    passed, failed = int(record.counts.get("passed", 0)), int(record.counts.get("failed", 0))
    good = outcome.kind is OutcomeKind.POSTED and passed > 0 and not failed and not record.refused
    message = outcome.message or "; ".join(record.messages[-3:])
    state = "finished" if good else ("tests-failed" if outcome.kind is OutcomeKind.POSTED else outcome.kind.value)
    return SelfTestOutcome(version, state, message, passed, failed, how, round(seconds[0], 3), round(seconds[1], 3))
