"""Prometheus's own tool reads the alert rules, and raises each alert when it should and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
RULES = TOP / "packaging" / "monitoring" / "refstack-alerts.yml"
CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE", Path.home() / ".cache" / "refstack-worker-tests"))


@pytest.fixture(scope="session")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's promtool, taken out of its package: installing it would start a Prometheus."""
    found = shutil.which("promtool")
    if found:
        return found
    kept = CACHE / "promtool"
    if not kept.exists():
        folder = tmp_path_factory.mktemp("prometheus")
        subprocess.run(["apt-get", "-qq", "download", "prometheus"], cwd=folder, check=True, timeout=300)
        (package,) = folder.glob("prometheus_*.deb")
        subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True, timeout=300)
        CACHE.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "usr" / "bin" / "promtool", kept)
    return str(kept)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_rules_are_right(promtool: str) -> None:
    checked = run(promtool, "check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_raised_by_its_trouble(promtool: str, tmp_path: Path) -> None:
    cases = tmp_path / "alerts.test.yml"
    cases.write_text(Path(__file__).with_name("alerts.test.yml").read_text().replace("RULES", str(RULES)))
    tested = run(promtool, "test", "rules", str(cases))
    assert tested.returncode == 0, tested.stdout + tested.stderr
