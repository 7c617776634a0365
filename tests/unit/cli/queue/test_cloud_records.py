"""``refstack-queue cloud show``, ``delete``, ``history``, and ``check`` by name, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.server.domain.clouds import NewCloud
from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


@pytest.fixture
def cloud(site: Site) -> int:
    conf, options = {"identity": {"password": "kept-pw-1"}}, {"identity": {"project_name": "p"}}
    new = NewCloud(
        "Prod", f"{site.url}/v3", user_id=site.users["ann"], test_user="one", conf_json=conf, options=options
    )
    return site.ledger.clouds.add(new).cloud.id


def test_it_is_shown_by_name_without_its_password(call_as: CallAs, cloud: int) -> None:
    shown = call_as("ann", "cloud", "show", "prod")
    assert "identity.project_name = p" in shown.out and "kept-pw-1" not in shown.out
    assert call_as("bob", "cloud", "show", str(cloud)).status == 6


def test_it_is_checked_with_a_password_file_and_deleted(call_as: CallAs, cloud: int, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.touch(0o600)
    file.write_text("identity.password=pw-of-the-file\n")
    checked = call_as("ann", "cloud", "check", "Prod", "--password-file", str(file), "-f", "json").json
    assert checked["check"].startswith("not good")
    assert call_as("ann", "cloud", "history", "Prod", "-f", "json").json == []
    assert call_as("ann", "cloud", "delete", "Prod").status == 0
    assert call_as("ann", "cloud", "list", "-f", "json").json == []
