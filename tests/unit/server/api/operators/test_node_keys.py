"""A node enrols over HTTP with its own command, rotates its key, and is revoked: what it can open is what it should."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from refstack_worker.cli.worker.enrol import enrol, rotate
from refstack_worker.config import worker as config
from refstack_worker.contract import keys
from refstack_worker.contract.enrolment import MAX_LIVE_KEYS, EnrolmentToken
from refstack_worker.contract.envelope import NodeChannel, Opener
from refstack_worker.contract.limits import MAX_RUN_SECONDS
from refstack_worker.errors import KeyFileError, RefusedError, SealError, ServerError
from refstack_worker.server.app import create_app
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.worker.server_api.connection import ServerConnection
from tests.support.api_calls import token as api_token
from tests.support.ledgers import make_settings, new_run


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(ledger) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(ledger), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class EnrollingNode:
    """A node's files, and its commands."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        folder.mkdir()
        file = folder / "worker.toml"
        file.write_text(
            f'[node]\nname = "{name}"\n[server]\nurls = ["{url}"]\n'
            f'[keys]\nfleet_private = "{folder}/fleet.key"\nserver_public = "{folder}/server.pub"\n'
        )
        self.name = name
        self.settings = config.load(file)
        self.connection = ServerConnection(url, self.settings.server)

    def enrol(self, token: str, only: bool = False) -> str:
        return enrol(self.settings, self.connection, EnrolmentToken.parse(token), only)

    def rotate(self) -> str:
        return rotate(self.settings, self.connection)

    @property
    def opener(self) -> Opener:
        files = self.settings.keys
        return Opener(keys.load_seal_private(files.fleet_private), keys.load_sign_public(files.server_public))

    def speak(self) -> None:
        """Report the node's status."""
        self._report(self.opener.private, self.opener.servers)

    def speak_with(self, key: Path) -> None:
        """Report it with a key that lies elsewhere."""
        self._report(keys.load_seal_private(key), keys.load_sign_public(key.with_name("sign.pub")))

    def _report(self, private: keys.Keyring, servers: keys.Keyring) -> None:
        channel = NodeChannel.of_node(private, servers)
        status = b'{"versions": ["47.0.0"], "slots": 1, "busy": 0, "state": "ready", "software": "1", "time": %d}'
        self.connection.post(f"/worker/v1/nodes/{self.name}", channel.seal(status % self._next()), 5)

    def _next(self) -> int:
        self._time = getattr(self, "_time", 0) + 1
        return self._time


@pytest.fixture
def node(tmp_path: Path, url: str) -> EnrollingNode:
    return EnrollingNode(tmp_path / "node-1", "node-1", url)


@pytest.fixture
def token(client, operator) -> Callable[..., str]:
    def make(name: str = "node-1") -> str:
        done = client.post(f"/v1/nodes/{name}/enrolment", json={}, headers=operator)
        assert done.status_code == 201
        return str(done.json["token"])

    return make


def sealed(ledger, **settings: object) -> bytes:
    """Return the envelope of a new run."""
    queue = QueueClient(make_settings(ledger.settings.keys.sign.parent.parent, **settings))
    ledger.runs.add(new_run())
    (one,) = ledger.submissions.next()
    return queue.seal(one).envelope


def test_a_bare_node_needs_a_token_alone(ledger, node, token, client, operator) -> None:
    key = node.enrol(token())
    assert node.settings.keys.fleet_private.stat().st_mode & 0o777 == 0o600
    assert node.opener.open(sealed(ledger, SEAL_TO="nodes")).tempest_version
    node.speak()
    (shown,) = client.get("/v1/nodes", headers=operator).json["nodes"]
    assert (shown["name"], shown["key"]) == ("node-1", key) and shown["key_since"]


def test_the_fleets_key_stays_beside_it_unless_told_otherwise(ledger, node, token) -> None:
    fleet = ledger.settings.keys.fleet.with_suffix(".key")
    node.settings.keys.fleet_private.write_bytes(fleet.read_bytes())
    node.settings.keys.fleet_private.chmod(0o600)
    node.enrol(token())
    assert len(node.opener.private.keys) == 2
    node.enrol(token(), only=True)
    assert len(node.opener.private.keys) == 1
    node.speak()


def test_a_revoked_node_does_not_come_back_with_the_fleets_key(ledger, node, token) -> None:
    fleet = ledger.settings.keys.fleet.with_suffix(".key")
    node.speak_with(fleet)
    node.enrol(token())
    node.speak_with(fleet)  # before its worker reads the new key
    ledger.node_keys.revoke("node-1", "olga")
    with pytest.raises(RefusedError) as no:
        node.speak_with(fleet)
    assert no.value.reason == "revoked"
    node.enrol(token())
    node.speak()


def test_a_rotation_loses_nothing_that_is_under_way(ledger, node, token) -> None:
    first = node.enrol(token())
    under_way = sealed(ledger, SEAL_TO="nodes")
    second = node.rotate()
    assert first != second
    assert node.opener.open(under_way).test_id and node.opener.open(sealed(ledger, SEAL_TO="nodes")).test_id
    node.speak()
    for _ in range(MAX_LIVE_KEYS):
        node.rotate()
    assert len(node.opener.private.keys) == MAX_LIVE_KEYS


class AnswersAreLost:
    """A connection whose requests arrive, and whose answers do not."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def post(self, path: str, body: bytes) -> None:
        self._connection.post(path, body)
        raise ServerError("the answer did not arrive")


def rotate_and_lose_the_answer(node: EnrollingNode) -> None:
    with pytest.raises(ServerError, match="did not arrive"):
        rotate(node.settings, AnswersAreLost(node.connection))


def key_lines(node: EnrollingNode) -> list[str]:
    return node.settings.keys.fleet_private.read_text().splitlines()


def test_a_rotation_whose_answer_is_lost_can_be_repeated(ledger, node, token) -> None:
    first = node.enrol(token())
    for _ in range(3):
        rotate_and_lose_the_answer(node)
        assert len(node.opener.private.keys) == 2, "the key that was sent is sent again"
        node.speak()  # with the old key, which comes first until the server confirms the new one
    waiting = sealed(ledger, SEAL_TO="nodes")
    assert node.opener.open(waiting).test_id
    second = node.rotate()
    assert {key.id: key.state for key in ledger.node_keys.all()} == {first: "replaced", second: "active"}
    assert node.opener.private.newest[0] == second and len(key_lines(node)) == 2
    third = node.rotate()
    assert third not in (first, second)


def test_it_can_be_repeated_when_the_old_key_no_longer_speaks_for_the_node(ledger, node, token) -> None:
    node.enrol(token())
    rotate_and_lose_the_answer(node)
    ledger.clock.forward(MAX_RUN_SECONDS + 1)
    second = node.rotate()
    assert [key.id for key in ledger.node_keys.all() if key.state == "active"] == [second]
    node.speak()


def test_a_rotation_that_is_refused_leaves_the_file_as_it_was(ledger, node, token, tmp_path, url) -> None:
    node.enrol(token())
    old = shutil.copytree(tmp_path / "node-1", tmp_path / "backup")
    node.rotate()
    shutil.copy(old / "fleet.key", node.settings.keys.fleet_private)
    before = key_lines(node)
    for _ in range(2):
        with pytest.raises(RefusedError, match="was replaced before"):
            node.rotate()
        assert key_lines(node) == before


def test_a_copy_of_a_replaced_key_gets_no_command_of_the_node(ledger, node, token, tmp_path) -> None:
    """Security: the copy, from a backup of the node, would report its status and confirm what an operator asked."""
    node.enrol(token())
    shutil.copytree(tmp_path / "node-1", tmp_path / "backup")
    stolen = tmp_path / "backup" / "fleet.key"
    shutil.copy(node.settings.keys.server_public, stolen.with_name("sign.pub"))
    node.rotate()
    node.speak_with(stolen)  # as the worker does until its runs have ended
    node.speak()
    with pytest.raises(RefusedError, match="was replaced before") as no:
        node.speak_with(stolen)
    assert no.value.reason == "key"
    node.speak()


def test_rotations_of_node_and_fleet_lose_nothing_that_waits(ledger, node, token) -> None:
    """A run that waits is sealed to the fleet's key of its time; the fleet's key and the node's are rotated twice."""
    fleet = ledger.settings.keys.sign.parent
    shutil.copy(fleet / "fleet.key", node.settings.keys.fleet_private)
    shutil.copy(fleet / "sign.pub", node.settings.keys.server_public)
    waiting = [sealed(ledger)]
    keys.generate_pair("seal", fleet / "fleet.key", fleet / "fleet.pub")
    shutil.copy(fleet / "fleet.key", node.settings.keys.fleet_private)
    waiting.append(sealed(ledger))
    node.enrol(token())
    for _ in range(2):
        node.rotate()
        waiting.append(sealed(ledger))
    assert [node.opener.open(envelope).attempt for envelope in waiting] == [1] * 4


def test_a_revoked_node_opens_nothing_that_is_submitted_after(
    ledger, node, token, client, operator, tmp_path, url
) -> None:
    other = EnrollingNode(tmp_path / "node-2", "node-2", url)
    node.enrol(token())
    other.enrol(token("node-2"))
    before = sealed(ledger, SEAL_TO="nodes")
    done = client.post("/v1/node-keys/node-1/revoke", json={}, headers=operator)
    assert done.status_code == 200 and [key["state"] for key in done.json["keys"]] == ["revoked"]
    after = sealed(ledger, SEAL_TO="nodes")
    assert node.opener.open(before).test_id and other.opener.open(after).test_id
    with pytest.raises(SealError):
        node.opener.open(after)
    for act in (node.speak, node.rotate):
        with pytest.raises(RefusedError) as no:
            act()
        assert no.value.reason == "revoked"
    states = {key["node"]: key["state"] for key in client.get("/v1/node-keys", headers=operator).json["keys"]}
    assert states == {"node-1": "revoked", "node-2": "active"}


def test_a_refused_token_leaves_the_files_as_they_were(node, token) -> None:
    other = token("node-2")
    with pytest.raises(RefusedError, match=r"for a different node \(not node-1\)"):
        node.enrol(other)
    assert not node.settings.keys.fleet_private.exists() and not node.settings.keys.server_public.exists()


def test_another_server_than_the_tokens_is_not_believed(node, token) -> None:
    magic, _, secret = token().split(".")
    with pytest.raises(KeyFileError, match="another server answered"):
        node.enrol(f"{magic}.{'0' * 16}.{secret}")
    assert not node.settings.keys.server_public.exists()


def test_without_a_node_no_run_is_sealed(ledger) -> None:
    with pytest.raises(KeyFileError, match="no node is enrolled"):
        sealed(ledger, SEAL_TO="nodes")


@pytest.mark.parametrize("name", ["a b", "-x", "n" * 64, "ä"])
def test_a_token_is_for_a_name_that_a_node_can_have(client, operator, name: str) -> None:
    refused = client.post(f"/v1/nodes/{name}/enrolment", json={}, headers=operator)
    assert refused.status_code == 400 and "63 at most" in refused.json["detail"]


@pytest.mark.parametrize("hours", [0, -1, 169, 1e9])
def test_a_token_that_lasts_too_long_or_not_at_all_is_refused(client, operator, hours: float) -> None:
    refused = client.post("/v1/nodes/node-1/enrolment", json={"hours": hours}, headers=operator)
    assert refused.status_code == 400 and refused.json["detail"] == "hours: must be a number above 0 and at most 168"


def test_vendors_may_do_none_of_it(client, ledger, users) -> None:
    vendor = api_token(ledger, "ann", "vendor", 1)
    assert client.get("/v1/node-keys", headers=vendor).status_code == 403
    assert client.post("/v1/nodes/node-1/enrolment", json={}, headers=vendor).status_code == 403
    assert client.post("/v1/node-keys/node-1/revoke", json={}, headers=vendor).status_code == 403
