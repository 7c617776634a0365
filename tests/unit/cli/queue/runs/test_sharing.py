"""``refstack-queue run share``: another vendor looks at a run, by name."""

from __future__ import annotations

from refstack_worker.server.domain.runs import NewRun, RunSpec
from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


def test_a_run_is_shared_by_name_and_no_longer(site: Site, call_as: CallAs) -> None:
    new = NewRun(RunSpec(tempest_version="47.0.0"), owner_id=site.users["ann"])
    number = str(site.ledger.runs.add(new).test_id)
    assert call_as("bob", "run", "show", number).status == 6
    assert call_as("ann", "run", "share", number, "bravo HOSTING").status == 0
    assert call_as("bob", "run", "show", number).status == 0
    assert [row["Vendor"] for row in call_as("ann", "run", "shares", number, "-f", "json").json] == ["Bravo Hosting"]
    assert call_as("ann", "run", "share", number, "Nobody").status == 6
    typo = call_as("ann", "run", "unshare", number, "Bravo Hostings")
    assert typo.status == 6 and f"run {number} is not shared with 'Bravo Hostings'" in typo.err
    assert call_as("ann", "run", "unshare", number, "Bravo Hosting").status == 0
    assert call_as("bob", "run", "show", number).status == 6
