"""``summary.json``: what a run reports beside its results."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from refstack_worker.contract.execute_test import SUMMARY_FILE
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.failures import RunConclusion
from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.tempest.counts import ProgressCounts


@dataclass
class Summary:
    """A run, as far as it has come."""

    args: Arguments
    tempest_version: str = ""
    cpid: str = ""
    """The id by which RefStack knows the cloud."""
    counts: ProgressCounts = field(default_factory=ProgressCounts)
    _began: float = field(default_factory=time.time)

    def write(self, verdict: RunConclusion) -> None:
        """Write the summary into the work folder."""
        content = {
            "test_id": self.args.test_id,
            "attempt": self.args.attempt,
            "tempest_version": self.tempest_version,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._began)),
            "seconds": round(time.time() - self._began, 3),
            "exit_code": int(verdict.exit_code),
            "reason": verdict.reason.value,
            "message": SECRETS.mask(verdict.message),
            "cpid": self.cpid,
            "counts": vars(self.counts),
        }
        (self.args.workdir / SUMMARY_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
