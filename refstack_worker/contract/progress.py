"""How far a run is, in tests: an event of ``execute_test``, a part of each heartbeat, and a fact in the ledger.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from refstack_worker.contract.limits import MAX_COUNT
from refstack_worker.contract.messages import clean_line


@dataclass(frozen=True)
class Progress:
    """How many tests have ended."""

    total: int = 0
    """Tests selected; 0 while it is not known."""
    done: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds_left: int | None = None
    """Estimate; None while there is none."""
    test: str = ""
    """The test that ended last."""

    @classmethod
    def from_json(cls, value: Any) -> Progress:
        """Return the progress in a JSON object; fields that are missing, null or unknown are left out.

        :raises ValueError: it is not an object, or a field has the wrong type or is out of range.
        """
        if not isinstance(value, Mapping):
            raise ValueError("progress: not a JSON object")
        given = {each.name: value[each.name] for each in fields(cls) if value.get(each.name) is not None}
        test = given.pop("test", "")
        if not isinstance(test, str):
            raise ValueError("progress: test: a string is expected")
        numbers = {name: _count(name, number) for name, number in given.items()}
        left = numbers.pop("seconds_left", 0) or None
        return cls(**numbers, seconds_left=left, test=clean_line(test))

    def to_json(self) -> dict[str, Any]:
        """Return it as heartbeats and the API carry it: ``seconds_left`` is 0 while there is no estimate."""
        return {**asdict(self), "seconds_left": self.seconds_left or 0}


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"progress: {name}: a number from 0 to {MAX_COUNT} is expected")
    return int(value)
