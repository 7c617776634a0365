"""The worker's process: its slots, the threads beside them, signals, and an orderly end.

TERM ends it now: runs are stopped and released. USR1 (``drain``) lets them finish first; so does USR2, after which the
process ends with an exit status of its own, to be started again with new software. HUP looks for new versions and, if
systemd will start the worker again, applies changed settings and keys.
"""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from refstack_worker import systemd
from refstack_worker.config import worker as config
from refstack_worker.config.worker import WorkerSettings, credential
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import NodeChannel, Opener
from refstack_worker.contract.node_command import NodeAction
from refstack_worker.environments.catalogue import Catalogue
from refstack_worker.errors import ConfigError, SpoolError
from refstack_worker.worker import status
from refstack_worker.worker.admission import disk_space, folders
from refstack_worker.worker.admission.admission import Admission
from refstack_worker.worker.admission.versions import AvailableVersions
from refstack_worker.worker.attempt.attempt import NodeServices
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.attempt.outcome import AttemptOutcome
from refstack_worker.worker.control_socket import ControlSocket
from refstack_worker.worker.metrics import MetricsServer
from refstack_worker.worker.queue.connection_log import ConnectionLog
from refstack_worker.worker.queue.slot import Slot
from refstack_worker.worker.sandbox import commands, leftovers, runner
from refstack_worker.worker.server_api.node_status import NodeStatusReporter
from refstack_worker.worker.spool.sender import SenderTools, SpoolSender
from refstack_worker.worker.spool.spool import RELEASE, RESULT, Spool, SpoolEntry
from refstack_worker.worker.store_cleanup import StoreCleanup

LOG = logging.getLogger(__name__)

TICK_SECONDS = 3.0
"""Interval at which the main thread checks versions, disks and connections."""
RESTART_STATUS = 75
"""Exit status that asks to be started again (``RestartForceExitStatus=`` of the unit)."""


class Daemon:
    """One worker on one node."""

    def __init__(self, settings: WorkerSettings, software: str) -> None:
        self.settings = settings
        self._exit_status = 0
        self._wake = threading.Event()
        self._signals: deque[int] = deque()
        self._services = services_of(settings)
        self._admission = Admission(settings.node.state_folder / "paused")
        self._versions = AvailableVersions(self._services.catalogue, settings.node.tags)
        self._slots = [
            Slot(number, self._services, self._admission, self._run_ended) for number in range(settings.node.slots)
        ]
        self._sender = SpoolSender(self._services.spool, _sender_tools(self._services))
        self._overview = status.NodeOverview(self._services, self._admission, self._versions, self._slots, software)
        channels = NodeChannel.all_of_node(self._services.opener.private, self._services.opener.servers)
        self._reporter = NodeStatusReporter(settings, channels, self._overview.node_status, self._act)
        self._overview.server_problems = self._reporter.problems
        self._connections = ConnectionLog(map(str, settings.gearman.addresses))
        self._store_cleanup = StoreCleanup(settings.environments)
        self._key_files = key_files(settings)

    def run(self) -> int:
        """Work until a signal or ``drain`` ends it.

        :returns: exit status: 0, or 75 to be started again.
        :raises ConfigError: another worker uses this state folder, or the settings do not fit this machine.
        """
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold passwords
        folders.check_writable(self.settings)
        with _exclusive(self.settings.node.state_folder), self._signal_handlers():
            self._sweep()
            self._versions.look_again()
            self._check()
            with self._at_work():
                self._loop()
        LOG.info("ended")
        return self._exit_status

    # the loop

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        control = ControlSocket(self.settings.control_socket, self._commands())
        self._admission.on_change(self._admission_changed)
        for slot in self._slots:
            slot.connect(self.settings.gearman.addresses, self._versions.functions())
        control.start()
        address = self.settings.node.metrics_address
        scraped = MetricsServer(address, self._overview.metrics.registry) if address else None
        if scraped is not None:
            scraped.start()
        for thread in (*self._slots, self._sender, self._reporter):
            thread.start()
        systemd.notify(READY="1", STATUS=self._overview.summary())
        LOG.info("ready: %s", self._overview.summary())
        try:
            yield
        finally:
            systemd.notify(STOPPING="1")
            self._sender.stop()
            self._reporter.stop()
            control.stop()
            if scraped is not None:
                scraped.stop()

    def _loop(self) -> None:
        """Check everything until every slot has ended; each round tells systemd that all needed threads live."""
        while any(slot.is_alive() for slot in self._slots):
            self._check()
            for slot in self._slots:
                slot.tick()
            self._connections.look(self._overview.connected())
            if self._sender.is_alive() and self._reporter.is_alive():
                systemd.notify(WATCHDOG="1", STATUS=self._overview.summary())
            self._wake.wait(self._tick())
            self._wake.clear()
            while self._signals:
                self._obey(self._signals.popleft())

    def _tick(self) -> float:
        limit = systemd.watchdog_seconds()
        if self._admission.is_ending:
            return 0.1
        return min(TICK_SECONDS, limit) if limit else TICK_SECONDS

    def _check(self) -> None:
        """Offer the versions that can be built now, and take no runs while a disk is full."""
        before = set(self._versions.labels)
        if self._versions.update():
            self._store_cleanup.versions_changed(before, set(self._versions.labels))
            LOG.info("Tempest versions that can be built: %s", ", ".join(self._versions.labels) or "none")
            self._offer()
            self._admission.end_rests()
            self._reporter.nudge()
        wanted = [plugins for sets in list(self._reporter.wanted_plugins.values()) for plugins in sets]
        if self._versions.want(wanted):
            self._offer()
        problem = disk_space.lack_of_space(self._overview.folders(), self.settings.limits.min_free_mb)
        if problem and not self._admission.problem:
            LOG.warning("takes no runs: %s", problem)
            self._overview.add_error("disk", problem)
        if bool(problem) != bool(self._admission.problem):
            self._admission.set_problem(problem)
        self._store_cleanup.start_if_due(any(slot.busy for slot in self._slots))

    def _offer(self) -> None:
        for slot in self._slots:
            if slot.queue is not None:
                slot.queue.offer(self._versions.functions())

    def _sweep(self) -> None:
        """Remove what an earlier process left: processes, folders with secrets, attempts that no worker carries out."""
        settings, services = self.settings, self._services
        killed = leftovers.end(f"{leftovers.instance_of(settings.node.state_folder)}/")
        removed = leftovers.sweep_folders(settings.run.folder, "run-") + leftovers.sweep_folders(
            settings.run.environments
        )
        if killed or removed:
            LOG.warning("an earlier worker left %d processes and %d folders; removed", killed, removed)
        services.spool.prepare()
        services.claims.prepare()
        spooled = {(entry.run, entry.claim) for entry in services.spool.entries() if entry.kind == RESULT}
        for claimed in services.claims.left(services.opener):
            if (claimed.run, claimed.claim) not in spooled:
                LOG.warning("run %s was interrupted when an earlier worker ended; releasing it", claimed.run)
                with suppress(SpoolError):
                    entry = SpoolEntry.of(claimed, RELEASE, message="the worker was killed during the run")
                    services.spool.add(claimed, entry)
            services.claims.remove(claimed)

    # signals and commands

    @contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        handled = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
        before = {signum: signal.signal(signum, self._on_signal) for signum in handled}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _on_signal(self, signum: int, _: Any) -> None:
        self._signals.append(signum)
        self._wake.set()

    def _obey(self, signum: int) -> None:
        LOG.info("received %s", signal.Signals(signum).name)
        if signum in (signal.SIGUSR1, signal.SIGUSR2):
            self._finish(RESTART_STATUS if signum == signal.SIGUSR2 else 0)
        elif signum == signal.SIGHUP:
            self._reload()
        else:
            self._exit_status = 0
            self._admission.stop()
            for slot in self._slots:
                slot.release(f"node {self.settings.node.name} is being stopped")

    def _finish(self, exit_status: int) -> None:
        """End when the running jobs are done. A drained node stays down, even if an upgrade asks for a restart."""
        if exit_status == RESTART_STATUS and self._admission.is_ending:
            return
        self._exit_status = exit_status
        self._admission.drain()

    def _reload(self) -> None:
        """Look for versions now; apply changed settings and keys by a restart when the running jobs are done."""
        self._versions.look_again()
        try:
            changes = self._changes()
        except ConfigError as error:
            LOG.error("%s; the old settings and keys stay in effect", error)
            return
        if changes and "NOTIFY_SOCKET" in os.environ:
            LOG.info("the %s changed: restarting when the running jobs are done", changes)
            self._finish(RESTART_STATUS)
        elif changes:
            LOG.warning("the %s changed; restart the worker to apply them", changes)

    def _changes(self) -> str:
        """Return what changed in the files: settings, keys, both, or nothing. :raises ConfigError: wrong settings."""
        settings = config.load(self.settings.file)
        changed = {"settings": settings != self.settings, "keys": key_files(settings) != self._key_files}
        return " and ".join(name for name, is_changed in changed.items() if is_changed)

    def _admission_changed(self) -> None:
        if not self._admission.is_open:
            for slot in self._slots:
                slot.stop_waiting()
        self._reporter.nudge()
        self._wake.set()

    def _commands(self) -> dict[str, Any]:
        def act(action: Any) -> Any:
            def done() -> Mapping[str, Any]:
                action()
                return {"state": self._admission.state.value}

            return done

        return {
            "status": self._overview.status,
            "health": self._overview.health,
            "metrics": lambda: {"text": self._overview.metrics.text()},
            "drain": act(lambda: self._finish(0)),
            "pause": act(self._admission.pause),
            "resume": act(self._admission.resume),
            "reload": act(lambda: self._on_signal(signal.SIGHUP, None)),
            "flush": self._flush,
        }

    def _act(self, action: NodeAction) -> None:
        """Do what a server asks of the node."""
        if action is NodeAction.DRAIN:
            self._finish(0)
        elif action is NodeAction.RESUME:
            self._admission.resume()
        else:
            try:
                self._admission.pause()
            except ConfigError as error:
                LOG.error("%s", error)

    def _flush(self) -> Mapping[str, Any]:
        entries = self._services.spool.entries()
        for entry in entries:
            self._services.spool.due_now(entry)
        self._sender.nudge()
        return {"entries": len(entries)}

    def _run_ended(self, outcome: AttemptOutcome, seconds: float) -> None:
        self._overview.count(outcome, seconds)
        self._sender.nudge()
        self._reporter.nudge()


def services_of(settings: WorkerSettings) -> NodeServices:
    """Return what the attempts of a worker share. :raises ConfigError: settings or keys are wrong."""
    if not settings.server.urls:
        raise ConfigError(f'{settings.file}: server.urls is empty; add your RefStack server: urls = ["https://…"]')
    opener = Opener(
        keys.load_seal_private(credential(settings.keys.fleet_private)),
        keys.load_sign_public(credential(settings.keys.server_public)),
    )
    return NodeServices(
        settings=settings,
        opener=opener,
        runner=runner.choose(settings.run, leftovers.instance_of(settings.node.state_folder)),
        catalogue=Catalogue(settings.environments),
        claims=ClaimRecords(settings.claims_folder),
        spool=Spool(settings.spool_folder, settings.spool),
        program=commands.find_program(settings.run.execute_test),
    )


def key_files(settings: WorkerSettings) -> list[tuple[int, int, int] | None]:
    """Return what changes with the content of the key files; systemd may hide the content itself from the worker."""
    files: list[tuple[int, int, int] | None] = []
    for path in (settings.keys.fleet_private, settings.keys.server_public):
        try:
            state = path.stat()
            files.append((state.st_ino, state.st_size, state.st_mtime_ns))
        except OSError:
            files.append(None)
    return files


def _sender_tools(services: NodeServices) -> SenderTools:
    settings = services.settings
    own = runner.EmbeddedRunner(settings.run.folder, leftovers.instance_of(settings.node.state_folder))
    return SenderTools(settings, services.opener, own, services.program)


@contextmanager
def _exclusive(state_folder: Path) -> Iterator[None]:
    """Hold the lock of a state folder. :raises ConfigError: another worker has it, or it is not writable."""
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        lock = open(state_folder / "worker.lock", "w", encoding="ascii")  # noqa: SIM115 - closed below
    except OSError as error:
        raise ConfigError(f"{state_folder}: {error.strerror}; it must belong to the worker's user") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"{state_folder}: in use by another worker; give each worker its own node.state_folder"
            ) from None
        yield
