"""Node and server count any stream alike; so do the verdict and the exports made of it."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.count_streams import compare


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_any_stream_has_the_same_counts_on_node_and_server(tmp_path: Path, seed: int) -> None:
    compare(random.Random(seed), tmp_path)
