"""The daemon: slots that take jobs, what looks after them, signals, and an orderly end.

TERM ends it now: runs are stopped and given back. USR1 (``drain``) lets them finish first; so does USR2, after which
the process ends with a status of its own, to be started again with new software. HUP looks for new versions and, where
systemd starts it again, for changed settings.
"""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from refstack_worker import systemd
from refstack_worker.config import worker as config
from refstack_worker.config.worker import WorkerSettings, credential
from refstack_worker.contract import gearman_functions, keys
from refstack_worker.contract.envelope import NodeChannel, Opener
from refstack_worker.environments.catalogue import Catalogue, Offer
from refstack_worker.errors import ConfigError, SpoolError
from refstack_worker.worker import status as metrics
from refstack_worker.worker.admission import admission
from refstack_worker.worker.admission.admission import Gate, NodeState
from refstack_worker.worker.attempt.attempt import Services
from refstack_worker.worker.attempt.claimed import Notes
from refstack_worker.worker.attempt.outcome import Ending
from refstack_worker.worker.control_socket import Control
from refstack_worker.worker.queue.slot import Slot
from refstack_worker.worker.sandbox import commands, leftovers, runner
from refstack_worker.worker.server_api.node_status import NodeStatusReporter
from refstack_worker.worker.spool.sender import Forwarder, Tools
from refstack_worker.worker.spool.spool import RELEASE, RESULT, Entry, Spool

LOG = logging.getLogger(__name__)

TICK_SECONDS = 3.0
"""How often the main thread looks around: versions, disks, connections."""
LAST_ERRORS = 20
AGAIN = 75
"""Exit status that asks to be started again (``RestartForceExitStatus=`` of the unit)."""


class Daemon:
    """One worker on one node."""

    def __init__(self, settings: WorkerSettings, software: str) -> None:
        self.settings = settings
        self._software = software
        self._since = time.time()
        self._gate = Gate()
        self._wake = threading.Event()
        self._signals: deque[int] = deque()
        self._errors: deque[dict[str, Any]] = deque(maxlen=LAST_ERRORS)
        self._ended: Counter[str] = Counter()
        self._offers: list[Offer] = []
        self._status = 0
        self._services = _services(settings)
        self._slots = [Slot(n, self._services, self._gate, self._run_ended) for n in range(settings.node.slots)]
        self._forwarder = Forwarder(self._services.spool, _tools(self._services))
        channel = NodeChannel.of_node(self._services.opener.private, self._services.opener.servers)
        self._voice = NodeStatusReporter(settings, channel, self._node_status)

    def run(self) -> int:
        """Work until a signal or ``drain`` ends it.

        :returns: exit status: 0, or 75 to be started again.
        :raises ConfigError: another worker uses this state folder, or what is configured cannot be.
        """
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold passwords
        with _alone(self.settings.node.state_folder), self._hearing_signals():
            self._sweep()
            self._services.catalogue.refresh()
            self._look_around()
            with self._at_work():
                self._loop()
        LOG.info("ended")
        return self._status

    # the loop

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        control = Control(self.settings.control_socket, self._commands())
        self._gate.on_change(self._gate_changed)
        for slot in self._slots:
            slot.connect(self.settings.gearman.addresses, self._functions())
        control.start()
        for thread in (*self._slots, self._forwarder, self._voice):
            thread.start()
        systemd.notify(READY="1", STATUS=self._summary())
        LOG.info("ready: %s", self._summary())
        try:
            yield
        finally:
            systemd.notify(STOPPING="1")
            self._forwarder.stop()
            self._voice.stop()
            control.stop()

    def _loop(self) -> None:
        """Look around until every slot has ended; each round tells systemd that all that must live does."""
        while any(slot.is_alive() for slot in self._slots):
            self._look_around()
            for slot in self._slots:
                slot.tick()
            if self._forwarder.is_alive() and self._voice.is_alive():
                systemd.notify(WATCHDOG="1", STATUS=self._summary())
            self._wake.wait(self._tick())
            self._wake.clear()
            while self._signals:
                self._obey(self._signals.popleft())

    def _tick(self) -> float:
        limit = systemd.watchdog_seconds()
        if self._gate.is_ending:
            return 0.1
        return min(TICK_SECONDS, limit) if limit else TICK_SECONDS

    def _look_around(self) -> None:
        """Offer what can be built now, and take no runs when a disk is full."""
        offers = [offer for offer in self._services.catalogue.offers() if not offer.problem]
        if [(o.version, o.plugins, o.releases) for o in offers] != [
            (o.version, o.plugins, o.releases) for o in self._offers
        ]:
            self._offers = offers
            LOG.info("can build Tempest %s", ", ".join(offer.label for offer in offers) or "in no version")
            for slot in self._slots:
                if slot.queue is not None:
                    slot.queue.offer(self._functions())
            self._voice.nudge()
        lack = admission.shortage(self._folders(), self.settings.limits.min_free_mb)
        if lack and not self._gate.shortage:
            LOG.warning("takes no runs: %s", lack)
            self._note("disk", lack)
        if bool(lack) != bool(self._gate.shortage):
            self._gate.note_shortage(lack)

    def _functions(self) -> list[str]:
        releases = {release for offer in self._offers for release in offer.releases}
        found = []
        for tag in ("", *self.settings.node.tags):
            found += [gearman_functions.for_version(offer.version, tag) for offer in self._offers]
            found += [gearman_functions.for_release(release, tag) for release in sorted(releases)]
        return found

    def _sweep(self) -> None:
        """Clear away what an earlier life left: processes, folders with secrets, attempts that nobody holds."""
        settings, services = self.settings, self._services
        killed = leftovers.end(f"{leftovers.instance_of(settings.node.state_folder)}/")
        swept = leftovers.sweep_folders(settings.run.folder, "run-") + leftovers.sweep_folders(
            settings.run.environments
        )
        if killed or swept:
            LOG.warning("an earlier worker left %d processes and %d folders; removed", killed, swept)
        services.spool.prepare()
        services.notes.prepare()
        kept = {(entry.run, entry.claim) for entry in services.spool.entries() if entry.kind == RESULT}
        for held in services.notes.left(services.opener):
            if (held.run, held.claim) not in kept:
                LOG.warning("run %s was cut off with an earlier worker; it is given back", held.run)
                with suppress(SpoolError):
                    services.spool.add(
                        held, Entry.of(held, RELEASE, message="the worker was killed in the middle of it")
                    )
            services.notes.remove(held)

    # signals and commands

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
        before = {signum: signal.signal(signum, self._heard) for signum in wanted}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _heard(self, signum: int, _: Any) -> None:
        self._signals.append(signum)
        self._wake.set()

    def _obey(self, signum: int) -> None:
        LOG.info("%s", signal.Signals(signum).name)
        if signum in (signal.SIGUSR1, signal.SIGUSR2):
            self._finish(AGAIN if signum == signal.SIGUSR2 else 0)
        elif signum == signal.SIGHUP:
            self._reload()
        else:
            self._status = 0
            self._gate.stop()
            for slot in self._slots:
                slot.hand_back(f"node {self.settings.node.name} is being stopped")

    def _finish(self, status: int) -> None:
        """End when the running jobs are done. A node that was drained stays away, whatever an upgrade asks for then."""
        if status == AGAIN and self._gate.is_ending:
            return
        self._status = status
        self._gate.drain()

    def _reload(self) -> None:
        """Look for versions now; take changed settings by starting anew, when the running jobs are done."""
        self._services.catalogue.refresh()
        try:
            changed = config.load(self.settings.file) != self.settings
        except ConfigError as error:
            LOG.error("%s; going on with the settings as they were", error)
            return
        if changed and "NOTIFY_SOCKET" in os.environ:
            LOG.info("the settings changed: starting anew when the running jobs are done")
            self._finish(AGAIN)
        elif changed:
            LOG.warning("the settings changed; start the worker anew to take them")

    def _gate_changed(self) -> None:
        if not self._gate.is_open:
            for slot in self._slots:
                slot.stop_waiting()
        self._voice.nudge()
        self._wake.set()

    def _commands(self) -> dict[str, Any]:
        def act(action: Any) -> Any:
            def done() -> Mapping[str, Any]:
                action()
                return {"state": self._gate.state.value}

            return done

        return {
            "status": self.status,
            "health": self.health,
            "metrics": lambda: {"text": metrics.text(self.status())},
            "drain": act(lambda: self._finish(0)),
            "pause": act(self._gate.pause),
            "resume": act(self._gate.resume),
            "reload": act(lambda: self._heard(signal.SIGHUP, None)),
            "flush": self._flush,
        }

    def _flush(self) -> Mapping[str, Any]:
        entries = self._services.spool.entries()
        for entry in entries:
            self._services.spool.due_now(entry)
        self._forwarder.nudge()
        return {"entries": len(entries)}

    # what it tells

    def status(self) -> dict[str, Any]:
        """Return everything that an operator may want to see; no secret."""
        spool = self._services.spool
        entries = spool.entries()
        connected = {name for slot in self._slots if slot.queue is not None for name in slot.queue.connected()}
        return {
            "node": self.settings.node.name,
            "software": self._software,
            "pid": os.getpid(),
            "since": self._since,
            "state": self._gate.state.value,
            "accepting": self._gate.is_open,
            "problem": self._gate.shortage,
            "tags": list(self.settings.node.tags),
            "versions": [offer.label for offer in self._offers],
            "functions": self._functions(),
            "runner": self._services.runner.name,
            "slots": [slot.view() for slot in self._slots],
            "gearman": [
                {"server": str(address), "connected": str(address) in connected}
                for address in self.settings.gearman.addresses
            ],
            "servers": [
                {"url": url, "problem": self._voice.problems.get(url, "")} for url in self.settings.server.urls
            ],
            "spool": {"entries": len(entries), "bytes": spool.size()},
            "disks": [{"folder": str(path), "free_mb": admission.free_mb(path)} for path in self._folders()],
            "ended": dict(self._ended),
            "last_errors": list(self._errors),
        }

    def health(self) -> dict[str, Any]:
        """Return whether the node can do its work, and what is in the way."""
        status = self.status()
        problems = [f"gearman {item['server']}: not connected" for item in status["gearman"] if not item["connected"]]
        problems += [f"{item['url']}: {item['problem']}" for item in status["servers"] if item["problem"]]
        problems += [self._gate.shortage] if self._gate.shortage else []
        problems += [] if self._offers else ["no Tempest version can be built here; install a refstack-tempest package"]
        return {"healthy": not problems, "state": self._gate.state.value, "problems": problems}

    def _node_status(self) -> Mapping[str, Any]:
        state = NodeState.DRAINING if self._gate.is_ending else self._gate.told_state
        return {
            "versions": sorted({offer.version for offer in self._offers}),
            "slots": len(self._slots),
            "busy": sum(slot.busy for slot in self._slots),
            "tags": list(self.settings.node.tags),
            "state": state.value,
            "software": self._software,
        }

    def _summary(self) -> str:
        busy = sum(slot.busy for slot in self._slots)
        lack = f", takes no runs: {self._gate.shortage}" if self._gate.shortage else ""
        return f"{self._gate.state.value}, {busy} of {len(self._slots)} slots busy, {len(self._offers)} versions{lack}"

    def _run_ended(self, ending: Ending) -> None:
        self._ended[ending.kind.value] += 1
        self._forwarder.nudge()
        if ending.node_fault:
            self._note(ending.reason, ending.message)
        self._voice.nudge()

    def _note(self, reason: str, message: str) -> None:
        self._errors.append({"time": time.time(), "reason": reason, "message": message})

    def _folders(self) -> list[Path]:
        settings = self.settings
        found = [settings.environments.store, settings.run.environments, settings.node.state_folder]
        return found + ([settings.run.folder] if self._services.runner.name == "embedded" else [])


def _services(settings: WorkerSettings) -> Services:
    if not settings.server.urls:
        raise ConfigError(f'{settings.file}: server.urls names no RefStack server; add urls = ["https://…"]')
    opener = Opener(
        keys.load_seal_private(credential(settings.keys.fleet_private)),
        keys.load_sign_public(credential(settings.keys.server_public)),
    )
    chosen = runner.choose(settings.run, leftovers.instance_of(settings.node.state_folder))
    return Services(
        settings=settings,
        opener=opener,
        runner=chosen,
        catalogue=Catalogue(settings.environments),
        notes=Notes(settings.held_folder),
        spool=Spool(settings.spool_folder, settings.spool),
        program=commands.find_program(settings.run.execute_test),
    )


def _tools(services: Services) -> Tools:
    settings = services.settings
    own = runner.EmbeddedRunner(settings.run.folder, leftovers.instance_of(settings.node.state_folder))
    return Tools(settings, services.opener, own, services.program)


@contextmanager
def _alone(state_folder: Path) -> Iterator[None]:
    """Hold the lock of a state folder. :raises ConfigError: another worker has it, or it cannot be written."""
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        lock = open(state_folder / "worker.lock", "w", encoding="ascii")  # noqa: SIM115 - closed below
    except OSError as error:
        raise ConfigError(f"{state_folder}: {error.strerror}; it must belong to the worker's user") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{state_folder}: another worker runs on it; each needs a node.state_folder") from None
        yield
