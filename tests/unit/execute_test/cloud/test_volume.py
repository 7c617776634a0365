from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.volume import find_catalog_type, find_volume
from tests.support.service_api import service_api


@pytest.mark.parametrize(
    ("offered", "kind"),
    [
        (["volumev3"], "volumev3"),
        (["block-storage", "volume"], "block-storage"),
        ([], ""),
    ],
)
def test_the_service_type_is_the_catalogues(offered: list[str], kind: str) -> None:
    findings = CloudFindings({})
    find_catalog_type(offered, findings)
    assert findings.conf == ({"volume": {"catalog_type": kind}} if kind else {})


def test_the_vendors_type_wins() -> None:
    findings = CloudFindings({"volume": {"catalog_type": "mine"}})
    find_catalog_type(["mine"], findings)
    assert not findings.conf


@pytest.mark.parametrize(("binary", "has_backup"), [("cinder-volume", False), ("cinder-backup", True)])
def test_what_an_administrator_sees(binary: str, has_backup: bool) -> None:
    pools = {"pools": [{"capabilities": {"storage_protocol": ["iSCSI"], "vendor_name": "ACME"}}]}
    table: dict[str, Any] = {
        "/": {"versions": [{"id": "v3.0", "min_version": "3.0", "version": "3.70"}]},
        "/v3/p/extensions": {"extensions": [{"alias": "backups"}]},
        "/v3/p/os-services": {"services": [{"binary": binary, "state": "up"}]},
        "/v3/p/scheduler-stats/get_pools?detail=True": pools,
    }
    findings = CloudFindings({})
    find_volume(service_api(table, "http://cloud.example/v3/p")[0], findings, is_admin=True)
    assert findings.conf["volume"]["max_microversion"] == "3.70"
    assert findings.conf["volume"]["storage_protocol"] == "iSCSI"
    told = [gap.text for gap in findings.gaps]
    assert told == [] if binary == "cinder-volume" else "no cinder-volume service is up" in told[0]
    assert ("backup" not in findings.conf["volume-feature-enabled"]) is has_backup
