"""The small cloud's worst moments and its two runs side by side (``python -m tests.system.interrupted`` does all)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.interrupted.moments import SMALL_MOMENTS, SMALL_TESTS, Moment
from tests.system.interrupted.trial import Trial, trial

KILLED = [moment for moment in SMALL_MOMENTS if moment.name in ("kill-containers", "kill-cleanup")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with trial(tmp_path_factory.mktemp("interrupted"), is_small=True) as running:
        yield running


@pytest.mark.parametrize("moment", KILLED, ids=lambda moment: moment.name)
def test_a_killed_worker_leaves_nothing_in_the_cloud(made: Trial, moment: Moment) -> None:
    report = made.cut_short(moment, SMALL_TESTS)
    assert report["had"]["projects"] and report["wrong"] == ""


def test_the_run_beside_one_that_is_cancelled_passes_all_its_tests(made: Trial) -> None:
    report = made.side_by_side(SMALL_TESTS)
    assert report["had"]["containers"] and report["wrong"] == ""
