"""The environments' store, filled and proved.

Filling begins when the Tempest package is installed (the worker's package sees to that) and goes on while the units
start. A run that the node takes before the end builds what it needs itself, or waits for it.
"""

from __future__ import annotations

import json
from typing import Any

from refstack_install import unitcontrol
from refstack_install.errors import StepError, VerifyError
from refstack_install.step import Change, Record, Step

WARM_UNIT = "refstack-env-warm.service"
SECONDS = 1800.0


class Warm(Step):
    """Every wanted version unpacked, compiled, and proved to list tests."""

    name = "warm"
    title = "environments warm"

    def check(self) -> list[Change]:
        if not self.answers.flag("tempest.warm") or not self.system.systemd_runs():
            return []
        # one that is at work is waited for in any case: to ask would only take from it
        known = {} if unitcontrol.is_at_work(self.system, WARM_UNIT) else self._versions()
        return [
            Change(f"environment {version}", "cold", "warm")
            for version in self.answers.names("tempest.versions")
            if not _is_warm(known.get(version, {}))
        ]

    def apply(self) -> None:
        # one that is at work already is waited for, not begun again
        done = self.system.run(["systemctl", "start", WARM_UNIT], SECONDS)
        if done.status != 0:
            raise StepError(
                "the environments cannot be made warm",
                unitcontrol.last_words(self.system, WARM_UNIT),
                "see 'refstack-worker versions', mend that and run again",
            )

    def verify(self) -> None:
        known = self._versions()
        for version in self.answers.names("tempest.versions"):
            row = known.get(version, {})
            if self.answers.flag("tempest.warm") and not _is_warm(row):
                problem = str(row.get("Problem") or "it is not in the store")
                raise VerifyError(f"Tempest {version} is not ready", problem, "see 'refstack-worker versions'")

    def undo(self, record: Record) -> None:
        """Leave the store as it is: it is a cache that belongs to the packages, and goes with them."""

    def _versions(self) -> dict[str, dict[str, Any]]:
        if not self.system.path(unitcontrol.PROGRAM).exists():
            return {}
        done = self.system.run([unitcontrol.PROGRAM, "versions", "-f", "json"])
        try:
            return {row["Version"]: row for row in json.loads(done.out)}
        except (ValueError, KeyError, TypeError):
            return {}


def _is_warm(row: dict[str, Any]) -> bool:
    return bool(row.get("Warm")) and bool(row.get("Tests")) and not row.get("Problem")
