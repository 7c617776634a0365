"""The units, as this machine's systemd reads them (Debian 12 has the oldest that is supported)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted(path for path in SYSTEMD.iterdir() if path.suffix in (".service", ".socket", ".timer"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_no_key_is_unknown_or_misplaced(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if str(SYSTEMD) in line]
    assert complaints == []


def test_a_reload_checks_the_settings_first() -> None:
    lines = (SYSTEMD / "refstack-worker.service").read_text().splitlines()
    reloads = [line for line in lines if line.startswith("ExecReload=")]
    assert reloads[0] == "ExecReload=+/usr/bin/refstack-worker config check" and "kill -HUP" in reloads[1]
