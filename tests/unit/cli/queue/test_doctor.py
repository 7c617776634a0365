"""``refstack-queue doctor`` and ``status`` name the clocks of the server's side that are off (M2)."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import insert

from refstack_worker.cli.queue import doctor
from refstack_worker.cli.queue.server_state import clocks_of
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING
from tests.support.ledgers import Clock, make_settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(make_settings(tmp_path), clock)
    ledger.upgrade()
    yield ledger
    ledger.close()


@contextmanager
def api(skew: float, status: int = 200) -> Iterator[str]:
    """An API on a machine whose clock is off."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", email.utils.formatdate(time.time() + skew, usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def heard(ledger: Ledger, name: str, skew: float, ago: float = 30.0) -> None:
    with ledger.database.writing() as connection:
        row = {"name": name, "skew": skew, "seen_at": ledger.clock() - ago}
        connection.execute(insert(queue_tables.server).values(row))


@pytest.mark.parametrize(("skew", "result"), [(0.4, GOOD), (-30.0, WARNING), (65.0, BAD), (-7200.0, BAD)])
def test_a_server_machine_whose_clock_is_off_is_named(ledger: Ledger, clock: Clock, skew: float, result: str) -> None:
    clock.time = time.time()
    heard(ledger, "api-2", skew)
    heard(ledger, "long-gone", 9999.0, ago=3600.0)
    found = {one.check: one for one in doctor.check_clocks(ledger)}
    assert set(found) == {"clock of this machine", "clock of api-2"}
    assert found["clock of api-2"].result == result and f"{skew:+.1f} s" in found["clock of api-2"].found
    assert found["clock of this machine"].result == GOOD
    assert clocks_of(ledger)["clock of api-2"] == f"{skew:+.1f} s"


def test_this_machine_is_compared_with_the_database(ledger: Ledger, clock: Clock) -> None:
    """The ledger's clock stands for the database's; the machine's own is some years off it."""
    clock.time = time.time() + 90
    (found,) = doctor.check_clocks(ledger)
    assert found.result == BAD and "-90" in found.found and found.todo
    assert clocks_of(ledger)["clock of this machine"].startswith("-90")


@pytest.mark.parametrize(("skew", "result"), [(0.0, GOOD), (-20.0, WARNING), (300.0, BAD)])
def test_the_apis_machine_is_compared_by_its_date(tmp_path: Path, skew: float, result: str) -> None:
    with api(skew) as url:
        ledger = Ledger(make_settings(tmp_path, APP_ADDRESS=url), time.time)
        health, its_clock = doctor.check_api(ledger)
        ledger.close()
    assert (health.result, its_clock.result) == (GOOD, result)


def test_an_api_that_is_not_well_is_bad(tmp_path: Path) -> None:
    with api(0.0, 503) as url:
        ledger = Ledger(make_settings(tmp_path, APP_ADDRESS=url), time.time)
        assert next(iter(doctor.check_api(ledger))).result == BAD
    (found,) = doctor.check_api(ledger)
    assert found.result == BAD and "connection refused" in found.found
    ledger.close()


def test_a_node_whose_clock_is_off_is_named(ledger: Ledger, clock: Clock) -> None:
    ledger.nodes.record(Node("n-1", ("47.0.0",), 1, state="ready", time=clock() + 20))
    (found,) = doctor.check_nodes(ledger)
    assert (found.check, found.result) == ("clock of node n-1", WARNING)
    clock.forward(3600)
    assert list(doctor.check_nodes(ledger)) == []


def test_a_check_that_cannot_be_made_is_a_finding(tmp_path: Path) -> None:
    ledger = Ledger(make_settings(tmp_path, APP_ADDRESS="http://127.0.0.1:1"))
    found = {one.check: one for one in doctor.examine(ledger)}
    ledger.close()
    assert found["database"].result == BAD and "db upgrade" in found["database"].found


def test_a_database_that_is_not_there_is_one_finding_and_is_not_created(tmp_path: Path) -> None:
    """Checks that need its tables are left out. Looking created the file as root, which the next check then named."""
    ledger = Ledger(make_settings(tmp_path))
    findings = doctor.examine(ledger)
    ledger.close()
    (database,) = [one for one in findings if one.check == "database"]
    assert database.result == BAD and "no such file; run 'refstack-queue db upgrade'" in database.found
    assert not {one.check for one in findings} & {"writing", "demand", "clock", "nodes"}
    assert not list(tmp_path.rglob("*.sqlite*"))
