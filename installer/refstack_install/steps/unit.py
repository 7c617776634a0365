"""The units: enabled, started, and told what was changed under them."""

from __future__ import annotations

import time

from refstack_install import unitcontrol
from refstack_install.errors import StepError, VerifyError
from refstack_install.step import Change, Record, Step
from refstack_install.unitcontrol import UNITS, WORKER

SETTLE_SECONDS = 15.0
LOOK_SECONDS = 0.1


class UnitEnabled(Step):
    """The worker's units."""

    name = "unit"
    title = "units enabled and running"

    def check(self) -> list[Change]:
        found = []
        for unit in unitcontrol.states(self.system):
            if self.answers.flag("service.enable") and not unit.enabled:
                found.append(Change(unit.name, "not enabled", "enabled"))
            if self._starts() and not unit.active:
                found.append(Change(unit.name, "not running", "running"))
        waiting = unitcontrol.pending(self.system)
        if self._starts() and waiting and not found:
            found.append(Change(WORKER, "runs with old settings", f"{waiting}ed"))
        return found

    def apply(self) -> None:
        root = [] if self.system.is_live else [f"--root={self.system.root}"]
        if self.answers.flag("service.enable"):
            # which makes systemd read the units again, where it runs
            self.system.must(["systemctl", *root, "enable", *UNITS])
        if not self._starts():
            return
        if not self.answers.flag("service.enable"):
            self.system.must(["systemctl", "daemon-reload"])
        before = {unit.name: unit.active for unit in unitcontrol.states(self.system)}
        self._tell(before[WORKER])
        for name in UNITS:
            if self.system.run(["systemctl", "start", name]).status != 0:
                raise StepError(
                    f"{name} does not start",
                    unitcontrol.last_words(self.system, name),
                    f"mend that ('refstack-worker doctor', 'systemctl status {name}') and run again",
                )
        unitcontrol.clear_pending(self.system)

    def verify(self) -> None:
        # one that was told to start anew is away for a moment
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._starts() and not all(unit.active for unit in unitcontrol.states(self.system)):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_SECONDS)
        for unit in unitcontrol.states(self.system):
            if self._starts() and not unit.active:
                raise VerifyError(
                    f"{unit.name} is not running",
                    unitcontrol.last_words(self.system, unit.name),
                    f"see 'systemctl status {unit.name}'",
                )
        super().verify()

    def snapshot(self) -> Record:
        return {"units": {unit.name: [unit.enabled, unit.active] for unit in unitcontrol.states(self.system)}}

    def undo(self, record: Record) -> None:
        root = [] if self.system.is_live else [f"--root={self.system.root}"]
        now = {unit.name: unit for unit in unitcontrol.states(self.system)}
        for name, (enabled, active) in reversed(list(record["units"].items())):
            if now[name].active and not active:
                self.system.must(["systemctl", "stop", name])
            if now[name].enabled and not enabled:
                self.system.must(["systemctl", *root, "disable", name])
        self.system.run(["systemctl", *root, "reset-failed", *record["units"]])

    def _starts(self) -> bool:
        return self.answers.flag("service.start") and self.system.systemd_runs()

    def _tell(self, runs: bool) -> None:
        """Make a running worker read what was changed; a restart waits for its runs."""
        waiting = unitcontrol.pending(self.system)
        if not runs or not waiting:
            return
        if waiting == unitcontrol.RESTART:
            # it ends its runs, leaves with the status that makes systemd start it again, and gets the new keys
            self.system.must(["systemctl", "kill", "--kill-who=main", "--signal=USR2", WORKER])
        else:
            self.system.must(["systemctl", "reload", WORKER])
