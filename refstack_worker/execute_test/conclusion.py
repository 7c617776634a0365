"""How a call of this program ended."""

from __future__ import annotations

from typing import NamedTuple

from refstack_worker.contract.execute_test import ExitCode, Reason
from refstack_worker.execute_test.failures import Failure


class RunConclusion(NamedTuple):
    """Exit code, reason and message, for the log, the events and the summary."""

    exit_code: ExitCode
    reason: Reason
    message: str

    @classmethod
    def of(cls, failure: Failure) -> RunConclusion:
        """Return the conclusion of a run that could not go on."""
        return cls(failure.exit_code, failure.reason, str(failure))
