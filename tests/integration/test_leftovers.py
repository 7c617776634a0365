"""What a run that was killed, cancelled or timed out left in the vendor's cloud: counted before and after.

Everything that there is in Keystone and Swift more than before was removed, or the run's messages name it. A real
worker, a real Tempest in the middle of its tests, a real Keystone and Swift; whatever way a run is cut short, there is
something of it in the cloud at that moment, or the test would prove nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from tests.integration.test_run_end_to_end import MIDDLE, create, in_the_middle, left_behind, worker
from tests.support import processes
from tests.support.census import added, census, project_names
from tests.support.process_table import below, command_lines
from tests.support.processes import eventually

__all__ = ["worker"]

SOME = [*MIDDLE, "tempest.api.object_storage.test_container_services", "tempest.api.identity.admin.v3.test_roles"]
"""Containers that last for a whole class; roles, domains and groups beside users and projects."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One set-up of the whole; what is counted here does not depend on which queue it is."""
    with processes.site("embedded", tmp_path_factory.mktemp("leftovers") / "site", "") as made:
        yield made


def caught_with_something(cloud, site, test_id, program, before):
    """Stop the run's tests dead at a moment at which they have projects, users and containers in the cloud."""

    def is_there():
        in_the_middle(site, test_id, 5)
        stopped = processes_of_tests(program)
        signal_all(stopped, signal.SIGSTOP)
        found = added(before, census(cloud))
        if found["projects"] and found["users"] and found["containers"]:
            return found
        signal_all(stopped, signal.SIGCONT)
        return None

    return eventually("the run has something in the cloud", is_there, 60)


def processes_of_tests(program):
    """The processes of Tempest below a worker; what ends them, and looks after the cloud, is left to go on."""
    lines = command_lines()
    own = ("sandbox.agent", "execute_test")
    return {pid for pid in below(program.pid) if not any(name in lines.get(pid, "") for name in own)}


def signal_all(pids, signum):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def cleaned(site, test_id):
    return [line for line in site.said(test_id).splitlines() if line.startswith("clean-up:")]


def is_over(site, test_id):
    """The run's last message about its clean-up is there."""
    return any("leftovers removed" in line or "could not be" in line for line in cleaned(site, test_id))


def assert_removed(site, test_id, had):
    """What was removed is what the run had: some of each kind by its name, so it was not gone by itself."""
    said = "\n".join(cleaned(site, test_id))
    removed = [name for name in had["containers"] if f"removed container {name.partition('/')[2]} " in said]
    print(f"{len(removed)} of {len(had['containers'])} containers removed")
    assert removed, said
    assert any(f"removed project {name}\n" in said for name in had["projects"]), said
    assert any(f"removed user {name}\n" in said for name in had["users"]), said


def not_named(cloud, before, said):
    """What is in the cloud more than before and is not named in the messages, kind by kind.

    A project that is listed stands for what is in it: its users, who carry its name, and its containers.
    """
    listed = {name for name in project_names(cloud).values() if name in said}
    accounts = {f"AUTH_{key}" for key, name in project_names(cloud).items() if name in listed}
    left = added(before, census(cloud))
    left["projects"] = [name for name in left["projects"] if name not in listed]
    left["users"] = [name for name in left["users"] if not any(name.startswith(f"{one}-") for one in listed)]
    left["containers"] = [name for name in left["containers"] if name.partition("/")[0] not in accounts]
    unnamed = {kind: [name for name in names if name not in said] for kind, names in left.items()}
    return {kind: names for kind, names in unnamed.items() if names}


def test_what_a_cancelled_run_left_is_removed_or_listed(site, worker, cloud):
    program = worker()
    before = census(cloud)
    test_id = create(site, cloud, SOME, concurrency=4)
    had = caught_with_something(cloud, site, test_id, program, before)
    site.api.post(f"/v1/runs/{test_id}/cancel")
    site.wait_for(test_id, "cancelled")
    eventually("the node is clean", lambda: not left_behind(program.log.parent) and not below(program.pid), 120)
    assert is_over(site, test_id), site.said(test_id)
    assert_removed(site, test_id, had)
    assert not_named(cloud, before, "\n".join(cleaned(site, test_id))) == {}


def test_what_a_timed_out_run_left_is_removed_or_listed(site, worker, cloud):
    program = worker(limits={"max_timeout": 30})
    before = census(cloud)
    test_id = create(site, cloud, SOME, concurrency=4)
    had = caught_with_something(cloud, site, test_id, program, before)
    run = site.wait_for(test_id, "failed", patience=90)
    assert (run["reason"], run["attempt"]) == ("timeout", 1), run
    eventually("the node is clean", lambda: not left_behind(program.log.parent) and not below(program.pid), 120)
    assert is_over(site, test_id), site.said(test_id)
    assert_removed(site, test_id, had)
    assert not_named(cloud, before, "\n".join(cleaned(site, test_id))) == {}


def test_what_a_killed_run_left_is_removed_by_the_next_attempt(site, worker, cloud):
    """The folder with the log went with the worker: what is left is known by its names alone."""
    first = worker()
    before = census(cloud)
    test_id = create(site, cloud, SOME, concurrency=4)
    caught_with_something(cloud, site, test_id, first, before)
    first.kill()
    second = worker()
    run = site.wait_for(test_id, "finished", patience=300)
    assert run["attempt"] == 2
    eventually("the node is clean", lambda: not left_behind(second.log.parent) and not below(second.pid), 120)
    assert is_over(site, test_id), site.said(test_id)
    assert {kind: names for kind, names in added(before, census(cloud)).items() if names} == {}
