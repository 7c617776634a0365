"""HTTPS with a private authority to the RefStack server, for each of the three that talk to it.

The right authority works, another does not, and the usual variable of the environment changes neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.cli.api_client import Access, Api
from refstack_worker.errors import ServerError
from tests.integration.worker.conftest import Node
from tests.support import processes
from tests.support.certificate_authority import Authority, https_in_front
from tests.support.processes import eventually, free_port

TOP = processes.TOP


@pytest.fixture
def https(scratch: Path, ours: Authority, server) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """The workers' server behind HTTPS."""
    with https_in_front(scratch, ours, free_port(), int(server.url.rpartition(":")[2])) as url:
        yield url


def test_a_worker_with_the_right_authority_carries_out_its_run(node: Node, https: str, ours: Authority) -> None:
    node.start(server={"urls": [https], "ca_file": str(ours.pem)})
    attempt = node.submit(1, "pass", callback=https)
    eventually(lambda: f"finished: {node.log()}", lambda: attempt.state == "finished")


def test_a_worker_with_another_authority_says_nothing_to_the_server(
    node: Node, https: str, strangers: Authority, server
) -> None:  # type: ignore[no-untyped-def]
    node.start(server={"urls": [https], "ca_file": str(strangers.pem), "timeout": 5.0, "patience": 1.0})
    attempt = node.submit(1, "pass", callback=https)
    eventually(lambda: f"refused: {node.log()}", lambda: "its certificate is not trusted" in node.log())
    assert (attempt.claims, attempt.states, server.calls) == (0, [], [])
    said = node.command("doctor", "-f", "json").stdout
    assert "untrusted certificate" in said


def test_the_environments_authorities_do_not_take_the_place_of_the_configured_one(
    node: Node, https: str, ours: Authority, strangers: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # requests takes REQUESTS_CA_BUNDLE before a session's own setting
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(strangers.pem))
    node.start(server={"urls": [https], "ca_file": str(ours.pem)})
    attempt = node.submit(1, "pass", callback=https)
    eventually(lambda: f"finished: {node.log()}", lambda: attempt.state == "finished")


def execute_test(https: str, authority: Authority, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "token").write_text("x" * 43)
    (folder / "token").chmod(0o600)
    home = folder / "tempest" / "bin"
    home.mkdir(parents=True)
    (home / "tempest").write_text("#!/bin/sh\nexit 1\n")
    (home / "tempest").chmod(0o755)
    words = [
        sys.executable,
        str(TOP / "refstack_worker" / "execute_test"),
        "--callback",
        https,
        "7",
        "--attempt",
        "1",
    ]
    words += ["--token-file", str(folder / "token"), "--conf_json", "{}", "--tempest_home", str(home.parent)]
    words += ["--ca-file", str(authority.pem), "--patience", "1", "--workdir", str(folder / "work"), "--post-only"]
    words += [str(folder / "result")]
    (folder / "result").mkdir()
    (folder / "result" / "subunit").write_bytes(b"\xb3 a stream")
    (folder / "result" / "summary.json").write_text(json.dumps({"exit_code": 0, "test_id": 7, "attempt": 1}))
    env = {**os.environ, "REQUESTS_CA_BUNDLE": "/nowhere"}
    return subprocess.run(words, capture_output=True, text=True, env=env, timeout=120)


def test_execute_test_posts_to_the_right_authority_and_to_no_other(
    https: str, ours: Authority, strangers: Authority, server, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    attempt = server.expect(7, 1, "x" * 43)
    (tmp_path / "a").mkdir()
    done = execute_test(https, strangers, tmp_path / "a")
    assert (done.returncode, attempt.results) == (5, []), done.stderr
    assert "certificate" in done.stderr
    (tmp_path / "b").mkdir()
    done = execute_test(https, ours, tmp_path / "b")
    assert (done.returncode, len(attempt.results)) == (0, 1), done.stderr


def test_refstack_queue_asks_the_right_authority_and_no_other(
    tmp_path: Path, scratch: Path, ours: Authority, strangers: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with processes.site("embedded", tmp_path / "site", "") as site:
        behind = int(site.url.rpartition(":")[2])
        with https_in_front(scratch, ours, free_port(), behind) as url:
            words = ("--url", url, "run", "list", "-f", "json")
            answer = site.queue("--ca-file", str(strangers.pem), *words)
            assert answer.status == 8 and "certificate" in answer.err.lower(), answer
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(strangers.pem))
            assert site.queue("--ca-file", str(ours.pem), *words).json() == []
            monkeypatch.delenv("REQUESTS_CA_BUNDLE")
            token = site.token.read_text().strip()
            with pytest.raises(ServerError, match="(?i)certificate"), Api(Access(url, token)) as api:
                api.post("/v1/runs", {})
