"""The whole Platform program through the queue on a cloud that lacks something: pre-flight, run and verdict name it.

One cloud and one queue for all; a run takes one to six minutes on two cores. Needs the guideline 2020.06
(``REFSTACK_TEST_INTEROP``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from refstack_worker.contract.states import ENDS, RunState
from tests.support.processes import eventually
from tests.support.standalone import GUIDELINE, TEMPEST, Standalone, guideline_file, standalone
from tests.system.accounts.programs import PLATFORM
from tests.system.execute_test.conftest import Options, cache_folder
from tests.system.lacking.lacks import LACKS, Lack

from democloud.openstack.whole import WholeCloud  # isort: skip - found by what is imported above

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the whole cloud needs root, for network namespaces")

LACKING = {
    "compute": "compute.",
    "image": "image.",
    "network": "network.",
    "volume": "volume.",
    "object-store": "object_storage.",
    "no image": "compute.servers.test_servers.",
    "no public network": "network.test_routers.RoutersTest.test_create_show_list_update_delete_router",
}
"""What is taken away, to tests that cannot run without it, below ``tempest.api``."""
RUN_SECONDS = 1200


@dataclass
class PlatformSite:
    """A cloud, and a queue that knows the guideline."""

    cloud: WholeCloud
    queue: Standalone

    def run(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]:
        """Return what the pre-flight says, the run at its end, its verdict and its messages."""
        body = {"tempest_version": TEMPEST, "conf_json": self.cloud.vendor_conf(), "concurrency": 2,
                "guideline": {"name": GUIDELINE, "program": PLATFORM.name}, "timeout": RUN_SECONDS}  # fmt: skip
        with self.queue.api() as api:
            checked = api.post("/v1/runs/check", body)
            number = api.post("/v1/runs", body)["test_id"]

            def over() -> dict[str, Any] | None:
                shown: dict[str, Any] = api.get(f"/v1/runs/{number}")
                return shown if RunState(shown["state"]) in ENDS else None

            ended = eventually(lambda: f"the end of run {number}\n{self.queue.logs()}", over, RUN_SECONDS + 120)
            assert ended is not None and ended["state"] == "finished", f"{ended}\n{self.queue.logs()}"
            said = api.get(f"/v1/runs/{number}/messages")["messages"]
            verdict = api.get(f"/v1/runs/{number}/verdict")
        return checked, ended, verdict, "\n".join(one["message"] for one in said)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformSite]:
    file, base = guideline_file(), tmp_path_factory.mktemp("program")
    with WholeCloud(base / "cloud", Options(cache_folder(), say=print)) as cloud, standalone(base) as queue:
        added = queue.command("guideline", "add", file)
        assert added.status == 0, added.err
        yield PlatformSite(cloud, queue)


@pytest.mark.parametrize("lack", [lack for lack in LACKS if lack.name in LACKING], ids=lambda one: one.name)
def test_what_is_missing_is_the_reason_of_every_test_that_did_not_pass(site: PlatformSite, lack: Lack) -> None:
    with lack.taken(site.cloud):
        checked, ended, verdict, said = site.run()
    lacking = [test for one in verdict["required"]["capabilities"] for test in one["lacking"]]
    required = verdict["required"]
    print(f"{lack.name}: {required['passed']} of {required['total']}, {ended['counts']}, {len(lacking)} lacking")
    assert any(lack.told in warning for warning in checked["warnings"]), checked
    assert lack.told in said
    assert ended["counts"]["failed"] == 0, ended
    # nothing is missing without a message, and nothing is reported as a failure
    assert {test["status"] for test in lacking} == {"skipped"}, lacking
    assert [test["name"] for test in lacking if not test.get("reason")] == []
    assert not verdict["passed"] and required["passed"] + len({test["name"] for test in lacking}) == required["total"]
    own = [test for test in PLATFORM.required_tests(guideline_file()) if test.startswith(area(lack))]
    assert own and {test.partition("[")[0] for test in own} <= {test["name"] for test in lacking}


def area(lack: Lack) -> str:
    return f"tempest.api.{LACKING[lack.name]}"
