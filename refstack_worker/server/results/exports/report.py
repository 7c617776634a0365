"""What an export is made of: a run, its result, its tests, and the verdict of the guideline that it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.runs import Run
from refstack_worker.server.domain.verdict import Verdict


@dataclass(frozen=True)
class ExportedRun:
    """A run with its accepted result."""

    run: Run
    seconds: float
    """From the begin of the first test to the end of the last."""
    accepted_at: float
    tests: Callable[[], Iterable[TestResult]]
    """Gives the tests from the first, each time again; they need not fit into memory."""
    verdict: Verdict | None = None
    cpid: str = ""
    """The id by which RefStack knows the cloud."""
    signed_verdict: str = ""
    """JSON that can stand in a page's script element; see ``contract/signed_verdict.py``."""

    @property
    def title(self) -> str:
        return self.run.label or f"run {self.run.test_id}"

    @property
    def version(self) -> str:
        """What was run, for people."""
        spec = self.run.spec
        return f"Tempest {spec.tempest_version}" if spec.tempest_version else f"OpenStack {spec.openstack_release}"

    @property
    def began(self) -> float:
        """When it was begun, seconds since 1970."""
        return self.run.started_at or self.run.created_at


Pieces = Iterator[str]
"""An export as it is made, so that memory stays flat whatever the number of tests."""


def moment(seconds: float) -> str:
    """Return a time in UTC to the second, without a zone: the form that JUnit's schema wants."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def class_of(name: str) -> tuple[str, str]:
    """Return the class and the method in a test's full name."""
    # the dots of a scenario's parameters are no path
    head, mark, tail = name.partition("(")
    path, _, method = head.rpartition(".")
    return path, f"{method}{mark}{tail}"
