"""What a shard's result may say, by the table of Tempest's own tests and by its plan."""

from __future__ import annotations

import io

import pytest

from refstack_worker.contract.outcomes import selected_packet
from refstack_worker.contract.states import RunState
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.shards import Shard
from refstack_worker.server.services import tempest_tests
from refstack_worker.server.services.own_tests import OwnTests, copy_own, note
from tests.support.ledgers import Event, stream

VERSION = "47.0.0"
WHOLE = "tempest.api.compute.test_quotas.QuotasTestJSON"
PART = "tempest.api.compute.test_versions.TestVersions"
known = tempest_tests.of_version(VERSION)
assert known is not None
OF_WHOLE, OF_PART = ([one for one in known.full_names if one.startswith(f"{start}.")] for start in (WHOLE, PART))
ONE, OTHER = (one.partition("[")[0] for one in OF_PART[:2])
SHARD = Shard(1, 4, (WHOLE, ONE), False, 8, RunState.FINISHED)


@pytest.mark.parametrize(
    ("test_id", "is_own"),
    [
        (OF_WHOLE[0], True),
        (OF_WHOLE[0].partition("[")[0], True),
        (OF_PART[0], True),
        (OTHER, False),
        (f"{WHOLE}.test_that_moved_elsewhere", False),
        (f"{OF_WHOLE[0].partition('[')[0]}[{OF_PART[1].partition('[')[2]}", False),
        ("old.place.Beta.test_1", False),
        (f"setUpClass ({WHOLE})", True),
        (f"tearDownClass ({PART})", True),
        ("setUpModule (tempest.api.compute.test_quotas)", True),
        ("setUpClass (tempest.api.compute.test_networks.ComputeNetworksTest)", False),
        ("setUpModule (tempest.api.comp)", False),
        ("process-returncode", True),
        ("subunit.parser", True),
        ("unittest.loader._FailedTest.tempest", False),
    ],
)
def test_names_of_its_plan_and_no_others(test_id: str, is_own: bool) -> None:
    assert OwnTests(SHARD, VERSION).has(test_id) is is_own


def test_of_a_version_that_is_not_known_the_plan_alone_says_it() -> None:
    own = OwnTests(SHARD, "0.0.1")
    assert own.has(f"{WHOLE}.test_new") and own.has(ONE) and not own.has(OTHER)


def test_the_rest_is_not_copied_and_named_once() -> None:
    events = [Event(OF_WHOLE[0], "fail", "boom"), Event("x.Y.test_z[smoke]", "fail", "bang"), Event("x.Y.test_z[gate]")]
    given = b"a warning\n" + selected_packet(OTHER) + stream(events, padding=2_000_000)
    out = io.BytesIO()
    assert copy_own(io.BytesIO(given), out, OwnTests(SHARD, VERSION)) == [OTHER, "x.Y.test_z"]
    copied = out.getvalue()
    assert copied == stream(events[:1], padding=2_000_000)
    with pytest.raises(ResultError, match="damaged"):
        copy_own(io.BytesIO(given[: len(given) - 10]), io.BytesIO(), OwnTests(SHARD, VERSION))


def test_few_are_named() -> None:
    assert note(2, list("abcde")).endswith("include them: a, b, c …")
