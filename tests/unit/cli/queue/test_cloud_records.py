"""``refstack-queue cloud show``, ``delete``, ``history``, and ``check`` by name, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.server.domain.clouds import NewCloud
from tests.system.web.site import Site, begin, finish, run_of
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


def test_its_runs_go_with_it_only_if_asked_for_and_none_has_to_stay(call_as: CallAs, site: Site, cloud: int) -> None:
    jobs = [begin(site, run_of(site, "ann", cloud, name)) for name in ("one", "two")]
    for job in jobs:
        finish(site, job)
    one, two = (job.submission.key.test_id for job in jobs)
    refused = call_as("ann", "cloud", "delete", "Prod")
    assert refused.status == 5 and '"Prod" has 2 runs' in refused.err
    assert call_as("ann", "run", "pin", str(two)).status == 0
    kept = call_as("ann", "cloud", "delete", "Prod", "--with-runs")
    assert kept.status == 5 and f"run {two} is pinned; unpin it first" in kept.err
    assert site.ledger.runs.of_cloud(cloud) == [one, two]
    assert call_as("bob", "cloud", "delete", str(cloud), "--with-runs").status == 6
    assert call_as("ann", "run", "unpin", str(two)).status == 0
    assert call_as("ann", "cloud", "delete", "Prod", "--with-runs").status == 0
    assert site.ledger.runs.of_cloud(cloud) == []
    assert call_as("ann", "cloud", "list", "-f", "json").json == []


def test_a_name_is_given_once(call_as: CallAs, site: Site, cloud: int) -> None:
    url = f"{site.url}/v3"
    twice = call_as("ann", "cloud", "create", "Prod", url)
    assert twice.status == 2 and "already have a cloud with this name" in twice.err
    assert call_as("ann", "cloud", "create", "Test", url).status == 0
    assert call_as("ann", "cloud", "update", "Test", "--label", "Prod").status == 2
    assert call_as("ann", "cloud", "update", "Prod", "--region", "fra").status == 0
    # another vendor's names are its own
    assert call_as("bob", "cloud", "create", "Prod", url).status == 0
