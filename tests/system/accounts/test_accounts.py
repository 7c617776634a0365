"""The required tests of a guideline with what vendors have, and with plain Tempest and the same accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.standalone import guideline_file
from tests.system.accounts import people
from tests.system.accounts.comparison import Comparison, trouble
from tests.system.accounts.programs import STORAGE
from tests.system.accounts.situations import Crowd, Situation
from tests.system.execute_test.conftest import Cloud, cloud, tempest_home

__all__ = ["cloud", "tempest_home"]

CROWD = Crowd()


@pytest.fixture(scope="module")
def tests(cloud: Cloud) -> list[str]:
    """The required tests; the people are in the cloud."""
    required = STORAGE.required_tests(guideline_file())
    people.create(cloud, CROWD.everybody())
    return required


@pytest.mark.parametrize("situation", CROWD.situations(), ids=lambda one: one.name)
def test_the_same_as_plain_tempest(
    situation: Situation, cloud: Cloud, tempest_home: Path, tests: list[str], tmp_path: Path
) -> None:
    compared = Comparison(STORAGE, cloud, tempest_home, tmp_path).compare(situation, tests)
    assert trouble(compared) == []
    assert len(compared.plain) == len(tests)
