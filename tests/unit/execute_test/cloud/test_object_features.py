from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.object_features import find_object_storage
from tests.support.service_api import service_api

INFO = {"swift": {"version": "2.38", "policies": [{"name": "gold"}, {"name": "silver"}]}, "slo": {}, "tempurl": {}}
NOTHING: dict[str, Any] = {"welcome": "to the portal"}


@pytest.mark.parametrize(
    ("endpoint", "table"),
    [
        ("http://cloud.example:8080/v1/AUTH_p", {":8080/info": INFO}),
        ("http://cloud.example/swift/v1/AUTH_p", {"/swift/info": INFO, "/info": NOTHING}),
        ("http://cloud.example/swift/v1/AUTH_p", {"/info": INFO}),
    ],
)
def test_the_features_beside_the_version_or_at_the_host(endpoint: str, table: dict[str, Any]) -> None:
    findings = CloudFindings({})
    find_object_storage(service_api(table, endpoint)[0], findings)
    assert findings.conf == {
        "object-storage-feature-enabled": {"discoverable_apis": ["slo", "tempurl"], "container_sync": False}
    }
    assert findings.choices == ["object storage: policies gold, silver"]


def test_without_a_list_tempests_default_stays() -> None:
    findings = CloudFindings({})
    find_object_storage(service_api({"/info": NOTHING}, "http://cloud.example/v1/AUTH_p")[0], findings)
    assert findings.conf == {} and findings.choices == []
