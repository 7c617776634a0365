"""Changes of runs: each once, in order, and again for who comes back."""

from __future__ import annotations

from typing import Any

from refstack_worker.server.serving.changes import KEPT, Changes


def row(test_id: int, revision: int, at: float) -> dict[str, Any]:
    return {"test_id": test_id, "revision": revision, "updated_at": at}


def test_each_change_is_told_once_though_it_is_asked_for_again() -> None:
    changes = Changes(100.0)
    changes.take([row(1, 1, 99.5), row(2, 1, 101.0)])
    last = changes.last
    changes.take([row(2, 1, 101.0), row(1, 2, 101.0)])
    assert [change["test_id"] for _, change in changes.after(last)] == [1]
    assert [change["revision"] for _, change in changes.after(0)] == [1, 1, 2]
    assert changes.asked_from == 99.0


def test_what_is_older_than_the_stream_is_not_told() -> None:
    changes = Changes(100.0)
    changes.take([row(1, 1, 50.0)])
    assert changes.after(0) == []


def test_numbers_grow_with_the_time_and_few_changes_are_kept() -> None:
    changes = Changes(100.0)
    changes.take(row(number, 1, 100.0) for number in range(KEPT + 5))
    numbers = [number for number, _ in changes.kept]
    assert numbers == sorted(set(numbers)) and len(numbers) == KEPT
    assert numbers[-1] >= 100_000
