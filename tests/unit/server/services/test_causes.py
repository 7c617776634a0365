"""Failures by cause, with last lines as Tempest wrote them against real clouds."""

from __future__ import annotations

import pytest

from refstack_worker.server.domain.guidelines import GuidelineTest
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.verdict import JudgedTest
from refstack_worker.server.services import causes
from refstack_worker.server.services.causes import FIXES, fix_of, last_line, signature

TRACEBACK = """Traceback (most recent call last):
  File "/env/tempest/api/object_storage/test_account_services.py", line 66, in test_list_containers
    resp, container_list = self.account_client.list_account_containers()
  File "/env/tempest/lib/common/rest_client.py", line 720, in _error_checker
    raise exceptions.Forbidden(resp_body, resp=resp)
{last}"""

REAL = (
    ("tempest.lib.exceptions.InvalidCredentials: Insufficient number of users provided", "second user"),
    ("tempest.exceptions.InvalidConfiguration: No admin credentials", "second user"),
    ("tempest.lib.exceptions.Unauthorized: Unauthorized", "password"),
    ("tempest.lib.exceptions.Forbidden: Forbidden", "role"),
    ('tempest.lib.exceptions.NotFound: Object not found: No "nosuchrole" role found', "Create this role"),
    ("tempest.lib.exceptions.EndpointNotFound: Endpoint not found", "catalogue"),
    ("tempest.lib.exceptions.OverLimit: Request entity is too large", "quota"),
    ("tempest.exceptions.BuildErrorException: Server failed to build: No valid host was found.", "compute host"),
    ("tempest.lib.exceptions.NotFound: Image 70a599e0-31e7-49b7-b260-868f441e862b could not be found.", "image_ref"),
    ("tempest.exceptions.InvalidConfiguration: public_network_id is not set", "public_network_id"),
    ("urllib3.exceptions.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "certificate"),
    ("urllib3.exceptions.MaxRetryError: HTTPConnectionPool: Max retries exceeded with url: /v3", "public endpoint"),
    ("tempest.lib.exceptions.TimeoutException: Request timed out", "timeout"),
    ("tempest.lib.exceptions.ServerFault: Got server fault", "server error"),
    ("the test began and did not end: its process was killed or died", "memory or time"),
)


@pytest.mark.parametrize(("line", "words"), REAL)
def test_a_known_cause_has_its_fix(line: str, words: str) -> None:
    found = last_line(TRACEBACK.format(last=f"{line}\nDetails: b'<html><h1>Something</h1></html>'"))
    assert found == line or "began and did not end" in line
    assert words in fix_of(line)


def test_what_tempest_itself_says_of_an_error_is_told() -> None:
    """A wrong ``object-storage.operator_role``: without the details it would be "Object not found" alone."""
    reason = TRACEBACK.format(
        last='tempest.lib.exceptions.NotFound: Object not found\nDetails: No "nosuchrole" role found'
    )
    assert last_line(reason) == 'tempest.lib.exceptions.NotFound: Object not found: No "nosuchrole" role found'


@pytest.mark.parametrize("quoted", ["401", "{'code': 401}", "b'<html>'", "<html>", "['x']", '"x"'])
def test_what_tempest_quotes_of_a_response_is_left_out(quoted: str) -> None:
    line = "tempest.lib.exceptions.Unauthorized: Unauthorized"
    assert last_line(TRACEBACK.format(last=f"{line}\nDetails: {quoted}")) == line


def test_every_row_of_the_table_is_tried() -> None:
    tried = {fix_of(line) for line, _words in REAL}
    assert tried == {fix.advice for fix in FIXES}


def test_an_unknown_cause_has_no_fix() -> None:
    assert fix_of("testtools.matchers._impl.MismatchError: 1 != 2") == ""
    assert last_line("") == "no reason was recorded"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x.E: image 70a599e0-31e7-49b7-b260-868f441e862b", "x.E: image 12345678-31e7-49b7-b260-868f441e862b"),
        ("x.E: http://10.0.0.1/v3/a failed", "x.E: http://10.0.0.2/v3/b failed"),
        ("x.E: tempest-server-123456 is in 4", "x.E: tempest-server-998877 is in 17"),
        ("x.E: req-70a599e0-31e7-49b7-b260-868f441e862b", "x.E: req-12345678-31e7-49b7-b260-868f441e862b"),
    ],
)  # fmt: skip
def test_what_differs_by_chance_is_one_cause(one: str, other: str) -> None:
    assert signature(one) == signature(other)
    tests = [
        TestResult(number, f"t{number}", "", "failed", 1.0, reason=line) for number, line in enumerate((one, other), 1)
    ]
    (cause,) = causes.causes(tests)
    assert cause.line == one and [test.name for test in cause.tests] == ["t1", "t2"]


def test_the_most_frequent_comes_first() -> None:
    reasons = ["a.A: x", "b.B: y", "b.B: y"]
    tests = [TestResult(number, str(number), "", "failed", 1.0, reason=line) for number, line in enumerate(reasons, 1)]
    assert [len(cause.tests) for cause in causes.causes(tests)] == [2, 1]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Skipped because object extension: slo is not enabled", "Offer this in the cloud"),
        ("Skipped because cinder is not available", "Offer this in the cloud"),
        ("3 accounts are needed, 2 were given", "Add accounts"),
        ("left out: takes two hours", "run the whole program"),
        ("no realm", "counts as a failed one"),
    ],
)
def test_required_tests_that_did_not_run_are_told_with_what_helps(reason: str, words: str) -> None:
    skipped = [JudgedTest(GuidelineTest(f"t.test_{number}"), "skipped", reason=reason) for number in range(3)]
    failed = JudgedTest(GuidelineTest("t.test_x"), "failed", reason="AssertionError")
    never = JudgedTest(GuidelineTest("t.test_y"), "missing")
    first, second = causes.unmet([*skipped, failed, never])
    assert (first.count, first.what, first.line) == (3, "skipped", reason) and words in first.fix
    assert (second.count, second.what, second.line, second.fix) == (1, "not run", "", "Run the whole program.")
