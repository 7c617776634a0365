"""Which system tests every change has to pass, and which only ``tests/run full`` runs.

All of them take about an hour on 2 cores. For every change the main way of each part is run: the demo, ``execute_test``
on a real cloud, the whole OpenStack, the worst faults in the middle of a run, the page in a browser, a booted bare
Debian 12 that becomes a node and is bare again, installation on one from the signed repository.
"""

from __future__ import annotations

import os

import pytest

FOR_EVERY_CHANGE = (
    "tests/system/test_demo.py",
    "tests/system/execute_test/",
    "tests/system/cloud/",
    "tests/system/faults/",
    "tests/system/installer/test_bare_node.py::test_a_bare_machine_becomes_a_node_and_is_bare_again",
    "tests/system/web/test_browser.py",
    "tests/system/packages/test_install.py",
)
NOT_FOR_EVERY_CHANGE = (
    "[trixie]",
    "::test_tests_of_a_guideline_are_run_by_id",
    "test_axe_finds_nothing_serious_and_nothing_scrolls_sideways[light-narrow]",
    "test_axe_finds_nothing_serious_and_nothing_scrolls_sideways[dark-wide]",
    "test_run_outlives_the_fault[worker-stop-posting]",
    "test_run_outlives_the_fault[black-hole-running]",
    "test_run_outlives_the_fault[api-garbage-accepted]",
    "test_run_outlives_the_fault[two-monitors-claimed]",
)
"""Ends of the names of tests among those whose like every change has to pass."""
LONGEST = "packages/test_install.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the full run does, unless it was asked for or named on the command line."""
    named = config.args != ["tests/system"]
    if named or os.environ.get("REFSTACK_TEST_FULL"):
        return
    config.hook.pytest_deselected(items=[item for item in items if not for_every_change(item)])
    # the longest first: packages are built for it
    items[:] = sorted(filter(for_every_change, items), key=lambda item: LONGEST not in item.nodeid)


def for_every_change(item: pytest.Item) -> bool:
    return item.nodeid.startswith(FOR_EVERY_CHANGE) and not item.nodeid.endswith(NOT_FOR_EVERY_CHANGE)
