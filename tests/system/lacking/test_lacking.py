"""A whole cloud from which one thing after the other is taken away: what is missing is named, and no test fails for it.

One cloud for all: services leave and enter its catalogue, images are deactivated, quotas are lowered, as an operator of
a cloud would do it. Each run is ``execute_test`` with what a vendor gives: address and administrator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.run_traces import results
from tests.system.execute_test.conftest import Caller, Options, Ran, cache_folder, caller, tempest_home
from tests.system.lacking.lacks import LACKS, TESTS, Lack, low_quotas, no_image

from democloud.openstack.shape import Shape  # isort: skip - found by what is imported above
from democloud.openstack.whole import WholeCloud  # isort: skip

__all__ = ["caller", "tempest_home"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the whole cloud needs root, for network namespaces")

NO_ROUTERS = "network: this Neutron has no routers"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCloud]:
    with WholeCloud(tmp_path_factory.mktemp("lacking") / "cloud", Options(cache_folder(), say=print)) as running:
        yield running


@pytest.mark.parametrize("lack", LACKS, ids=lambda one: one.name.replace(" ", "-"))
def test_what_is_missing_is_named_and_no_test_fails_for_it(cloud: WholeCloud, caller: Caller, lack: Lack) -> None:
    with lack.taken(cloud):
        checked = caller.run(cloud.vendor_conf(), "--check", "--testcases", *entries())
        ran = caller.run(cloud.vendor_conf(), "--concurrency", "2", "--testcases", *entries())
    assert checked.code == 0 and lack.told in "; ".join([checked.end["message"], *checked.messages]), checked.events
    assert ran.code == 0, (ran.end, ran.messages)
    assert outcomes(ran) == {name: "skip" if name in lack.skipped else "success" for name in TESTS}
    assert any(lack.told in message for message in ran.messages), ran.messages


def test_a_quota_that_tests_meet_is_named_as_the_reason(cloud: WholeCloud, caller: Caller) -> None:
    with low_quotas(cloud):
        ran = caller.run(cloud.vendor_conf(), "--concurrency", "2", "--testcases", *entries())
    few = "a project may have only 1 servers (tests need 3), 1 volumes (tests need 3)"
    assert any(message.startswith(f"quota: {few}; tests that need more fail") for message in ran.messages)
    failed = ran.summary["counts"]["failed"]
    words = f"; {failed} test{'s' if failed > 1 else ''} or class{'es' if failed > 1 else ''} failed because a quota"
    assert failed and words in ran.end["message"] and few in ran.end["message"], ran.end


def test_a_check_says_it_without_a_test(cloud: WholeCloud, caller: Caller) -> None:
    with no_image(cloud):
        ran = caller.run(cloud.vendor_conf(), "--check", "--testcases", *entries())
    assert ran.code == 0
    assert ran.end["message"].endswith(
        "; 1 thing is missing: image: the cloud shows no active image to create servers from"
    )
    assert any("Not run for this reason: 2 of 9 tests (ServersTestJSON." in message for message in ran.messages)


def test_no_routers_and_floating_ips(caller: Caller, tmp_path: Path) -> None:
    """A cloud whose Neutron has provider networks alone."""
    with WholeCloud(tmp_path / "flat", Options(cache_folder(), say=print), Shape(floating_ips=False)) as cloud:
        checked = caller.run(cloud.vendor_conf(), "--check", "--testcases", *entries())
        ran = caller.run(cloud.vendor_conf(), "--concurrency", "2", "--testcases", *entries())
    assert checked.code == 0 and NO_ROUTERS in "; ".join([checked.end["message"], *checked.messages]), checked.events
    assert ran.code == 0, (ran.end, ran.messages, failed(ran))
    assert outcomes(ran) == {name: "skip" if name in ("router", "server", "ssh") else "success" for name in TESTS}
    assert any(NO_ROUTERS in message for message in ran.messages), ran.messages


def test_a_private_authority(caller: Caller, tmp_path: Path) -> None:
    """A cloud whose certificates only its own authority's file makes trusted."""
    shape = Shape(services=("identity", "object-store"), tls=True)
    with WholeCloud(tmp_path / "tls", Options(cache_folder(), say=print), shape) as cloud:
        conf = cloud.vendor_conf()
        ran = caller.run(conf, "--check", "--testcases", *entries())
        assert ran.code == 0 and "; 4 things are missing: compute: " in ran.end["message"], ran.end
        conf["identity"].pop("ca_certificates_file")
        refused = caller.run(conf, "--check", "--testcases", *entries())
    assert refused.code == 3 and "certificate verify failed" in refused.end["message"]


def failed(ran: Ran) -> list[str]:
    stream = results((ran.workdir / "subunit").read_bytes())
    return sorted(name for name, status in stream.items() if status in ("fail", "uxsuccess"))


def entries() -> list[str]:
    """The tests as a guideline names them."""
    return [f"tempest.api.{name}" for name in TESTS.values()]


def outcomes(ran: Ran) -> dict[str, str]:
    """Status of each test in the stream that was kept; those of a class that was skipped are named by the class."""
    stream = {
        name.partition("[")[0]: status for name, status in results((ran.workdir / "subunit").read_bytes()).items()
    }
    found = {}
    for short, name in TESTS.items():
        own_class = f"setUpClass (tempest.api.{name.rpartition('.')[0]})"
        status = stream.get(f"tempest.api.{name}", "missing")
        # a test whose class answers for it is only listed
        found[short] = stream.get(own_class, status) if status in ("exists", "missing") else status
    return found
