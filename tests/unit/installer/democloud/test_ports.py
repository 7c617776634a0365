"""Ports for the services of a test cloud."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.processes import TOP

from democloud import ports  # isort: skip - found by what is imported above

ALL_OF = """
import sys
sys.path.insert(0, sys.argv[1])
from democloud import ports
ports.PORTS = range(int(sys.argv[2]), int(sys.argv[3]))
print(*ports.free(1))
"""


def test_no_port_is_chosen_twice_by_clouds_that_start_together(monkeypatch: pytest.MonkeyPatch) -> None:
    three = sorted(ports.free(3))
    few = range(three[0], three[0] + 40)
    monkeypatch.setattr(ports, "PORTS", few)
    mine = {port for port in few if port in three}
    mine |= set(ports.free(10))
    words = [sys.executable, "-c", ALL_OF, str(TOP / "installer"), str(few.start), str(few.stop)]
    others = {int(subprocess.run(words, capture_output=True, check=True).stdout) for _ in range(10)}
    assert others <= set(few) - mine
