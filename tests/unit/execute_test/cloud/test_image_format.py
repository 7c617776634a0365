from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image_format import OPTION, find_format_enforcement
from refstack_worker.execute_test.http import Denied
from tests.support.service_api import service_api


def found(upload: Any, status: str, given: Any = None) -> tuple[CloudFindings, list[Any]]:
    table = {
        "POST /v2/images": {"id": "probe"},
        "PUT /v2/images/probe/file": upload,
        "/v2/images/probe": {"id": "probe", "status": status},
    }
    api, keystone = service_api(table, "http://cloud.example")
    findings = CloudFindings({OPTION[0]: {OPTION[1]: given}})
    find_format_enforcement(api, findings, "refstack-1-1")
    return findings, keystone.sent


@pytest.mark.parametrize(
    ("upload", "status", "is_enforced"),
    [
        ({}, "active", False),
        (Denied(415, "no"), "queued", True),
        (Denied(400, "no"), "queued", True),
        ({}, "killed", True),
    ],
)
def test_the_upload_tells_and_is_removed(upload: Any, status: str, is_enforced: bool) -> None:
    findings, sent = found(upload, status)
    assert findings.conf[OPTION[0]] == {OPTION[1]: is_enforced} and bool(findings.gaps) is is_enforced
    assert sent[0][2]["name"] == "refstack-1-1-format-probe"
    assert [method for method, _, _ in sent] == ["POST", "PUT", "DELETE"]


def test_nothing_is_uploaded_when_the_vendor_knows() -> None:
    assert found({}, "active", given=True)[1] == []


def test_without_the_right_to_upload_tempests_default_stays() -> None:
    api, _ = service_api({"POST /v2/images": Denied(403, "no")}, "http://cloud.example")
    findings = CloudFindings({})
    find_format_enforcement(api, findings, "")
    assert not findings.conf and not findings.gaps
