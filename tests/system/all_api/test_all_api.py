"""A short run on the small cloud is followed, and its result read in every form."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tests.support.standalone import TEMPEST, standalone
from tests.system.all_api.__main__ import carry_out
from tests.system.execute_test.conftest import Cloud, cloud

__all__ = ["cloud"]

TESTS = ["tempest.api.object_storage.test_account_services", "tempest.api.object_storage.test_container_sync"]
"""Those of the second one are skipped: a second cluster is missing."""


def test_progress_console_result_page_and_exports_agree(cloud: Cloud, tmp_path: Path) -> None:
    given = Namespace(tempest=TEMPEST, tests=TESTS, concurrency=1, minutes=10, words=[])
    with standalone(tmp_path) as queue:
        page, wrong = carry_out(cloud, queue, given, tmp_path)
    assert wrong == []
    assert "| object_storage | " in page and "| junit | " in page and "| page | " in page
