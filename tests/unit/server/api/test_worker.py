from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import NodeChannel
from refstack_worker.contract.gearman_functions import served
from refstack_worker.contract.payload import new_secret
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.errors import QueueError
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.attempts import Release, Submission
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import Sealed
from tests.support.ledgers import Clock, Job, claimed, new_run, queued

STRANGER = {"REMOTE_ADDR": "192.0.2.7"}
ME = {"claim": "claim-of-node-1", "worker": "node-1"}


class Queue:
    """Counts its calls."""

    def __init__(self) -> None:
        self.told = 0

    def seal(self, one: Submission) -> Sealed:
        raise QueueError("this queue leaves the run to the monitor")

    def submit_sealed(self, ledger: Ledger, ready: Sequence[Sealed]) -> int:
        return 0

    def submit_pending(self, ledger: Ledger, test_id: int | None = None) -> int:
        self.told += 1
        return 0

    def withdraw(self, ledger: Ledger) -> None:
        pass


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return create_app(ledger).test_client()


def call(client: FlaskClient, job: Job, name: str, body: Any = ME, **given: Any) -> Any:
    headers = given.pop("headers", {"Authorization": f"Bearer {job.token}"})
    key = job.submission.key
    attempt = given.pop("attempt", key.attempt)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"/worker/v1/runs/{key.test_id}/attempts/{attempt}/{name}"
    return client.post(url, data=data, headers=headers, environ_overrides=given.get("environ", {}))


class TestClaim:
    def test_200_and_the_same_claim_again(self, client: FlaskClient, ledger: Ledger) -> None:
        job = queued(ledger)
        for _ in range(2):
            answer = call(client, job, "claim", {**ME, "tempest_version": "47.0.0"})
            assert (answer.status_code, answer.json) == (200, {"heartbeat_seconds": 2.0, "state": "claimed"})
        assert ledger.runs.get(job.submission.key.test_id).worker == "node-1"

    def test_409_with_the_reason(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        answer = call(client, job, "claim", {"claim": "other", "worker": "node-2"})
        assert (answer.status_code, answer.json["reason"]) == (409, "claimed")
        ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
        assert call(client, job, "claim").json["reason"] == "superseded"
        gone = queued(ledger)
        ledger.runs.cancel(gone.submission.key.test_id, "me")
        assert call(client, gone, "claim").json["reason"] == "cancelled"
        paused = queued(ledger)
        ledger.queue.pause("operator")
        answer = call(client, paused, "claim")
        assert (answer.status_code, answer.json["reason"]) == (409, "paused")


@pytest.mark.parametrize("name", ["claim", "heartbeat", "release"])
class TestEach:
    def test_who_may_not(self, client: FlaskClient, ledger: Ledger, name: str) -> None:
        job = claimed(ledger)
        assert call(client, job, name, headers={}).status_code == 401
        assert call(client, job, name, headers={"Authorization": f"Bearer {new_secret()}"}).status_code == 403
        assert call(client, job, name, attempt=2).status_code == 403
        answer = call(client, job, name, environ=STRANGER)
        assert (answer.status_code, answer.json["reason"]) == (403, "host")
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED

    def test_an_unknown_run(self, client: FlaskClient, name: str) -> None:
        headers = {"Authorization": f"Bearer {new_secret()}"}
        url = f"/worker/v1/runs/999/attempts/1/{name}"
        assert client.post(url, json=ME, headers=headers).status_code == 404

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{", b'{"claim": "a", "claim": "a", "worker": "b"}', {"claim": 1, "worker": "b"}, {"claim": "a"}],
        ids=str,
    )
    def test_malformed(self, client: FlaskClient, ledger: Ledger, name: str, body: Any) -> None:
        assert call(client, claimed(ledger), name, body).status_code == 400

    def test_too_large(self, client: FlaskClient, ledger: Ledger, name: str) -> None:
        body = {**ME, "more": "x" * (50 * 1024 * 1024)}
        assert call(client, claimed(ledger), name, body).status_code == 413


class TestHeartbeat:
    def test_orders(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        progress = {"total": 60, "done": 5, "passed": 4, "failed": 1, "test": "a.b"}
        answer = call(client, job, "heartbeat", {**ME, "state": "running", "progress": progress})
        assert answer.json == {"order": "go", "reason": "", "heartbeat_seconds": 2.0}
        assert ledger.runs.get(job.submission.key.test_id).progress == Progress(60, 5, 4, 1, test="a.b")
        ledger.runs.cancel(job.submission.key.test_id, "me")
        assert call(client, job, "heartbeat").json["order"] == "cancel"
        ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
        answer = call(client, job, "heartbeat")
        assert (answer.status_code, answer.json["order"], answer.json["reason"]) == (200, "stop", "cancelled")

    @pytest.mark.parametrize("progress", [{"done": -1}, {"done": "5"}, {"total": 10**12}, [1], {"test": 5}], ids=str)
    def test_malformed_progress(self, client: FlaskClient, ledger: Ledger, progress: Any) -> None:
        assert call(client, claimed(ledger), "heartbeat", {**ME, "progress": progress}).status_code == 400


class TestRelease:
    def test_the_next_attempt_follows_at_once(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        for _ in range(2):
            assert call(client, job, "release", {**ME, "reason": "node-1 is shut down"}).status_code == 200
        run = ledger.runs.get(test_id)
        assert (run.state, run.attempt) == (RunState.QUEUED, 2)
        assert "node-1 is shut down" in ledger.runs.messages(test_id)[-1].message

    def test_not_another_ones(self, client: FlaskClient, ledger: Ledger) -> None:
        answer = call(client, claimed(ledger), "release", {"claim": "other", "worker": "node-2"})
        assert (answer.status_code, answer.json["reason"]) == (409, "claimed")


class TestNodes:
    STATE = {"versions": ["47.0.0"], "slots": 2, "busy": 1, "tags": ["eu"], "state": "ready", "software": "1.0"}

    def channel(self, settings: ServerSettings) -> NodeChannel:
        folder = settings.keys.sign.parent
        return NodeChannel.of_node(
            keys.load_seal_private(folder / "fleet.key"), keys.load_sign_public(folder / "sign.pub")
        )

    def say(self, client: FlaskClient, settings: ServerSettings, node: str = "node-1", **given: Any) -> Any:
        body = {**self.STATE, "time": 100.0, **given}
        return client.post(f"/worker/v1/nodes/{node}", data=self.channel(settings).seal(json.dumps(body).encode()))

    def test_200(self, client: FlaskClient, ledger: Ledger, settings: ServerSettings, clock: Clock) -> None:
        answer = self.say(client, settings)
        assert (answer.status_code, answer.json) == (200, {"seconds": 30.0})
        (node,) = ledger.nodes.all()
        assert (node.name, node.versions, node.slots, node.busy, node.tags) == ("node-1", ("47.0.0",), 2, 1, ("eu",))
        assert node.seen_at == clock()

    def test_a_command_of_the_operators_is_in_the_reply_until_it_is_confirmed(
        self, client: FlaskClient, ledger: Ledger, settings: ServerSettings
    ) -> None:
        self.say(client, settings)
        token = ledger.tokens.add("op", ["operator"])[1]
        operator = {"Authorization": f"Bearer {token}"}
        asked = client.post("/v1/nodes/node-1/commands", json={"action": "drain"}, headers=operator)
        assert (asked.status_code, asked.json) == (202, {"node": "node-1", "id": 1, "action": "drain"})
        command = {"id": 1, "action": "drain"}
        assert client.get("/v1/nodes", headers=operator).json["nodes"][0]["asked"] == "drain"
        assert self.say(client, settings, time=101.0).json == {"seconds": 30.0, "command": command}
        assert self.say(client, settings, time=102.0, command_done=1).json == {"seconds": 30.0}
        assert self.say(client, settings, time=103.0).json == {"seconds": 30.0}
        assert client.get("/v1/nodes", headers=operator).json["nodes"][0]["asked"] is None

    def test_a_node_with_a_large_lock_learns_which_sets_runs_ask_for(
        self, client: FlaskClient, ledger: Ledger, settings: ServerSettings
    ) -> None:
        lock = {f"plugin{number}-tempest-plugin": "1.0" for number in range(7)}
        three = dict(list(lock.items())[2:5])
        for plugins in ({}, dict(list(lock.items())[:2]), three, three, {**three, "other-tempest-plugin": "1.0"}):
            ledger.runs.add(new_run(spec=RunSpec(tempest_version="43.0.0", plugins=plugins)))
        small = self.say(client, settings, plugin_sets=[served("43.0.0", three)])
        assert small.json == {"seconds": 30.0}
        large = self.say(client, settings, time=101.0, plugin_sets=[served("43.0.0", lock)])
        assert large.json == {"seconds": 30.0, "wanted_plugins": [three]}
        ledger.runs.cancel(3, "me")
        assert "wanted_plugins" in self.say(client, settings, time=102.0, plugin_sets=[served("43.0.0", lock)]).json
        ledger.runs.cancel(4, "me")
        assert "wanted_plugins" not in self.say(client, settings, time=103.0, plugin_sets=[served("43.0.0", lock)]).json

    def test_only_operators_ask_and_only_known_nodes(
        self, client: FlaskClient, ledger: Ledger, settings: ServerSettings
    ) -> None:
        self.say(client, settings)
        operator = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
        url, body = "/v1/nodes/node-1/commands", {"action": "pause"}
        assert client.post(url, json=body).status_code == 401
        assert client.post("/v1/nodes/node-2/commands", json=body, headers=operator).status_code == 404
        assert client.post(url, json={"action": "explode"}, headers=operator).status_code == 400

    def test_a_message_that_was_recorded_is_refused(self, client: FlaskClient, settings: ServerSettings) -> None:
        assert self.say(client, settings).status_code == 200
        answer = self.say(client, settings)
        assert (answer.status_code, answer.json["reason"]) == (409, "replayed")
        assert self.say(client, settings, time=100.5).status_code == 200

    def test_what_is_not_from_this_fleet(self, client: FlaskClient, ledger: Ledger, settings: ServerSettings) -> None:
        folder = settings.keys.sign.parent
        keys.generate_pair("seal", folder / "foreign.key", folder / "foreign.pub")
        foreign = NodeChannel.of_node(
            keys.load_seal_private(folder / "foreign.key"), keys.load_sign_public(folder / "sign.pub")
        )
        for data in (b"", b"hello", foreign.seal(b"{}"), self.channel(settings).seal(b"{}")[:-9], b"x" * 70_000):
            assert client.post("/worker/v1/nodes/node-1", data=data).status_code in (403, 413)
        assert ledger.nodes.all() == []

    @pytest.mark.parametrize(
        "given",
        [
            {"time": 0},
            {"time": "now"},
            {"time": True},
            {"slots": -1},
            {"state": "on fire"},
            {"versions": "47.0.0"},
            {"versions": [1]},
            {"tags": ["a\nb"]},
            {"name": "node-2"},
        ],
        ids=str,
    )
    def test_malformed(self, client: FlaskClient, settings: ServerSettings, given: dict[str, Any]) -> None:
        assert self.say(client, settings, **given).status_code == 400

    def test_names_and_hosts(self, client: FlaskClient, settings: ServerSettings) -> None:
        assert self.say(client, settings, "a%0Ab").status_code == 400
        answer = client.post("/worker/v1/nodes/node-1", data=b"x", environ_overrides=STRANGER)
        assert (answer.status_code, answer.json["reason"]) == (403, "host")


def test_console_lines_arrive_and_are_read(client: FlaskClient, ledger: Ledger) -> None:
    job = claimed(ledger)
    key = job.submission.key
    path = f"/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/console"
    line = {"event": "request", "time": 1.5, "method": "GET", "path": "/v3/users", "status": 403, "ms": 7}
    body = {"claim": job.claim_id, "worker": "node-1", "first": 0, "lines": [line], "dropped": 2}
    headers = {"Authorization": f"Bearer {job.token}"}
    answer = client.post(path, json=body, headers=headers)
    assert answer.json == {"next": 1, "seconds": 1.0, "full": False}
    for bad in ({"lines": [{}]}, {"first": -1}, {"lines": [line] * 501}, {"claim": ""}):
        assert client.post(path, json={**body, **bad}, headers=headers).status_code == 400
    assert client.post(path, json={**body, "claim": "x"}, headers=headers).status_code == 409
    reader = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
    read = client.get(f"/v1/runs/{key.test_id}/console", headers=reader).json
    assert (read["attempt"], read["dropped"], read["next_after"]) == (1, 2, 0)
    assert read["lines"][0]["path"] == "/v3/users" and read["lines"][0]["number"] == 0
    assert client.get(f"/v1/runs/{key.test_id}/console?after=0", headers=reader).json["lines"] == []
