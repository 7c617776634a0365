"""One cell of the matrix: a run is brought to a step, the fault happens, and everything is looked at afterwards."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from tests.support.process_table import files_with
from tests.support.processes import eventually
from tests.system.faults.accounts import ENDS, accounts, unnamed
from tests.system.faults.expected import Expected, expected
from tests.system.faults.faults import Fault
from tests.system.faults.place import Place
from tests.system.faults.steps import Step

PATIENCE = 150.0
"""Seconds for a run to end after the fault: leases and the monitor's looks at the queue are not scaled."""
CLEAN_SECONDS = 60.0


@dataclass
class Outcome:
    """What became of a run."""

    fault: str
    step: str
    expected: Expected
    state: str = ""
    attempts: list[str] = field(default_factory=list)
    """How each attempt ended."""
    results: int = 0
    seconds: float = 0.0
    left_in_cloud: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What is not as it should be; empty: the cell is right."""
    first_try: str = ""
    """What was not right when the cell was done beside others, if this is the second time, alone."""


def carry_out(place: Place, fault: Fault, step: Step) -> Outcome:
    """Do one cell in a place that is in order; if it is right, the place is in order again."""
    outcome = Outcome(fault.name, step.name, expected(fault.name, step.name))
    began = time.monotonic()
    try:
        place.queue_server.use(fault.queue)
        with fault.is_prepared(place, place.node):
            eventually("the worker has its queue", place.node.is_connected)
            before = place.in_cloud()
            test_id = _to_step(place, step)
            made = place.in_cloud() - before
            if step.name in ("running", "cleaning") and not made:
                raise AssertionError("the run has made nothing in the cloud yet: held too early")
            with fault.happens(place, place.node):
                if step.is_let_go:
                    place.release()
                time.sleep(fault.seconds)
            place.release()
            _end(place, test_id, outcome)
            outcome.left_in_cloud = sorted(place.in_cloud() - before)
            _compare(place, test_id, outcome)
    except AssertionError as error:
        outcome.wrong.append(str(error)[-2000:] or "what was expected at the step did not hold")
    except Exception as error:
        outcome.wrong.append(f"{type(error).__name__}: {error}"[-2000:])
    outcome.seconds = time.monotonic() - began
    return outcome


def _to_step(place: Place, step: Step) -> int:
    step.arm(place)
    test_id = place.trigger()
    step.reach(place, test_id)
    return test_id


def _end(place: Place, test_id: int, outcome: Outcome) -> None:
    """Wait for the run's end, and for the node to be clean."""
    with contextlib.suppress(AssertionError):
        eventually("the run ends", lambda: place.state(test_id)["state"] in ENDS, PATIENCE)
    with contextlib.suppress(AssertionError):
        eventually("the node is clean", lambda: not place.node.left(), CLEAN_SECONDS)


def _compare(place: Place, test_id: int, outcome: Outcome) -> None:
    account = accounts(place, test_id)[test_id]
    run = account.run
    outcome.state = run["state"]
    outcome.attempts = account.outcomes
    outcome.results = len(account.results)
    outcome.wrong += account.wrong()
    wanted = outcome.expected
    if run["state"] != wanted.state:
        outcome.wrong.append(f"state {run['state']} ({run['message']}) in place of {wanted.state}")
    if len(account.attempts) not in wanted.attempts:
        outcome.wrong.append(
            f"{len(account.attempts)} attempts ({', '.join(outcome.attempts)}) in place of {wanted.text}"
        )
    outcome.wrong += [f"left on the node: {text}" for text in place.node.left()]
    outcome.wrong += [f"left on the server: {path}" for path in _uploads(place)]
    password = place.cloud.admin_password
    outcome.wrong += [f"the password stands in {path}" for path in files_with(password, place.root)]
    untold = _untold(place, test_id, outcome.left_in_cloud)
    if untold:
        outcome.wrong.append(f"left in the cloud, and not named to the vendor: {', '.join(untold)}")


def _untold(place: Place, test_id: int, left: list[str]) -> list[str]:
    """Return what is left in the cloud although no message of the run names its project, or says that it may be."""

    def asked() -> list[str]:
        rows = place.rows("SELECT message FROM test_status WHERE test_id = :id", id=test_id)
        said = "\n".join(row["message"] for row in rows)
        return [] if "may still hold" in said else unnamed(left, said)

    with contextlib.suppress(AssertionError):
        eventually("the messages name it", lambda: not asked(), 10)
    return asked()


def _uploads(place: Place) -> list[str]:
    return sorted(path.name for path in place.disk.rglob("*") if path.is_file())
