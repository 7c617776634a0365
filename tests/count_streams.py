"""Compare what node and server count in random streams, and the verdicts and exports made of them.

python -m tests.count_streams [NUMBER] [SEED]      10,000 streams take some minutes
"""

from __future__ import annotations

import csv
import io
import json
import random
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from refstack_worker.contract.outcomes import Counts
from refstack_worker.contract.states import RunState
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.guidelines import Capability, Guideline, GuidelineTest, Program
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.runs import Run, RunSpec
from refstack_worker.server.domain.verdict import judge
from refstack_worker.server.results import subunit
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.results.exports.report import ExportedRun
from tests.support import random_streams


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began = time.monotonic()
    tests = 0
    with tempfile.TemporaryDirectory() as folder:
        for one in range(number):
            try:
                tests += compare(random.Random(seed + one), Path(folder))
            except AssertionError as error:
                sys.exit(f"stream {seed + one}: {error}")
    print(
        f"{number} streams, {tests} tests: node, server, verdict and exports agree ({time.monotonic() - began:.0f} s)"
    )


def compare(source: random.Random, folder: Path) -> int:
    """Compare one stream; return how many tests it has."""
    data = random_streams.stream(source)
    selected = [name for name in random_streams.names(source) if name.startswith("tempest.")]
    counter, posted = random_streams.on_node(data, selected, source.randint(1, 2000))
    (folder / "stream").write_bytes(posted)
    try:
        parsed = subunit.parse(folder / "stream", folder / "rows")
    except ResultError as error:
        assert "contains no test" in str(error) and counter.outcomes.counted().total == 0, error
        return 0
    tests = list(parsed.tests)
    counts = parsed.counts
    assert counts == counter.outcomes.counted(), f"server {counts}, node {counter.outcomes.counted()}"
    assert counts == counted(Counter(test.status for test in tests)), "rows"
    for status in exports(tests, counts):
        assert status == counts, f"export {status}, server {counts}"
    check_verdict(tests)
    return counts.total


def counted(statuses: Counter[str]) -> Counts:
    """Return counts of words."""
    return Counts(statuses["passed"], statuses["failed"], statuses["skipped"])


def exports(tests: list[TestResult], counts: Counts) -> list[Counts]:
    """Return what readers of the exports count."""
    run = Run(1, RunState.FINISHED, 1, RunSpec("47.0.0"), 1.0, 1.0, counts=counts)
    exported = ExportedRun(run, 1.0, 1.0, lambda: tests)
    made = {name: "".join(FORMATS[name].make(exported)) for name in ("csv", "json", "junit")}
    rows = list(csv.DictReader(io.StringIO(made["csv"])))
    cases = list(ElementTree.fromstring(made["junit"]).iter("testcase"))
    kinds = {"failure": "failed", "skipped": "skipped"}
    words = [next((kinds[child.tag] for child in case if child.tag in kinds), "passed") for case in cases]
    return [
        counted(Counter(row["status"] for row in rows)),
        counted(Counter(test["status"] for test in json.loads(made["json"])["tests"])),
        counted(Counter(words)),
    ]


def check_verdict(tests: list[TestResult]) -> None:
    """A guideline that requires just what ran passes as many tests as the result has different names that passed."""
    names = sorted({test.name for test in tests if test.name and "(" not in test.name})
    worst: dict[str, str] = {}
    for test in tests:
        order = ("failed", "skipped", "passed")
        worst[test.name] = min(worst.get(test.name, "passed"), test.status, key=order.index)
    capability = Capability("all", tests=tuple(GuidelineTest(name) for name in names))
    guideline = Guideline("g", "2.0", {"P": Program("P", capabilities={"required": (capability,)})})
    verdict = judge(guideline, "P", tests)
    assert verdict.count() == (sum(worst[name] == "passed" for name in names), len(names)), "verdict"


if __name__ == "__main__":
    main()
