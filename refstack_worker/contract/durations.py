"""How long tests took in earlier runs, as the server tells a node: ``{"durations": {CLASS: {TEST: SECONDS}}}``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

MAX_TESTS = 4000
"""More are not sent: a run is balanced by the longest, and the reply stays below 256 KiB."""


def durations_body(durations: Mapping[str, float]) -> dict[str, Any]:
    """Return the reply for seconds by test name; of too many tests the longest."""
    longest = sorted(durations.items(), key=lambda item: -item[1])[:MAX_TESTS]
    classes: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for name, seconds in longest:
        group, _, test = name.rpartition(".")
        classes[group][test] = round(seconds, 2)
    return {"durations": classes}


def read_durations(body: Mapping[str, Any]) -> dict[str, float]:
    """Return seconds by test name. :raises ValueError: the reply has another form."""
    classes = body.get("durations")
    if not isinstance(classes, dict) or not all(isinstance(tests, dict) for tests in classes.values()):
        raise ValueError("not an object of classes to tests")
    named = {f"{group}.{test}": seconds for group, tests in classes.items() for test, seconds in tests.items()}
    if len(named) > MAX_TESTS or not all(map(_is_duration, named.values())):
        raise ValueError(f"not seconds of at most {MAX_TESTS} tests")
    return {name: float(seconds) for name, seconds in named.items()}


def _is_duration(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0
