"""A run that two nodes share: real services, queue and workers, a real Tempest, a real Keystone and Swift."""

from __future__ import annotations

import copy

import pytest

from tests.integration.conftest import TEMPEST
from tests.integration.test_run_end_to_end import LONG, left_behind, worker
from tests.support.processes import eventually

__all__ = ["worker"]
MIDDLE = [
    f"tempest.api.object_storage.test_{module}"
    for module in ("account_services", "container_services", "container_acl_negative", "account_quotas")
]
"""Sixty tests in classes of several sizes: enough that both nodes are at it at the same time."""


@pytest.fixture
def two_nodes(worker):
    return [worker(), worker()]


def create(site, cloud, names, shards=2, **more):
    spec = {"tempest_version": TEMPEST, "testcases": {"names": names}, "concurrency": 1, "timeout": 900, **more}
    return site.create(copy.deepcopy(cloud.tempest_conf()), shards=shards, **spec)


def parts(site, test_id):
    return site.api.get(f"/v1/runs/{test_id}/shards")["shards"]


def outcomes(site, test_id):
    return {
        test["name"]: test["status"] for test in site.api.get(f"/v1/runs/{test_id}/results", {"limit": 2000})["tests"]
    }


def in_the_middle(site, test_id):
    def is_there():
        run = site.show(test_id)
        assert run["state"] not in ("finished", "failed", "cancelled"), f"{run}\n{site.logs()[-4000:]}"
        return all(one["state"] == "running" and one["progress"]["done"] > 1 for one in parts(site, test_id)) and run

    return eventually(lambda: f"both are at it {parts(site, test_id)}\n{site.logs()[-3000:]}", is_there, 180)


def test_two_nodes_give_the_result_that_one_gives(site, two_nodes, cloud):
    whole = create(site, cloud, MIDDLE, shards=0)
    site.wait_for(whole, "finished", patience=400)
    shared = create(site, cloud, MIDDLE)
    run = in_the_middle(site, shared)
    assert run["kind"] == "split" and run["progress"]["total"] == len(outcomes(site, whole))
    run = site.wait_for(shared, "finished", patience=400)
    assert outcomes(site, shared) == outcomes(site, whole)
    assert len({one["worker"] for one in parts(site, shared)}) == 2
    assert {one["state"] for one in parts(site, shared)} == {"finished"}
    listed = [one["test_id"] for one in site.api.get("/v1/runs", {"limit": 200})["runs"]]
    assert shared in listed and not {one["test_id"] for one in parts(site, shared)} & set(listed)
    report = site.queue("run", "report", str(shared), "-f", "json").json()
    assert {name: report[name] for name in ("passed", "failed", "skipped")} == run["counts"]
    lines = site.api.get(f"/v1/runs/{shared}/console", {"limit": 2000})["lines"]
    assert [line["number"] for line in lines] == list(range(len(lines))) and lines
    shown = site.queue("run", "show", str(shared)).out
    assert "shard 1: claimed" in shown and "shard 2: claimed" in shown


def test_a_node_dies_and_its_part_alone_is_tried_again(site, two_nodes, cloud):
    test_id = create(site, cloud, MIDDLE)
    in_the_middle(site, test_id)
    two_nodes[0].kill()
    run = site.wait_for(test_id, "finished", patience=600)
    assert sorted(one["attempt"] for one in parts(site, test_id)) == [1, 2]
    assert len(outcomes(site, test_id)) == sum(run["counts"].values())


def test_a_cancel_stops_both(site, two_nodes, cloud):
    test_id = create(site, cloud, LONG)
    in_the_middle(site, test_id)
    site.api.post(f"/v1/runs/{test_id}/cancel")
    site.wait_for(test_id, "cancelled", patience=30)
    assert {one["state"] for one in parts(site, test_id)} == {"cancelled"}
    for node in two_nodes:
        eventually("the node is clean", lambda node=node: not left_behind(node.log.parent), 60)
