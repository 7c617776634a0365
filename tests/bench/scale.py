"""A large fleet on one machine: real API, monitor, gearmand (libsqlite3) and PostgreSQL; the nodes are simulated.

Runs are recorded over the API; a fleet of simulated nodes (``_fleet.py``) works them off; in the middle gearmand is
killed (-9), further runs are recorded while it is away, and it is started again. At the end every run must be finished
with one accepted result, carried out once; queue, leases and the nodes' disks must be empty; memory, connections and
open files of the server's side must be flat.
"""

# ruff: noqa: S603, S608 - programs and numbers are our own

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy

from refstack_worker.cli.api_client import Access, Api
from tests.bench._measure import say
from tests.bench._nodes import Fleet, versions
from tests.bench._server import cluster
from tests.bench._watch import (
    Group,
    Watch,
    cores,
    cpu,
    flatness,
    growth_rule,
    most_memory,
    queue_status,
    saved,
    tree,
)
from tests.support.processes import Site, eventually, site

CONF = {"identity": {"uri_v3": "http://127.0.0.1:9/v3", "password": "of-the-simulation-5102"}}
SHOWN = 12
"""Every such sample stands in the JSON."""
GROUPS = ("api", "monitor", "gearmand", "postgresql", "fleet")
RECORDERS = 8
IDLE_TRIGGERS = 20


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/run scale", description=__doc__)
    parser.add_argument("--workers", type=int, default=1000, help="nodes, of one slot each")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=20, help="Tempest versions that the runs ask for")
    parser.add_argument(
        "--run-seconds", type=float, default=60.0, help="that the tests of a run take, give or take 30 %%"
    )
    parser.add_argument("--heartbeat-seconds", type=float, default=10.0)
    parser.add_argument("--processes", type=int, default=8, help="that the nodes are spread over")
    parser.add_argument("--down-seconds", type=float, default=5.0, help="between the kill of gearmand and its start")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds for the fleet to work all off")
    parser.add_argument("--keep", default="", metavar="FILE", help="also write the JSON, with all samples, there")
    asked = parser.parse_args(arguments)
    load_before = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="refstack-scale-"))
    folder.chmod(0o700)
    settings = {"HEARTBEAT_SECONDS": asked.heartbeat_seconds, "HEARTBEAT_LIMIT": 60.0}
    try:
        with (
            cluster() as database,
            site("production", folder / "site", database.new_database(), settings=settings) as place,
        ):
            bench = Bench(place, asked, database.folder)
            told = bench.results()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "load_before": load_before, "load_after": os.getloadavg()[0]}
    told = {"name": "scale", "asked": vars(asked), "machine": machine, **told}
    saved(asked.keep, told, bench.watch.samples)
    print(json.dumps(told, indent=1))
    return 0 if told["holds"] else 1


class Bench:
    """The whole course of it in one set-up."""

    def __init__(self, place: Site, asked: argparse.Namespace, database_folder: Path) -> None:
        self.place = place
        self.asked = asked
        self.fleet: Fleet | None = None
        self.config = self._worker_config()
        url = place.database_url.replace("postgresql://", "postgresql+psycopg2://")
        self._engine = sqlalchemy.create_engine(url, pool_size=2)
        postmaster = int((database_folder / "data" / "postmaster.pid").read_text().split()[0])
        api, monitor = (program.pid for program in place.services)
        gearmand = place.gearmand
        assert gearmand is not None
        self.gearmand = gearmand
        pids = {
            "api": lambda: tree(api), "monitor": lambda: tree(monitor), "gearmand": lambda: [gearmand.program.pid],
            "postgresql": lambda: tree(postmaster),
            "fleet": lambda: [process.pid for process in self.fleet.processes] if self.fleet else [],
        }  # fmt: skip
        self.watch = Watch({name: Group(pids[name]) for name in GROUPS}, self._sample)
        self.marks: dict[str, float] = {}

    def results(self) -> dict[str, Any]:
        """Do it, and say what was found."""
        late = max(1, self.asked.runs // 100)
        self.watch.start()
        try:
            recorded = self._record(0, self.asked.runs - late)
            began = time.monotonic()
            self.fleet = Fleet(self.place.folder, self.asked, self.config)
            fleet_took = round(time.monotonic() - began, 1)
            self._until(self.asked.runs // 2)
            outage = self._outage(late)
            self._until(self.asked.runs)
            took = time.monotonic() - began
            end = time.monotonic() - self.watch._began
            emptied = self._until_empty()
            told = self.fleet.look()
            checks, ledger = self._checks(told), self._ledger()
            idle = self._idle()
        finally:
            self.watch.stop()
            if self.fleet is not None:
                self.fleet.end()
        window = [one for one in self.watch.samples if self._is_between(one, end)]
        flat = flatness(window)
        checks["memory, connections and files flat"] = all(one["flat"] for one in flat.values())
        return {
            "holds": all(bool(value) for value in checks.values()),
            "checks": checks,
            "recorded": recorded,
            "fleet": {"connected_after_s": fleet_took, **told},
            "outage": outage,
            "worked_off": {"seconds": round(took, 1), "runs_a_second": round(self.asked.runs / took, 2)},
            "queue_empty_after_s": emptied,
            "cores_from_a_quarter_to_the_end": {name: cores(window, name) for name in GROUPS},
            "flatness": {"rule": growth_rule(), "series": flat},
            "most_memory_mb": most_memory(self.watch.samples, GROUPS),
            "ledger": ledger,
            "idle_fleet": idle,
            "tables": self._tables(),
            "logged": self._logged(),
            "samples": self.watch.samples[::SHOWN],
        }

    # --- the steps

    def _record(self, first: int, count: int) -> dict[str, Any]:
        """Trigger runs over the API, several at once."""
        token = self.place.token.read_text().strip()
        local = threading.local()
        names = versions(self.asked.versions)

        def one(number: int) -> None:
            if not hasattr(local, "api"):
                local.api = Api(Access(self.place.url, token))
            body = {"conf_json": CONF, "tempest_version": names[number % len(names)], "label": f"scale {number}"}
            local.api.post("/v1/runs", body, key=f"scale-{number}")

        began = time.monotonic()
        with ThreadPoolExecutor(RECORDERS) as pool:
            list(pool.map(one, range(first, first + count)))
        took = time.monotonic() - began
        say(f"{count} runs recorded in {took:.1f} s")
        submitted = "SELECT count(*) FROM queue_attempt WHERE submitted_at > 0"
        told = {"runs": count, "seconds": round(took, 2), "runs_a_second": round(count / took, 1)}
        return {**told, "in_the_queue_by_then": self._one(submitted), "threads": RECORDERS}

    def _outage(self, late: int) -> dict[str, Any]:
        """Kill gearmand, record runs meanwhile, start it again."""
        say("killing gearmand")
        before = self._counts()
        began = time.monotonic()
        self.gearmand.kill()
        recorded = self._record(self.asked.runs - late, late)
        time.sleep(max(0.0, self.asked.down_seconds - (time.monotonic() - began)))
        started = time.monotonic()
        self.gearmand.start()
        listening = time.monotonic()
        assert self.fleet is not None
        fleet = self.fleet
        eventually("the fleet is connected again", lambda: fleet.connected() == self.asked.workers, 300)
        return {
            "finished_before": before.get("finished", 0),
            "held_before": sum(before.get(state, 0) for state in ("claimed", "building", "running", "posting")),
            "recorded_meanwhile": recorded,
            "down_s": round(listening - began, 1),
            "gearmand_listens_after_s": round(listening - started, 2),
            "fleet_connected_after_s": round(time.monotonic() - listening, 1),
        }

    def _until(self, finished: int) -> None:
        deadline = time.monotonic() + self.asked.patience
        said = 0.0
        while True:
            counts = self._counts()
            if counts.get("finished", 0) >= finished:
                return
            ended = counts.get("failed", 0) + counts.get("cancelled", 0)
            if ended or time.monotonic() > deadline:
                # the checks at the end say what is missing; here nothing more comes
                say(f"not all finished: {counts}\n{self.place.logs()[-6000:]}")
                return
            if time.monotonic() - said > 30:
                said = time.monotonic()
                say(f"{counts}, load {os.getloadavg()[0]:.1f}")
            time.sleep(0.5)

    def _until_empty(self) -> float:
        began = time.monotonic()
        while queue_status(self.gearmand.port)["jobs"] and time.monotonic() - began < 120:
            time.sleep(0.2)
        return round(time.monotonic() - began, 1)

    def _idle(self) -> dict[str, Any]:
        """Trigger runs one after the other while all the nodes wait; each wakes all that serve its version."""
        before = self.gearmand_cpu()
        made = [self._claimed(number) for number in range(self.asked.runs, self.asked.runs + IDLE_TRIGGERS)]
        times = sorted(made)
        return {
            "triggers": len(times),
            "trigger_to_claim_ms": {"p50": times[len(times) // 2], "max": times[-1]},
            "gearmand_cpu_ms_each": round((self.gearmand_cpu() - before) * 1000 / len(times), 1),
        }

    def _claimed(self, number: int) -> float:
        """Return the milliseconds from the trigger to the claim."""
        names = versions(self.asked.versions)
        began = time.time()
        test_id = self.place.create(CONF, tempest_version=names[number % len(names)])
        question = f"SELECT claimed_at FROM queue_attempt WHERE test_id = {test_id} AND claimed_at > 0"
        claimed = eventually("the run is claimed", lambda: self._rows(question), 60)[0][0]
        return round((float(claimed) - began) * 1000, 1)

    def gearmand_cpu(self) -> float:
        return cpu(self.gearmand.program.pid)

    # --- what is looked at

    def _sample(self) -> Mapping[str, Any]:
        connections = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        sample: dict[str, Any] = {"runs": self._counts(), "database": {"connections": self._one(connections)}}
        sample["load"] = os.getloadavg()[0]
        try:
            sample["queue"] = queue_status(self.gearmand.port)
        except OSError as error:
            sample["queue"] = {"trouble": str(error)}
        return sample

    def _is_between(self, sample: Mapping[str, Any], end: float) -> bool:
        """Whether a sample is from the time from a quarter of the runs to the end of the last."""
        done = sample.get("runs", {}).get("finished", 0)
        return bool(done >= self.asked.runs / 4 and sample["at_s"] <= end)

    def _checks(self, fleet: Mapping[str, Any]) -> dict[str, Any]:
        runs, counts = self.asked.runs, fleet["counts"]
        held = "SELECT count(*) FROM queue_attempt WHERE claimed_at > 0"
        wrong_attempt = (
            "SELECT count(*) FROM queue_result t JOIN queue_run r USING (test_id) WHERE t.attempt <> r.attempt"
        )
        open_ones = "SELECT count(*) FROM queue_attempt WHERE is_open OR leased_until > 0 AND submitted_at = 0"
        queue = queue_status(self.gearmand.port)
        lines = self.place.services[0].text()
        return {
            "every run is recorded once": self._one("SELECT count(*) FROM queue_run") == runs,
            "every run is finished": self._counts() == {"finished": runs},
            "every run has one result": self._one("SELECT count(*) FROM queue_result") == runs,
            "the API accepted no result twice": len(re.findall(r"result accepted", lines)) == runs,
            "every result is of its run's last attempt": self._one(wrong_attempt) == 0,
            "every run was carried out once": counts.get("executions") == runs == self._one(held),
            "no attempt is open or leased": self._one(open_ones) == 0,
            "no password is kept": self._one("SELECT count(*) FROM queue_run WHERE sealed_conf IS NOT NULL") == 0,
            "gearmand has no job": queue["jobs"] == 0,
            "gearmand's database has no job": self._on_disk() == 0,
            "every node is connected": fleet["connected"] == self.asked.workers,
            "nothing is left on the nodes' disks": fleet["left"] == 0,
        }

    def _ledger(self) -> dict[str, Any]:
        attempts = "SELECT attempt, count(*) FROM queue_run GROUP BY attempt ORDER BY attempt"
        outcomes = (
            "SELECT outcome, note, count(*) FROM queue_attempt WHERE outcome <> 'finished' GROUP BY 1, 2 ORDER BY 3"
        )
        waits = (
            "SELECT percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY ended_at - started_at) FROM queue_run"
        )
        return {
            "runs_by_attempts": {str(row[0]): row[1] for row in self._rows(attempts)},
            "attempts_that_were_not_finished": [list(row) for row in self._rows(outcomes)][-10:],
            "claim_to_end_s": dict(zip(("p50", "p99", "max"), (round(one, 1) for one in self._rows(waits)[0][0]))),
        }

    def _tables(self) -> dict[str, Any]:
        """Return how the database read and wrote its largest tables."""
        names = ("seq_scan", "seq_tup_read", "idx_scan", "n_tup_ins", "n_tup_upd", "n_tup_hot_upd", "n_dead_tup")
        question = (
            f"SELECT relname, pg_total_relation_size(relid) / 1048576, {', '.join(names)} FROM pg_stat_user_tables"
        )
        rows = self._rows(f"{question} ORDER BY pg_total_relation_size(relid) DESC LIMIT 6")
        return {row[0]: {"mb": row[1], **dict(zip(names, row[2:]))} for row in rows}

    def _logged(self) -> dict[str, Any]:
        """Return what the server's side logged, numbers left out, the most frequent first."""
        found: dict[str, Any] = {}
        for program in self.place.services:
            counted = Counter(re.sub(r"[0-9][0-9:.]*", "N", line)[:160] for line in program.text().splitlines())
            found[program.log.stem] = dict(counted.most_common(8))
        return found

    def _counts(self) -> dict[str, int]:
        return {row[0]: row[1] for row in self._rows("SELECT state, count(*) FROM queue_run GROUP BY state")}

    def _on_disk(self) -> int:
        with sqlite3.connect(f"file:{self.gearmand.database}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM gearman_queue").fetchone()[0])

    def _one(self, question: str) -> int:
        return int(self._rows(question)[0][0])

    def _rows(self, question: str) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(question)))

    def _worker_config(self) -> Path:
        """Write a worker's settings as :meth:`Site.start_worker` does; the nodes take all but name and folders."""
        program = self.place.start_worker("template")
        program.kill()
        self.place.workers.pop("template")
        return self.place.folder / "template" / "worker.toml"
