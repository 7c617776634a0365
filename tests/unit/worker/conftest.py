from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.worker import ServerLinkSettings, WorkerSettings
from refstack_worker.contract import envelope, keys
from refstack_worker.contract.payload import Payload, new_secret, now
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from tests.support.http_server import Scripted, serving


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        yield script


@pytest.fixture
def link() -> ServerLinkSettings:
    return ServerLinkSettings(timeout=5.0, patience=5.0)


@pytest.fixture
def opener(tmp_path: Path) -> envelope.Opener:
    keys.generate_pair("sign", tmp_path / "sign.key", tmp_path / "sign.pub")
    keys.generate_pair("seal", tmp_path / "fleet.key", tmp_path / "fleet.pub")
    return envelope.Opener(keys.load_seal_private(tmp_path / "fleet.key"), keys.load_sign_public(tmp_path / "sign.pub"))


@pytest.fixture
def claimed(tmp_path: Path, opener: envelope.Opener, server: Scripted) -> ClaimedAttempt:
    payload = Payload(
        test_id=7, attempt=2, callback=server.url, conf_json={"identity": {"admin_password": "hunter22"}},
        secret=new_secret(), submitted_at=now(), tempest_version="47.0.0",
    )  # fmt: skip
    sealer = envelope.Sealer(
        keys.load_sign_private(tmp_path / "sign.key"), keys.load_seal_public(tmp_path / "fleet.pub")
    )
    return ClaimedAttempt(payload, sealer.seal(payload), "c" * 32, "node-1", "47.0.0")


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(EnvironmentSettings(tmp_path / "store"))
