"""The outcome of each required test, of a stream of the product or of Tempest alone."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

from subunit import ByteStreamToStreamResult
from testtools import StreamToDict

PASSED, FAILED, SKIPPED, NO_ACCOUNT = "passed", "failed", "skipped", "no account"
_WANT = re.compile(r"Insufficient number of users|No credentials (?:matching|with) |No users configured for type"
                   r"|Missing a 2nd set of API credentials|not able to provide credentials"
                   r"|not run: the test needs|[Ss]kipped because of bug#2147232")  # fmt: skip
"""What Tempest says when it lacks accounts, whether it fails or skips, and what the product says of the same."""
_GROUP = re.compile(r"setUpClass \((.+)\)")


def outcomes(stream: bytes, names: Iterable[str]) -> dict[str, str]:
    """Return test → outcome. A class that could not be set up answers for its tests; one that did not run is not there.

    :param names: the required tests, without their attributes in brackets.
    """
    ended: dict[str, tuple[str, str]] = {}
    result = StreamToDict(lambda test: ended.update({_name(test["id"]): (test["status"], _said(test))}))
    result.startTestRun()
    ByteStreamToStreamResult(io.BytesIO(stream), non_subunit_name="garbage").run(result)
    result.stopTestRun()
    groups = {match.group(1): ended[name] for name in ended if (match := _GROUP.fullmatch(name))}
    found = {}
    for name in names:
        status = ended.get(name) or groups.get(name.rpartition(".")[0])
        if status and status[0] != "exists":
            found[name] = _outcome(*status)
        elif name.rpartition(".")[0] in groups:
            found[name] = _outcome(*groups[name.rpartition(".")[0]])
    return found


def _name(test_id: str) -> str:
    return test_id.partition("[")[0]


def _said(test: dict[str, Any]) -> str:
    return "\n".join(content.as_text() for name, content in test["details"].items()
                     if name == "reason" or name.startswith("traceback"))  # fmt: skip


def _outcome(status: str, said: str) -> str:
    if status in ("success", "xfail"):
        return PASSED
    if _WANT.search(said):
        return NO_ACCOUNT
    return SKIPPED if status == "skip" else FAILED
