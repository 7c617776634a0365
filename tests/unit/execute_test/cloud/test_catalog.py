"""What the service catalogue says."""

from __future__ import annotations

import pytest

from refstack_worker.execute_test.cloud.catalog import check_catalog, cloud_id
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.failures import CloudFailure


def test_cloud_id_is_the_identity_service_or_the_hash_of_the_host() -> None:
    token = KeystoneToken("t", {"catalog": [{"type": "compute", "id": "1"}, {"type": "identity", "id": "abc"}]})
    assert cloud_id(token, "http://k:5000/v3") == "abc"
    assert cloud_id(KeystoneToken("t", {}), "http://k.example:5000/v3") == "1a4ab762a5ce9a946eeb6c6e0adef2ae"


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_a_catalogue_that_leads_there_is_refused(host: str) -> None:
    catalog = [{"type": "object-store", "endpoints": [{"url": f"http://{host}/latest/meta-data"}]}]
    with pytest.raises(CloudFailure, match="metadata service"):
        check_catalog(KeystoneToken("t", {"catalog": catalog}))


def test_an_ordinary_catalogue() -> None:
    points = [{"url": "http://127.0.0.1:8080/v1"}, {"url": "http://no-such-host.invalid/"}, {"url": None}, {}]
    check_catalog(KeystoneToken("t", {"catalog": [{"type": "x", "endpoints": points}, {"type": "y"}]}))
