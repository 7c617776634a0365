"""The server looks into a cloud that answers as a real one did."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.server.services.cloud_contents import look_inside
from tests.support.http_server import HTML, as_json, serving
from tests.support.recorded_cloud import RecordedCloud, recorded_cloud

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def cloud() -> Iterator[RecordedCloud]:
    with recorded_cloud("admin") as running:
        yield running


def test_a_whole_cloud(cloud: RecordedCloud) -> None:
    inside = look_inside(cloud.conf, LOOPBACK)
    assert (inside.problem, inside.gaps) == ("", ())
    assert any(choice.startswith("image: cirros") for choice in inside.choices)
    assert any(choice.startswith("public network: public") for choice in inside.choices)
    assert cloud.made == []


def test_an_ordinary_user() -> None:
    with recorded_cloud("user") as cloud:
        inside = look_inside(cloud.conf, LOOPBACK)
    assert (inside.problem, inside.gaps) == ("", ()) and "network of servers: user1" in inside.choices


def test_what_is_missing(cloud: RecordedCloud) -> None:
    cloud.without("object-store")
    cloud.empty("/image/v2/images", "images")
    assert [gap.need for gap in look_inside(cloud.conf, LOOPBACK).gaps] == [Need.OBJECTS, Need.IMAGE]


def test_the_service_of_a_plugin_is_missed_by_its_tests(cloud: RecordedCloud) -> None:
    tests = ["heat_tempest_plugin.tests.functional.test_a.B.test_c"]
    assert [gap.need for gap in look_inside(cloud.conf, LOOPBACK, tests).gaps] == [Need.ORCHESTRATION]


def test_a_refused_password_is_missing_too(cloud: RecordedCloud) -> None:
    conf = cloud.conf
    conf["auth"]["admin_password"] = "another-word"
    inside = look_inside(conf, LOOPBACK)
    (gap,) = inside.gaps
    assert "the cloud rejects the user admin" in gap.text and "another-word" not in gap.text


def test_an_address_that_the_operator_does_not_allow(cloud: RecordedCloud) -> None:
    inside = look_inside(cloud.conf, ())
    assert "private address" in inside.problem and inside.gaps == ()
    assert cloud.server.asked == []


def test_addresses_of_the_catalogue_are_guarded_too(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        if service["type"] == "image":
            for endpoint in service["endpoints"]:
                endpoint["url"] = "http://169.254.169.254/latest"
    inside = look_inside(cloud.conf, LOOPBACK)
    assert any("169.254.169.254" in gap.text for gap in inside.gaps)


def test_no_password() -> None:
    assert look_inside({"identity": {"uri_v3": "http://127.0.0.1:9/v3"}}, LOOPBACK).problem == "no password is known"


@pytest.mark.parametrize("token", [{"catalog": 5}, {"catalog": [{"type": "compute", "endpoints": 7}]}, [], 5], ids=str)
def test_nonsense_is_a_finding_and_no_fault(token: Any) -> None:
    conf = {"identity": {"username": "ann", "password": "s3cret-word", "project_name": "p"}}
    with serving() as server:
        server.on("/v3/auth/tokens", as_json({"token": token}, 201, **{"X-Subject-Token": "t"}))
        server.otherwise = lambda _asked: HTML
        inside = look_inside({"identity": {**conf["identity"], "uri_v3": f"{server.url}/v3"}}, LOOPBACK)
    assert inside.problem or inside.gaps
