"""What came of a long run: its tests, each export, the page, the verdict; and whether they all say the same."""

from __future__ import annotations

import csv
import json
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from refstack_worker.cli.api_client import Api
from refstack_worker.contract import export_formats
from refstack_worker.server.results import subunit
from tests.support.standalone import Standalone

STATUSES = ("passed", "failed", "skipped")
PAGE_OF_TESTS = 2000
PAGES = {"page": "", "page, failed tests": "?status=failed", "tempest.log": "/log"}


@dataclass
class KeptResult:
    """A finished run as people get it."""

    queue: Standalone
    test_id: int
    folder: Path
    tests: list[dict[str, Any]] = field(default_factory=list)
    exports: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Format to bytes and seconds."""
    pages: dict[str, tuple[int, float]] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def collect(self, run: Mapping[str, Any]) -> None:
        """Read everything, and compare it with the run's counts."""
        with self.queue.api() as api:
            self.tests = list(self._listed(api))
            if run.get("verdict"):
                self.verdict = api.get(f"/v1/runs/{self.test_id}/verdict")
        counts = Counter(test["status"] for test in self.tests)
        if any(counts[status] != run["counts"][status] for status in STATUSES):
            self.wrong.append(f"the result lists {dict(counts)}, the run says {run['counts']}")
        self._export(export_formats.ALL if run.get("verdict") else export_formats.ALL[:-1])
        self._open_pages()

    def of_areas(self) -> dict[str, Counter[str]]:
        """Return part of ``tempest.api`` to how its tests ended."""
        found: dict[str, Counter[str]] = {}
        for test in self.tests:
            area = test["name"].partition("tempest.api.")[2].partition(".")[0] or "other"
            found.setdefault(area, Counter())[test["status"]] += 1
        return dict(sorted(found.items()))

    def _listed(self, api: Api) -> Iterator[dict[str, Any]]:
        after = 0
        while True:
            query = {"limit": PAGE_OF_TESTS, **({"after": after} if after else {})}
            page = api.get(f"/v1/runs/{self.test_id}/results", query)
            yield from page["tests"]
            if not page["next_after"]:
                return
            after = page["next_after"]

    def _export(self, formats: tuple[str, ...]) -> None:
        for kind in formats:
            path = self.folder / kind
            began = time.monotonic()
            done = self.queue.command("run", "export", str(self.test_id), kind, path)
            if done.status != 0:
                self.wrong.append(f"export {kind}: {done.err.strip()[-300:]}")
                continue
            self.exports[kind] = path.stat().st_size, time.monotonic() - began
            listed = _tests_in(kind, path)
            if listed is not None and listed != len(self.tests):
                self.wrong.append(f"export {kind} has {listed} tests of {len(self.tests)}")

    def _open_pages(self) -> None:
        with requests.Session() as browser:
            token = self.queue.token_file.read_text().strip()
            origin = {"Origin": self.queue.url}
            signed = browser.post(f"{self.queue.url}/sign-in", {"token": token}, headers=origin, timeout=60)
            if signed.status_code != 200:
                self.wrong.append(f"sign-in: {signed.status_code}")
            for name, rest in PAGES.items():
                began = time.monotonic()
                answer = browser.get(f"{self.queue.url}/runs/{self.test_id}{rest}", timeout=60)
                self.pages[name] = len(answer.content), time.monotonic() - began
                if answer.status_code != 200:
                    self.wrong.append(f"{name}: {answer.status_code}")


def _tests_in(kind: str, path: Path) -> int | None:
    """Return how many tests an export lists; None for one that lists only some."""
    if kind == export_formats.CSV:
        with path.open(newline="", encoding="utf-8") as file:
            return sum(1 for _row in csv.DictReader(file))
    if kind == export_formats.JUNIT:
        return len(list(ElementTree.parse(path).iter("testcase")))  # noqa: S314 - our own
    if kind == export_formats.JSON:
        return len(json.loads(path.read_text("utf-8"))["tests"])
    if kind == export_formats.SUBUNIT:
        return sum(1 for _test in subunit.parse(path, path.parent / "rows").tests)
    return None
