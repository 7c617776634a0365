"""A real Keystone with a real Swift, and a virtualenv with a real Tempest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "installer"))

from democloud import software  # noqa: E402 - the installer is no package of the project
from democloud.cloud import Cloud, Options, default_cache  # noqa: E402
from democloud.ports import CloudError  # noqa: E402

from refstack_worker import execute_test_program  # noqa: E402

__all__ = ["Cloud", "CloudError", "Options", "software"]

LIMIT_SECONDS = 300.0


def cache_folder() -> Path:
    """Where downloads are kept between test runs."""
    kept = os.environ.get("REFSTACK_TEST_CACHE")
    return Path(kept) / "cloud" if kept else default_cache()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud that all tests share; a test that changes it starts its own."""
    with Cloud(tmp_path_factory.mktemp("cloud"), Options(cache_folder(), say=print)) as running:
        yield running


def tempest_requirements() -> Path:
    """What the virtualenv of these tests holds."""
    return Path(__file__).with_name("tempest.txt")


@pytest.fixture(scope="session")
def tempest_home() -> Path:
    """A virtualenv with Tempest."""
    return software.virtualenv(cache_folder(), "tempest", [tempest_requirements()], print)


@dataclass
class Ran:
    """A finished call of execute_test."""

    code: int
    events: list[dict[str, Any]]
    workdir: Path
    stderr: str

    @property
    def end(self) -> dict[str, Any]:
        """The last event."""
        return self.events[-1]

    @property
    def messages(self) -> list[str]:
        """The messages beside progress."""
        return [event["text"] for event in self.events if event["event"] == "message"]

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says."""
        told: dict[str, Any] = json.loads((self.workdir / "summary.json").read_text())
        return told


@dataclass
class Caller:
    """Calls execute_test as a worker does: the secret in a file, everything below one folder."""

    folder: Path
    tempest_home: Path
    program: Path
    """The one file that is built of its modules."""
    env: dict[str, str] = field(default_factory=dict)
    limit: float = LIMIT_SECONDS
    """Seconds until a call is given up."""

    def words(self, conf: dict[str, Any], *more: str) -> list[str]:
        """The command line; the configuration goes into a file."""
        path = self.folder / "conf.json"
        path.write_text(json.dumps(conf))
        home = str(self.tempest_home)
        workdir = str(self.folder / "work")
        return [sys.executable, str(self.program), "--conf_json", f"@{path}", "--tempest_home", home,
                "--workdir", workdir, "--progress", "json", "--resource-prefix", "refstack-7-2", *more]  # fmt: skip

    def start(self, conf: dict[str, Any], *more: str) -> subprocess.Popen[str]:
        """Start it."""
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder / "nobodys-home"), **self.env}
        return subprocess.Popen(
            self.words(conf, *more), cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self, process: subprocess.Popen[str]) -> Ran:
        """Wait for its end."""
        out, err = process.communicate(timeout=self.limit)
        return Ran(process.returncode, [json.loads(line) for line in out.splitlines()], self.folder / "work", err)

    def run(self, conf: dict[str, Any], *more: str) -> Ran:
        """Run it to its end."""
        return self.finish(self.start(conf, *more))


@pytest.fixture
def caller(tmp_path: Path, tempest_home: Path) -> Caller:
    """Calls execute_test in a fresh folder."""
    program = tmp_path / "execute_test"
    program.write_text(execute_test_program.script())
    return Caller(tmp_path, tempest_home, program)
