"""Enables and starts the worker's units, and reloads or restarts a running worker after a change."""

from __future__ import annotations

import time

from refstack_install.errors import StepError, VerifyError
from refstack_install.files import Record
from refstack_install.hosts import units
from refstack_install.hosts.units import TIMER, UNITS, WORKER
from refstack_install.step import Change, Step

SETTLE_SECONDS = 60.0
"""For a worker to end that restarts for new settings: on a busy machine its end takes long."""
LOOK_SECONDS = 0.1


class UnitsStep(Step):
    name = "unit"
    title = "units enabled and running"

    def check(self) -> list[Change]:
        changes = []
        for unit in units.states(self.system):
            if self.answers.flag("service.enable") and not unit.enabled:
                changes.append(Change(unit.name, "not enabled", "enabled"))
            if self._starts() and not unit.active:
                changes.append(Change(unit.name, "not running", "running"))
        action = units.pending(self.system)
        if self._starts() and action and not changes:
            changes.append(Change(WORKER, "runs with old settings", f"{action}ed"))
        return changes

    def apply(self) -> None:
        root = [] if self.system.is_live else [f"--root={self.system.root}"]
        if self.answers.flag("service.enable"):
            # this also makes a running systemd reload its units
            self.system.must(["systemctl", *root, "enable", *UNITS])
        if not self._starts():
            return
        if not self.answers.flag("service.enable"):
            self.system.must(["systemctl", "daemon-reload"])
        active = {unit.name: unit.active for unit in units.states(self.system)}
        if active[WORKER]:
            self._reload_or_restart()
        for name in UNITS:
            if self.system.run(["systemctl", "start", name]).status != 0:
                raise StepError(
                    f"{name} does not start",
                    units.log_tail(self.system, name),
                    f"see 'refstack-worker doctor' and 'systemctl status {name}', fix this and run again",
                )
        units.clear_pending(self.system)

    def verify(self) -> None:
        # a restarting worker is inactive for a moment
        deadline = time.monotonic() + SETTLE_SECONDS
        found = units.states(self.system)
        while self._starts() and not all(unit.active for unit in found):
            if time.monotonic() > deadline or any(unit.failed for unit in found):
                break
            time.sleep(LOOK_SECONDS)
            found = units.states(self.system)
        for unit in found:
            if self._starts() and not unit.active:
                raise VerifyError(
                    f"{unit.name} is not running",
                    units.log_tail(self.system, unit.name),
                    f"see 'systemctl status {unit.name}'",
                )
        super().verify()

    def remarks(self) -> list[str]:
        """Mention a pause. It is not a failure: an operator asked for it, or a server revoked the node's key."""
        if not units.is_paused(self.system):
            return []
        return ["the node is paused and takes no runs; resume it with 'refstack-worker resume'"]

    def snapshot(self) -> Record:
        return {"units": {unit.name: [unit.enabled, unit.active] for unit in units.states(self.system)}}

    def undo(self, record: Record) -> None:
        root = [] if self.system.is_live else [f"--root={self.system.root}"]
        now = {unit.name: unit for unit in units.states(self.system)}
        for name, (enabled, active) in reversed(list(record["units"].items())):
            if now[name].active and not active:
                self.system.must(["systemctl", "stop", name])
            if now[name].enabled and not enabled:
                self.system.must(["systemctl", *root, "disable", name])
        if not record["units"][TIMER][1] and now[TIMER].active:
            # the stamp of its last run; older versions of systemd cannot do this
            self.system.run(["systemctl", "clean", "--what=state", TIMER])
        self.system.run(["systemctl", *root, "reset-failed", *record["units"]])

    def _starts(self) -> bool:
        return self.answers.flag("service.start") and self.system.systemd_runs()

    def _reload_or_restart(self) -> None:
        action = units.pending(self.system)
        # to restart, the worker finishes its runs and exits; systemd starts it again with the new keys
        kill = ["systemctl", "kill", "--kill-who=main", "--signal=USR2", WORKER]
        command = kill if action == units.RESTART else ["systemctl", "reload", WORKER]
        # a Tempest package that was just installed reloads it too: it may be about to start again, with the new files
        if action and self.system.run(command).status != 0 and not units.is_activating(self.system, WORKER):
            self.system.must(command)
