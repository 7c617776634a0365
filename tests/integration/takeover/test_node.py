"""A node and a queue of before the move: the worker delivers the spool, releases what was cut off, takes the job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.contract import envelope, keys
from tests.support.processes import Gearmand, eventually
from tests.support.takeover import DATA, OldNode, OldServer, read_json, unpack
from tests.support.wheel_files import make_version


@pytest.fixture
def gearmand(tmp_path: Path) -> Iterator[Gearmand]:
    unpack("gearmand.sqlite.gz", tmp_path / "gearmand.sqlite")
    made = Gearmand(tmp_path)
    yield made
    made.end()


@pytest.fixture
def server(tmp_path: Path, gearmand: Gearmand) -> Iterator[OldServer]:
    path = unpack("ledger.sqlite.gz", tmp_path / "ledger.sqlite")
    made = OldServer(tmp_path, "sqlite", f"sqlite:///{path}", gearmand.port)
    assert made.command("db", "upgrade").returncode == 0
    made.start()
    yield made
    made.end()


def test_the_payload_opens_with_the_keys_of_then(server: OldServer) -> None:
    folder = server.folder / "keys"
    opener = envelope.Opener(keys.load_seal_private(folder / "fleet.key"), keys.load_sign_public(folder / "sign.pub"))
    payload = opener.open((DATA / "job.sealed").read_bytes())
    assert (payload.test_id, payload.attempt, payload.callback) == (7, 1, server.facts["address"])
    assert payload.conf_json["identity"]["password"] == server.facts["password"]
    assert (payload.tempest_version, payload.concurrency, payload.timeout) == ("47.0.0", 2, 600)
    assert payload.testcases is not None
    assert payload.testcases.to_json() == {"names": ["tempest.api.identity"], "regexes": ["smoke"]}


def test_a_node_delivers_its_spool_and_takes_the_job_from_the_queue(server: OldServer, tmp_path: Path) -> None:
    runs = read_json("facts.json")["runs"]
    make_version(tmp_path / "locks", "47.0.0")
    node = OldNode(tmp_path, server, tmp_path / "locks")
    program = node.start()

    def delivered() -> bool:
        assert program.process.poll() is None, program.text()
        return not list(node.state.glob("spool/*/entry.json")) and not list(node.state.glob("held/*.json"))

    eventually(lambda: f"spool and notes are empty\n{program.text()[-6000:]}", delivered)
    result = server.get(f"/v1/runs/{runs['result in the spool']}")
    assert (result["state"], result["counts"]) == ("finished", {"passed": 19, "failed": 5, "skipped": 1})
    report = server.get(f"/v1/runs/{runs['report in the spool']}")
    assert (report["state"], report["reason"], report["message"]) == ("failed", "cloud", "the cloud answered 401")
    for name in ("release in the spool", "noted"):
        first = server.get(f"/v1/runs/{runs[name]}/attempts")["attempts"][0]
        assert (first["outcome"], first["worker"]) == ("released", "node-1"), name

    def run_from_the_queue() -> bool:
        return server.get(f"/v1/runs/{runs['in the queue']}")["state"] in ("failed", "finished", "cancelled")

    eventually(lambda: f"the job of then ends\n{program.text()[-6000:]}", run_from_the_queue)
    ended = server.get(f"/v1/runs/{runs['in the queue']}")
    # the cloud of the fixture does not exist, and that is how far a run of it comes
    assert (ended["state"], ended["reason"], ended["worker"]) == ("failed", "cloud", "node-1"), ended
    assert server.facts["password"] not in program.text()
