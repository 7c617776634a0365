"""A run through the queue beside ``tempest run`` by hand: same environment, cloud and tests, compared one by one.

The tests are those that an interop guideline requires (``--guideline FILE``), or Swift's and Keystone's of Tempest.
What the queue takes is counted from the command that triggers the run to the moment at which its result is accepted.
Exits with 1 too when a test ended otherwise than by hand.

With ``--shards N`` the same tests on N nodes that share the run, beside one node alone; both through the queue.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from refstack_worker import execute_test_program
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.execute_test.tempest.conf import read_conf, write_conf
from refstack_worker.execute_test.tempest.selection import expression
from refstack_worker.execute_test.tempest.workspace import Workspace
from refstack_worker.filesystem import remove_tree
from refstack_worker.server.results.subunit import parse
from tests.bench._measure import Result, medians, report, say
from tests.support import processes
from tests.support.processes import Site, eventually
from tests.support.tempests import CACHE, TOP, locked

sys.path.append(str(TOP / "installer"))

from democloud.cloud import Cloud  # noqa: E402 - the demo's cloud lies outside the package
from democloud.guideline import required_tests  # noqa: E402

VERSION = "47.0.0"
SWIFT_AND_KEYSTONE = ("tempest.api.object_storage", "tempest.api.identity")
RATIO = 0.97
"""What the queue may take of the time by hand, from the second run on."""
SHARED_RATIO = 0.6
"""What two nodes may take of the time of one."""

Outcomes = Mapping[str, str]
"""Test to how it ended."""


@dataclass
class ByHand:
    """``tempest run`` in a workspace, with the configuration that a run of ``execute_test`` wrote."""

    home: Path
    """The environment."""
    work: Path
    conf: Path
    tests: Sequence[str]
    concurrency: int
    outcomes: Outcomes | None = None

    def __post_init__(self) -> None:
        self._tempest = f"{self.home}/bin/tempest"
        self._chosen = self.work / "tests.txt"
        self._chosen.write_text("".join(f"{expression(test)}\n" for test in self.tests))

    def prepare(self) -> Path:
        """Make a workspace, with a copy of the configuration that writes into it."""
        place = Path(tempfile.mkdtemp(dir=self.work))
        workspace = place / "w"
        words = [self._tempest, "init", "--workspace-path", place / "workspaces.yaml", workspace]
        subprocess.run(words, check=True, capture_output=True, env=self._environment(place))
        conf = read_conf(self.conf)
        conf.setdefault("DEFAULT", {}).update(log_dir=str(workspace / "logs"))
        conf["DEFAULT"].pop("resource_name_prefix", None)
        conf.setdefault("oslo_concurrency", {})["lock_path"] = str(workspace / "lock")
        (workspace / "etc" / "tempest.conf").unlink(missing_ok=True)
        write_conf(workspace / "etc" / "tempest.conf", conf)
        return workspace

    def __call__(self) -> float:
        """Run the tests and return the seconds that it took."""
        workspace = self.prepare()
        words = [self._tempest, "run", "--include-list", self._chosen, "--concurrency", self.concurrency, "--subunit"]
        stream = self.work / "by-hand.subunit"
        with open(stream, "wb") as out:
            began = time.monotonic()
            subprocess.run(
                [str(word) for word in words], cwd=workspace, stdout=out, stderr=subprocess.DEVNULL,
                env=self._environment(workspace.parent), check=False,
            )  # fmt: skip
            took = time.monotonic() - began
        self.outcomes = outcomes_of(stream, self.work)
        return took

    def _environment(self, home: Path) -> dict[str, str]:
        # Tempest and stestr leave some of their temporary files
        return {"PATH": f"{self.home}/bin:{os.defpath}", "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8"}


@dataclass
class Queued:
    """The same tests through trigger, queue, worker and result."""

    site: Site
    conf: Mapping[str, Any]
    work: Path
    tests: Sequence[str]
    concurrency: int
    shards: int = 0
    outcomes: Outcomes | None = None

    def __call__(self) -> float:
        """Trigger a run, and return the seconds until its result is there."""
        conf = self.work / "conf.json"
        conf.touch(mode=0o600)
        conf.write_text(json.dumps(self.conf))
        cases = self.work / "cases.txt"
        cases.write_text("".join(f"{test}\n" for test in self.tests))
        began, triggered = time.monotonic(), time.time()
        made = self.site.queue(
            "run", "create", "--tempest-version", VERSION, "--conf-json", f"@{conf}", "--testcases", f"@{cases}",
            "--concurrency", str(self.concurrency), "--shards", str(self.shards), "-f", "json",
        )  # fmt: skip
        test_id = int(made.json()["test_id"])
        self._follow(test_id)
        took = time.monotonic() - began
        run = self.site.show(test_id)
        assert run["state"] == "finished", f"{run}\n{self.site.logs()[-4000:]}"
        self._say_when(test_id, triggered)
        stream = self.work / "queued.subunit"
        stream.unlink(missing_ok=True)
        kept = self.site.queue("run", "export", str(test_id), "subunit", str(stream))
        assert kept.status == 0, kept.stderr
        self.outcomes = outcomes_of(stream, self.work)
        return took

    def _follow(self, test_id: int) -> None:
        """Wait for the end as the page of a run does, by its events: to ask again and again costs the cloud's cores."""
        headers = {"Authorization": f"Bearer {self.site.token.read_text().strip()}"}
        asked = urllib.request.Request(f"{self.site.url}/v1/runs/{test_id}/events", headers=headers)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=60) as events:  # noqa: S310 - the site's own address
            if not any(line.strip() == b"event: end" for line in events):
                raise AssertionError(f"the events of run {test_id} stopped before its end")

    def _say_when(self, test_id: int, triggered: float) -> None:
        """Say how long after the trigger each message of the run came."""
        for message in self.site.api.get(f"/v1/runs/{test_id}/messages")["messages"]:
            at = datetime.fromisoformat(message["time"].replace("Z", "+00:00")).timestamp()
            say(f"{at - triggered:7.1f} s  {message['message'][:100]}")


def outcomes_of(stream: Path, work: Path) -> Outcomes:
    """Return how each test of a subunit stream ended."""
    return {test.name: test.status for test in parse(stream, work / "rows").tests}


def configuration(cloud: Cloud, home: Path, work: Path) -> Path:
    """Return a ``tempest.conf`` with all that ``execute_test`` finds out about the cloud."""
    asked = work / "asked.json"
    asked.touch(mode=0o600)
    asked.write_text(json.dumps(cloud.tempest_conf()))
    words = [
        *execute_test_program.command(), "--tempest-home", home, "--conf-json", f"@{asked}", "--keep",
        "--workdir", work / "asked", "--testcases", "tempest.api.identity.v3.test_api_discovery",
    ]  # fmt: skip
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    return Workspace(work / "asked").conf


def main(arguments: Sequence[str]) -> int:
    """Measure and print JSON; exits with 1 when the limit is not kept or a test ended otherwise."""
    parser = argparse.ArgumentParser(prog="tests/bench/run whole", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--guideline", metavar="FILE", help="the tests that this interop guideline requires")
    parser.add_argument("--component", default="os_powered_storage")
    parser.add_argument("--concurrency", type=int, default=2, metavar="N")
    parser.add_argument("--shards", type=int, default=0, metavar="N", help="nodes that share a run, beside one alone")
    asked = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    tests = required_tests(asked.guideline, asked.component) if asked.guideline else list(SWIFT_AND_KEYSTONE)
    (CACHE / "bench").mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="whole-", dir=CACHE / "bench"))
    try:
        return measure(work, tests, asked, load)
    finally:
        remove_tree(work)


def measure(work: Path, tests: Sequence[str], asked: argparse.Namespace, load: float) -> int:
    """Start everything, run both ways in turns, compare."""
    locks = locked(VERSION, f"{sys.version_info[0]}.{sys.version_info[1]}")
    settings = EnvironmentSettings(work / "store", (locks,))
    environment = Environment(Catalogue(settings).find(Want(version=VERSION)), settings, work / "env")
    with Cloud(work / "cloud") as cloud, environment as built, processes.site("embedded", work / "site", "") as site:
        site.locks = [locks]
        for number in range(max(1, asked.shards)):
            site.start_worker(f"node-{number + 1}")
        eventually("the nodes are ready", lambda: len(site.api.get("/v1/nodes")["nodes"]) >= max(1, asked.shards))
        if asked.shards:
            return measure_shared(site, cloud, work, tests, asked, load)
        by_hand = ByHand(built.path, work, configuration(cloud, built.path, work), tests, asked.concurrency)
        queued = Queued(site, cloud.tempest_conf(), work, tests, asked.concurrency)
        say("warming up")
        queued()
        say(f"{len(tests)} test cases, {asked.runs} times, in turns with 'tempest run' by hand")
        ours, theirs = medians(asked.runs, queued, by_hand)
        return verdict(queued, by_hand, Result("trigger to result", ours, theirs, "s", asked.runs), load)


def measure_shared(
    site: Site, cloud: Cloud, work: Path, tests: Sequence[str], asked: argparse.Namespace, load: float
) -> int:
    """Run the same on several nodes and on one in turns; compare."""
    shared = Queued(site, cloud.tempest_conf(), work, tests, asked.concurrency, asked.shards)
    alone = Queued(site, cloud.tempest_conf(), work, tests, asked.concurrency)
    say("warming up, so that the durations of the tests are known")
    alone()
    shared()
    say(f"{len(tests)} test cases, {asked.runs} times, on {asked.shards} nodes in turns with one")
    ours, theirs = medians(asked.runs, shared, alone)
    result = Result(
        f"{asked.shards} nodes share a run", ours, theirs, "s", asked.runs, "one node", asked.runs,
        ratio_limit=SHARED_RATIO,
    )  # fmt: skip
    on_nodes, on_one = shared.outcomes or {}, alone.outcomes or {}
    differ = {name for name in {*on_nodes, *on_one} if on_nodes.get(name) != on_one.get(name)}
    say(f"{len(on_nodes)} tests; {len(differ)} ended otherwise than on one node")
    return report([result, Result("tests that ended otherwise", len(differ), None, "tests", 1, limit=0)], load)


def verdict(queued: Queued, by_hand: ByHand, measured: Result, load: float) -> int:
    """Print what came out and whether test by test it is the same."""
    whole = replace(measured, peer_name="tempest run by hand", peer_runs=measured.runs, ratio_limit=RATIO)
    ours, theirs = queued.outcomes or {}, by_hand.outcomes or {}
    differ = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
    for name in sorted(differ):
        say(f"differs: {name}: {ours.get(name)} through the queue, {theirs.get(name)} by hand")
    counts = {status: sum(1 for each in ours.values() if each == status) for status in sorted(set(ours.values()))}
    say(f"{len(ours)} tests, {counts}; {len(differ)} ended otherwise than by hand")
    status = report([whole, Result("tests that ended otherwise", len(differ), None, "tests", 1, limit=0)], load)
    return status if ours else 1
