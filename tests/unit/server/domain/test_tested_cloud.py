"""Which cloud a result is about, and what a stored summary says of it."""

from __future__ import annotations

import pytest

from refstack_worker.contract import strict_json
from refstack_worker.contract.cpid import cpid_of
from refstack_worker.server.domain.tested_cloud import ELSEWHERE, TestedCloud, cloud_in, noted, without_note

CLOUD = "https://k.example:5000/v3"


@pytest.mark.parametrize(
    ("identity", "endpoint", "server", "is_elsewhere"),
    [
        ({}, CLOUD, "https://k.example:5000", False),
        ({"uri_v3": "https://K.example:5000/identity/v3"}, CLOUD, "https://k.example:5000", False),
        ({"uri_v3": "https://devstack.example/v3"}, CLOUD, "https://devstack.example:443", True),
        ({"uri_v3": CLOUD, "uri": "https://devstack.example"}, CLOUD, "https://k.example:5000", True),
        ({"uri_v3": "http://k.example:5000/v3"}, CLOUD, "http://k.example:5000", True),
        ({"uri_v3": "https://k.example:nonsense/v3"}, CLOUD, "", True),
        ({"uri_v3": "https://[2001:db8::1]/v3"}, "", "https://[2001:db8::1]:443", False),
        ({}, "", "", False),
    ],
)
def test_what_the_options_name_is_noted(
    identity: dict[str, str], endpoint: str, server: str, is_elsewhere: bool
) -> None:
    summary = noted({"exit_code": 1}, {"identity": identity}, endpoint)
    found = cloud_in(summary)
    assert (found.server, found.is_elsewhere) == (server, is_elsewhere)
    assert (ELSEWHERE in strict_json.dumps(summary)) is is_elsewhere
    assert without_note(summary) == {"exit_code": 1}


def test_another_spelling_is_no_way_around_it() -> None:
    summary = noted({}, {"Identity": {"uri-v3": "https://devstack.example/v3"}}, CLOUD)
    assert cloud_in(summary).is_elsewhere


def test_a_node_cannot_say_it_itself() -> None:
    said = {"cpid": "abc", "keystone": {"server": "https://k.example:5000"}}
    assert noted(said, {}, "") == {"cpid": "abc"}


def test_the_id_is_that_of_the_server_that_was_asked() -> None:
    assert TestedCloud("abc", "https://k.example:443").cpid_or_of(CLOUD) == "abc"
    assert TestedCloud("", "https://devstack.example:443").cpid_or_of(CLOUD) == cpid_of("https://devstack.example")
    assert TestedCloud().cpid_or_of(CLOUD) == cpid_of(CLOUD)
    assert TestedCloud().cpid_or_of("") == ""


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        (TestedCloud("a", "https://x:1"), TestedCloud("a", "https://y:1"), ""),
        (TestedCloud("a", "https://x:1"), TestedCloud("b", "https://x:1"), "another cloud (cpid a, now b)"),
        (TestedCloud("", "https://x:1"), TestedCloud("b", "https://x:1"), ""),
        (TestedCloud("a", "https://x:1"), TestedCloud("", "https://y:1"), "another server"),
        (TestedCloud("a"), TestedCloud("", "https://x:1"), "not known"),
        (TestedCloud("a", is_elsewhere=True), TestedCloud("a"), "another Keystone server than the saved cloud's"),
        (TestedCloud("a", is_imported=True), TestedCloud("a"), "imported"),
    ],
)
def test_results_of_one_cloud_alone_are_judged_together(before: TestedCloud, now: TestedCloud, why: str) -> None:
    difference = before.difference(now)
    assert why in difference and bool(why) == bool(difference)
