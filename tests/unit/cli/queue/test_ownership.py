"""What root makes belongs to the user of the services."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refstack_worker.cli.queue import ownership
from refstack_worker.cli.queue.doctor import check_owners
from refstack_worker.cli.queue.ledger_access import open_ledger
from refstack_worker.config.server import ServerSettings
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import make_settings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    (tmp_path / "data").mkdir()
    return make_settings(
        tmp_path, DATA_FOLDER=str(tmp_path / "data"), DATABASE_URL=f"sqlite:///{tmp_path}/data/x.sqlite"
    )


@needs_root
def test_root_gives_what_it_makes_to_the_owner_of_the_data_folder(settings: ServerSettings) -> None:
    os.chown(settings.data, 12345, 12345)
    with open_ledger(settings) as ledger:
        ledger.upgrade()
    owned = {path.name: path.stat().st_uid for path in ownership.service_files(settings)}
    assert set(owned.values()) == {12345} and {"x.sqlite", "sign.key", "store.key"} <= set(owned)


@needs_root
def test_doctor_names_files_of_others(settings: ServerSettings) -> None:
    with open_ledger(settings) as ledger:
        ledger.upgrade()
    os.chown(settings.data, 12345, 12345)
    (finding,) = check_owners(Ledger(settings))
    assert finding.result == "bad" and "sign.key" in finding.found and "chown" in finding.todo
    ownership.give_to_service(settings)
    (finding,) = check_owners(Ledger(settings))
    assert finding.result != "bad"


@needs_root
def test_others_change_nothing(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(settings.data, 12345, 12345)
    files = [path for path in ownership.service_files(settings) if path.exists()]
    monkeypatch.setattr(ownership.os, "geteuid", lambda: 1000)
    ownership.give_to_service(settings)
    assert files and {path.stat().st_uid for path in files} == {0}
