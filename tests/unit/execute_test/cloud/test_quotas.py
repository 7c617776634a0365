from __future__ import annotations

from typing import Any

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.quotas import Quotas
from tests.support.service_api import service_api

ONE_OF_ALL = {"network": 1, "subnet": 1, "router": 1, "floatingip": 1}


def found(is_admin: bool, nova: Any = None, cinder: Any = None, neutron: Any = None) -> CloudFindings:
    quotas, findings = Quotas(is_admin, "mine"), CloudFindings({})
    quotas.ask_nova(service_api(nova or {}, "http://cloud.example/v2.1")[0])
    quotas.ask_cinder(service_api(cinder or {}, "http://cloud.example/v3/mine")[0])
    quotas.ask_neutron(service_api(neutron or {}, "http://cloud.example")[0])
    quotas.report(findings)
    return findings


def test_quotas_of_new_projects_count_for_an_administrator() -> None:
    findings = found(
        True,
        {"/v2.1/os-quota-class-sets/default": {"quota_class_set": {"instances": 1}}},
        {"/v3/mine/os-quota-class-sets/default": {"quota_class_set": {"volumes": 2, "snapshots": 10}}},
        {"/v2.0/quotas/mine/default": {"quota": ONE_OF_ALL}},
    )
    (gap,) = findings.gaps
    assert gap.need is Need.QUOTA
    assert gap.lacks.startswith(
        "quota: a project may have only 1 servers (tests need 3), 2 volumes (tests need 3), 1 net"
    )
    assert "gigabytes" not in gap.text and "cores" not in gap.text
    assert "snapshots" not in gap.text and "new projects" in gap.text


def test_servers_and_volumes_need_cores_and_gigabytes() -> None:
    findings = found(
        True,
        {"/v2.1/os-quota-class-sets/default": {"quota_class_set": {"instances": 9, "cores": 2}}},
        {"/v3/mine/os-quota-class-sets/default": {"quota_class_set": {"volumes": 9, "gigabytes": 1}}},
    )
    assert "only 2 cores (tests need 3), 1 gigabytes of volumes (tests need 3)" in findings.gaps[0].text


def test_what_is_used_counts_for_a_user() -> None:
    limits = {"limits": {"absolute": {"maxTotalInstances": 4, "totalInstancesUsed": 2}}}
    findings = found(False, {"/v2.1/limits": limits}, None, {"/v2.0/quotas/mine": {"quota": {"network": 100}}})
    (gap,) = findings.gaps
    assert "only 2 servers (tests need 3);" in gap.text and "of the accounts" in gap.text


def test_no_limit_and_no_answer_are_enough() -> None:
    unlimited = {"/v2.1/os-quota-class-sets/default": {"quota_class_set": {"instances": -1}}}
    assert not found(True, unlimited).gaps
    assert not found(False, {"/v2.1/limits": {"limits": None}}, {"/v3/mine/limits": []}).gaps
