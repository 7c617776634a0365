"""The steps of a run at which a fault is injected: how a run is brought there, and held there by something real."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.worker import control_socket
from tests.support.processes import eventually
from tests.system.faults.gates import Hold
from tests.system.faults.place import Place

SETTING_UP = 12
"""Requests that Tempest may make before the cloud holds them: users and projects are made, the tests not done."""


@dataclass(frozen=True)
class Step:
    """Where a run is held."""

    name: str
    how: str
    """For the table."""
    arm: Callable[[Place], None]
    """Before the run is recorded."""
    reach: Callable[[Place, int], None]
    """Returns when the run is held there."""
    is_let_go: bool = False
    """Let go as soon as the fault is injected, for to be held there is a fault of its own; else when it is over."""


def _nothing(place: Place) -> None:
    pass


def _queued(place: Place, test_id: int) -> None:
    question = "SELECT 1 FROM queue_attempt WHERE test_id = :id AND submitted_at > 0 AND claimed_at = 0"
    eventually("the queue has the run", lambda: place.rows(question, id=test_id))


def _claimed(place: Place, test_id: int) -> None:
    eventually("the claim's answer is held", place.gate.held.is_set)
    assert place.state(test_id)["state"] == "claimed"


def _building(place: Place, test_id: int) -> None:
    eventually("the hook waits", place.node.seen.exists)
    eventually("it is building", lambda: place.state(test_id)["state"] == "building")


def _running(place: Place, test_id: int) -> None:
    eventually("it runs", lambda: place.state(test_id)["state"] == "running")
    place.node.cloud_gate.shut(after=SETTING_UP)
    eventually("a test waits for the cloud", lambda: place.node.cloud_gate.held > 0)
    assert place.state(test_id)["state"] == "running"


def _posting(place: Place, test_id: int) -> None:
    eventually("the result is on its way", place.gate.held.is_set)
    eventually("it is posting", lambda: place.state(test_id)["state"] == "posting")


def _accepted(place: Place, test_id: int) -> None:
    eventually("the result's answer is held", place.gate.held.is_set)
    assert place.state(test_id)["state"] == "finished"


def _cleaning(place: Place, test_id: int) -> None:
    _running(place, test_id)
    place.api.post(f"/v1/runs/{test_id}/cancel")
    eventually("it is cancelled", lambda: place.state(test_id)["state"] == "cancelled")
    eventually("the clean-up works", lambda: _cleans(place))
    held = place.node.cloud_gate.held
    eventually("the clean-up waits for the cloud", lambda: place.node.cloud_gate.held > held or _cleaner_waits(place))


def _cleans(place: Place) -> bool:
    return any(b"--cleanup-only" in _command(pid) for pid in place.node.pids())


def _cleaner_waits(place: Place) -> bool:
    """A process of the clean-up has a connection to the cloud, which holds it."""
    return any(
        b"--cleanup-only" in _command(pid)
        and any(b"socket:" in bytes(_link(fd)) for fd in Path(f"/proc/{pid}/fd").glob("*"))
        for pid in place.node.pids()
    )


def _link(path: Path) -> bytes:
    try:
        return str(path.readlink()).encode()
    except OSError:
        return b""


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_claim(path: str) -> bool:
    return re.search(r"/attempts/1/claim$", path) is not None


def _is_result(path: str) -> bool:
    return path.startswith("/post-result") and re.search(r"[?&]attempt=1(&|$)", path) is not None


def _hold_hook(place: Place) -> None:
    place.node.seen.unlink(missing_ok=True)
    place.node.hold.touch()


STEPS = (
    Step("queued", "the node is paused; gearmand has the job", lambda p: _pause(p), _queued),
    Step(
        "claimed",
        "the server has granted the claim; its answer is held back",
        lambda place: place.gate.hold(Hold(_is_claim, answered=True)),
        _claimed,
        is_let_go=True,
    ),
    Step("building", "a hook in `pre-run.d` waits", _hold_hook, _building),
    Step("running", "the cloud holds one of Tempest's requests", _nothing, _running),
    Step(
        "posting",
        "the result is held on its way to the server",
        lambda place: place.gate.hold(Hold(_is_result, answered=False)),
        _posting,
    ),
    Step(
        "accepted",
        "the server has accepted the result; its answer is held back",
        lambda place: place.gate.hold(Hold(_is_result, answered=True)),
        _accepted,
    ),
    Step("cleaning", "the run was cancelled; the cloud holds a request of the clean-up", _nothing, _cleaning),
)


def _pause(place: Place) -> None:
    control_socket.ask(place.node.control, "pause")
    eventually("the node is paused", lambda: not place.node.ask("status")["accepting"])
