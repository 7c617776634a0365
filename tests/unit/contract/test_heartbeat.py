"""The heartbeat and its answer, as worker and server use them."""

from __future__ import annotations

import pytest

from refstack_worker.contract.heartbeat import HeartbeatAnswer, HeartbeatReply, heartbeat_body, interval
from refstack_worker.contract.progress import Progress


@pytest.mark.parametrize("reply", HeartbeatReply)
def test_what_the_server_writes_the_worker_reads(reply: HeartbeatReply) -> None:
    answer = HeartbeatAnswer(reply, "superseded", 0.5)
    assert answer.to_json() == {"order": reply.value, "reason": "superseded", "heartbeat_seconds": 0.5}
    assert HeartbeatAnswer.from_json(answer.to_json()) == answer


@pytest.mark.parametrize("order", [None, "jump", 3, ["go"], {}])
def test_unknown_order(order: object) -> None:
    with pytest.raises(ValueError, match="HeartbeatReply"):
        HeartbeatAnswer.from_json({"order": order})


@pytest.mark.parametrize(
    ("seconds", "bounded"),
    [(0, 0.05), (-3, 0.05), (10**9, 600.0), ("x", 2.0), (True, 2.0), (None, 2.0), (float("nan"), 2.0), (7, 7.0)],
)
def test_interval_is_bounded(seconds: object, bounded: float) -> None:
    assert interval({"heartbeat_seconds": seconds}) == bounded


def test_what_the_worker_sends() -> None:
    body = heartbeat_body("claim-id", "node-1", Progress(total=3, done=1))
    assert set(body) == {"claim", "worker", "progress"}
    assert Progress.from_json(body["progress"]) == Progress(total=3, done=1)
