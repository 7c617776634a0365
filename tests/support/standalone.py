"""``refstack-queue standalone`` with its own worker, as one who tries it starts it, and the commands beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.api_client import Access, Api
from tests.support.processes import Answer, Program, eventually
from tests.support.tempests import TOP, locked

TEMPEST = "47.0.0"
INTEROP = os.environ.get("REFSTACK_TEST_INTEROP", "")
"""Folder with interop guidelines as their working group publishes them, ``2020.06.json``; no part of the project."""
GUIDELINE = "2020.06"
POWERED_STORAGE = "OpenStack Powered Storage"
CLOUDS_HERE = 'CLOUD_NETWORKS = "127.0.0.0/8"\n'


def guideline_file() -> Path:
    """Return the file of the guideline 2020.06; skips the test where it is not given."""
    if not INTEROP:
        pytest.skip("needs the interop guidelines: name their folder in REFSTACK_TEST_INTEROP")
    return Path(INTEROP) / f"{GUIDELINE}.json"


@dataclass
class Standalone:
    """A running queue with its worker, and an operator's token for it."""

    folder: Path
    program: Program
    url: str
    token_file: Path

    def command(self, *words: str | Path, token_file: Path | None = None, **environment: str) -> Answer:
        """Run ``refstack-queue`` to its end, as the operator or with another token."""
        access = {"REFSTACK_URL": self.url, "REFSTACK_TOKEN_FILE": str(token_file or self.token_file)}
        done = subprocess.run(
            _queue(*words), capture_output=True, text=True, cwd=self.folder.parent,
            env={**_environment(), "REFSTACK_CFG": str(self.folder / "refstack.cfg"), **access, **environment},
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def user(self, name: str, vendor: str) -> Path:
        """Add a user with a vendor of its own; return the file of a token of that user."""
        made = self.command("vendor", "create", vendor, "-f", "json").json()
        user = self.command("user", "create", name, "--vendor", str(made["id"]), "-f", "json").json()
        token = self.command("token", "create", f"{name}'s", "--user", str(user["id"]), "-f", "json").json()["token"]
        path = self.folder.parent / f"token-of-{name}"
        path.touch(mode=0o600)
        path.write_text(token)
        return path

    def api(self, token_file: Path | None = None) -> Api:
        return Api(Access(self.url, (token_file or self.token_file).read_text().strip()))

    def logs(self) -> str:
        """Return the end of what was logged on both sides."""
        worker = self.folder / "worker.log"
        return f"{self.program.text()[-3000:]}\n{worker.read_text()[-3000:] if worker.exists() else ''}"


@contextmanager
def standalone(
    base: Path, slots: int = 1, plugins: tuple[str, ...] = (), tempest: str = TEMPEST, **environment: str
) -> Iterator[Standalone]:
    """Give a queue whose one worker can run one version of Tempest; what it starts ends with the block.

    :param plugins: what is locked beside it, as ``python-tempestconf==3.5.4``.
    """
    folder, ready = base / "queue", base / "ready"
    words = [
        "standalone",
        "--folder",
        str(folder),
        "--locks",
        str(locked(tempest, plugins=plugins)),
        "--slots",
        str(slots),
    ]
    prepared = subprocess.run(_queue(*words, "--prepare"), capture_output=True, text=True, env=_environment())
    assert prepared.returncode == 0, prepared.stderr
    with open(folder / "refstack.cfg", "a", encoding="utf-8") as settings:
        settings.write(CLOUDS_HERE)
    program = Program(_queue(*words, "--ready-file", ready), base / "standalone.log", environment)
    try:
        eventually(lambda: f"the queue is up\n{program.text()[-3000:]}", ready.exists)
        told: Mapping[str, Any] = json.loads(ready.read_text())
        made = Standalone(folder, program, told["url"], Path(told["token_file"]))
        with made.api() as api:
            eventually(lambda: f"a worker\n{made.logs()}", lambda: _is_served(api, tempest, plugins), 120)
        yield made
    finally:
        program.end()


def _is_served(api: Api, tempest: str, plugins: tuple[str, ...]) -> bool:
    ready = [node for node in api.get("/v1/nodes")["nodes"] if node["state"] == "ready"]
    # versions with plugins are not among those that a node shows
    return any(tempest in node["versions"] or plugins for node in ready)


def _queue(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "refstack_worker.cli.queue.main", *map(str, words)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1"}
