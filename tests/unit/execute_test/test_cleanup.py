"""What a stopped run left in the cloud."""

from __future__ import annotations

import pytest

from refstack_worker.execute_test.cleanup import CLEANED_BY_TEMPEST, offers_any


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({}, False),
        ({"swift": True, "nova": False}, False),
        ({"nova": True}, True),
        ({"cinder": "yes"}, True),
        ({"neutron": "False"}, False),
    ],
)
def test_tempest_cleans_up_only_where_the_cloud_has_what_it_looks_after(there: dict[str, object], wanted: bool) -> None:
    conf = {"service_available": there}
    assert offers_any(conf, CLEANED_BY_TEMPEST) is wanted
