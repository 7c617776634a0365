"""JUnit XML, as Jenkins, GitLab and other CI systems read it; made as it is sent."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr  # nosec B406 - writes XML, reads none

from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.results.exports.report import ExportedRun, Pieces, class_of, moment

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold even escaped."""


def junit(exported: ExportedRun) -> Pieces:
    """Yield the document: one suite of all the tests."""
    counts = exported.run.counts
    about = {
        "name": exported.title,
        "package": "tempest",
        "id": "0",
        "timestamp": moment(exported.began),
        "hostname": exported.run.worker or "unknown",
        "tests": str(counts.total),
        "failures": str(counts.failed),
        "errors": "0",
        "skipped": str(counts.skipped),
        "time": f"{exported.seconds:.3f}",
    }
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites>\n<testsuite{_attributes(about)}>\n<properties>\n"
    for name, value in _properties(exported).items():
        yield f"<property{_attributes({'name': name, 'value': value})}/>\n"
    yield "</properties>\n"
    for test in exported.tests():
        yield _case(test)
    yield "<system-out></system-out>\n<system-err></system-err>\n</testsuite>\n</testsuites>\n"


def _properties(exported: ExportedRun) -> dict[str, str]:
    run = exported.run
    found = {"test_id": str(run.test_id), "attempt": str(run.attempt), "software": exported.version}
    if run.cloud.label:
        found["cloud"] = run.cloud.label
    if exported.verdict is not None:
        found["guideline"] = f"{exported.verdict.guideline} {exported.verdict.program}"
        found["guideline_origin"] = exported.verdict.origin
        found["guideline_sha256"] = exported.verdict.digest
        found["verdict"] = "passed" if exported.verdict.passed else "failed"
    return found


def _case(test: TestResult) -> str:
    path, method = class_of(test.name)
    head = f"<testcase{_attributes({'name': method, 'classname': path or 'tempest', 'time': f'{test.seconds:.3f}'})}"
    if test.status == "failed":
        last = test.reason.strip().rpartition("\n")[2] or "failed"
        about = _attributes({"message": last[:300], "type": "failure"})
        return f"{head}>\n<failure{about}>{_text(test.reason)}</failure>\n</testcase>\n"
    if test.status == "skipped":
        return f"{head}>\n<skipped{_attributes({'message': test.reason[:1000]})}/>\n</testcase>\n"
    return f"{head}/>\n"


def _attributes(values: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(_NOT_XML.sub('', value))}" for name, value in values.items())


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("", text))
