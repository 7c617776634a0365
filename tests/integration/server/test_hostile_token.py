"""A hostile token for a few seconds: nodes are heard, and another vendor is served. The long form is
``tests/bench/run hostile``; its figures are kept in ``docs/results/hostile.json``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import hostile


@pytest.mark.parametrize("processes", [1, 4])
def test_one_token_stops_nobody_else(tmp_path: Path, processes: int) -> None:
    with hostile.site(tmp_path, nodes=10, processes=processes) as site:
        found = hostile.measure(site, seconds=8, connections=24, beat=0.5)
        assert site.process.poll() is None
    assert not found.wrong, found.wrong
    # every node was heard throughout, and every kind of attack was tried
    assert len(found.heartbeats) >= 20 and len(found.calls) >= 4
    assert len({name.partition(":")[0] for name in found.attacks}) == 20
    assert not [name for name in found.attacks if name.endswith((": 500", ": 502"))], found.attacks
