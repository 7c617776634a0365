"""The command line goes through what vendors and operators once stumbled over, in a client installed as README has it.

``pip install .`` in a virtualenv of its own: without the server's part, without ``refstack.cfg``, in another folder.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from refstack_worker.server.domain.runs import RunQuery
from tests.support.processes import TOP, Answer, eventually
from tests.system.web.site import PROGRAM, Site, furnish, serving

WIDTH = 100
"""Columns of a terminal of the default width."""


@dataclass(frozen=True)
class Client:
    """An installed client, and a user in front of it."""

    program: Path
    site: Site
    folder: Path

    def call(self, who: str, *words: str, **more: str) -> Answer:
        """Run ``refstack-queue`` to its end."""
        place, environment = self.setting(who)
        done = subprocess.run(
            [self.program, *words], capture_output=True, text=True, cwd=place, env={**environment, **more}
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def on_a_terminal(self, who: str, *words: str) -> str:
        """Return what it prints on a terminal of :data:`WIDTH` columns."""
        place, environment = self.setting(who)
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
        with os.fdopen(ours, "rb", buffering=0) as screen:
            running = subprocess.Popen(
                [self.program, *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=place, env=environment
            )
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # the other side is closed
                while data := screen.read(65536):
                    shown += data
            assert running.wait(60) == 0, shown
        return shown.decode().replace("\r\n", "\n")

    def setting(self, who: str) -> tuple[Path, dict[str, str]]:
        """Return an empty folder and an environment with nothing but address and token."""
        token = self.folder / f"token-of-{who}"
        token.touch(mode=0o600)
        token.write_text(self.site.tokens[who])
        known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        access = {"REFSTACK_URL": self.site.url, "REFSTACK_TOKEN_FILE": str(token), "HOME": str(self.folder)}
        place = self.folder / "elsewhere"
        place.mkdir(exist_ok=True)
        return place, {**known, **access}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``refstack-queue`` of the files as they are here."""
    folder = tmp_path_factory.mktemp("client")
    clone, kept = folder / "clone", ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in filter(None, subprocess.check_output(kept, cwd=TOP, text=True).split("\0")):
        if (TOP / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, clone / name)
    subprocess.run([sys.executable, "-m", "venv", folder / "v"], check=True)
    install = [folder / "v" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "."]
    subprocess.run(install, check=True, cwd=clone, env={**os.environ, "PBR_VERSION": "0.1.0"})
    return folder / "v" / "bin" / "refstack-queue"


@pytest.fixture
def client(program: Path, tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path) as site:
        yield Client(program, site, tmp_path)


def width(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_the_first_screen_and_completion_are_clean(client: Client) -> None:
    for words in (("--help",), ("help",), ("complete",), *(("complete", shell) for shell in ("bash", "zsh", "fish"))):
        told = client.call("ann", *words)
        assert told.status == 0 and told.err == "", (words, told.err)
        assert "Could not load" not in told.out and "create" in told.out
    for shell in ("bash", "zsh", "fish"):
        script = client.folder / f"completion.{shell}"
        script.write_text(client.call("ann", "complete", shell).out)
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(script)], check=True)


def test_an_operator_works_from_anywhere(client: Client) -> None:
    furnish(client.site)
    made = client.call("operator", "token", "create", "CI", "--user", "ann", "-f", "json").json()
    assert client.site.ledger.tokens.find(made["token"])
    nodes = client.call("operator", "worker", "list", "-f", "json").json()
    assert {one["Node"] for one in nodes} == {"node-a.fra", "node-b.fra", "node-c.ams"}
    paused = client.call("operator", "pause", "--reason", "new disks")
    assert paused.status == 0 and "the queue is paused" in paused.out
    status = client.call("operator", "status", "-f", "json").json()
    assert status["paused"] and status["pause_reason"] == "new disks" and status["nodes"] == 3
    resumed = client.call("operator", "resume")
    assert resumed.status == 0 and resumed.out.strip()
    revoked = client.call("operator", "token", "revoke", str(made["id"]))
    assert revoked.status == 0 and "revoked" in revoked.out
    assert client.site.ledger.tokens.find(made["token"]) is None


@pytest.mark.parametrize("words", [("token", "create", "x"), ("run", "list"), ("whoami",)])
def test_a_column_that_is_not_there_is_no_fault_of_the_program(client: Client, words: tuple[str, ...]) -> None:
    before = len(client.site.ledger.tokens.all())
    told = client.call("ann", *words, "-c", "secret")
    assert told.status == 2 and "fault of this program" not in told.err and "unexpected" not in told.err.lower()
    assert len(told.err.splitlines()) == 1
    assert len(client.site.ledger.tokens.all()) == before


def test_a_dash_is_standard_output(client: Client) -> None:
    ids = furnish(client.site)
    told = client.call("ann", "run", "export", str(ids["judged"]), "junit", "-")
    assert told.status == 0 and told.out.startswith("<?xml") and told.out.count("<failure") == 4
    assert list((client.folder / "elsewhere").iterdir()) == []


def test_a_cloud_is_called_by_its_name(client: Client) -> None:
    ids = furnish(client.site)
    named = ("--cloud", "acme public, frankfurt")
    listed = client.call("ann", "run", "list", *named, "-f", "json").json()
    assert len(listed) == 10
    checked = client.call("ann", "run", "create", *named, "--tempest-version", "47.0.0", "--check", "-f", "json").json()
    assert "all tests" in checked["outlook"]
    shown = client.call("ann", "cloud", "show", named[1], "-f", "json").json()
    assert shown["id"] == ids["cloud"]


def test_a_run_that_is_started_says_where_it_is(client: Client) -> None:
    furnish(client.site)
    words = ("run", "create", "--cloud", "acme public, frankfurt", "--tempest-version", "47.0.0", "--label", "short")
    started = client.on_a_terminal("ann", *words)
    assert "/runs/11" in started and "1 run ahead" in started and "short" in started
    assert width(started) <= WIDTH and len(started.splitlines()) < 12, started
    assert len(client.call("ann", *words, "-f", "json").json()) > 20
    cancelled = client.on_a_terminal("ann", "run", "cancel", "11")
    assert "cancelled" in cancelled and len(cancelled.splitlines()) < 12, cancelled


def test_a_run_is_watched_with_its_page_and_has_advisory_tests(client: Client) -> None:
    furnish(client.site)
    ledger = client.site.ledger
    words = ["run", "create", "--cloud", "acme public, frankfurt", "--guideline", "2026.06", "--program", PROGRAM]
    words += ["--advisory", "--tempest-version", "47.0.0", "--label", "watched", "--watch"]
    told: list[Answer] = []
    watcher = threading.Thread(target=lambda: told.append(client.call("ann", *words)))
    watcher.start()
    (run,) = eventually("it is recorded", lambda: ledger.runs.find(RunQuery(text="watched")))
    ledger.runs.cancel(run.test_id, "ann")
    watcher.join(60)
    (answer,) = told
    assert answer.status == 9 and f"/runs/{run.test_id}" in answer.out.splitlines()[0], answer


def test_lists_are_readable(client: Client) -> None:
    ids = furnish(client.site)
    listed = client.on_a_terminal("ann", "run", "list")
    assert width(listed) <= WIDTH, listed
    for said in ("Tests failed", "4 of 24 failed", "9/24, 1 failed", "20 h ago", "20/24"):
        assert said in listed, f"{said}\n{listed}"
    assert max(map(len, listed.split())) > len("Certificatio"), "words are not broken"
    head = next(line for line in listed.splitlines() if "Id" in line)
    assert all(name in head for name in ("Status", "Cloud", "Program", "Tests"))
    rows = list(csv.DictReader(io.StringIO(client.call("ann", "run", "list", "-f", "csv").out)))
    assert not [row for row in rows if re.search(r"\d\.\d", row["Created"])]
    assert {"Owner", "Seconds", "Program", "Verdict", "Cloud"} <= set(rows[0])
    shown = client.on_a_terminal("ann", "run", "show", str(ids["judged"]))
    assert shown.count("id-0000") <= 10 and "more ('-f json' shows all)" in shown
    assert width(shown) <= WIDTH, shown
    whole = client.call("ann", "run", "show", str(ids["judged"]), "-f", "json").json()
    assert len(whole["testcases"]["names"]) == 24 and whole["url"].endswith(f"/runs/{ids['judged']}")
    assert json.dumps(whole["verdict"])
