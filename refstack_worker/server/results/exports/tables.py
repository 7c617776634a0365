"""CSV and JSON: for spreadsheets and for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from refstack_worker.contract.spreadsheets import harmless
from refstack_worker.server.results import upload
from refstack_worker.server.results.exports.report import ExportedRun, Pieces, moment

COLUMNS = ("name", "id", "status", "seconds", "started_at", "reason")


def as_csv(exported: ExportedRun) -> Pieces:
    """Yield one line of CSV a test, after a line of names (RFC 4180)."""
    buffer = io.StringIO()
    # quoted, because some spreadsheets separate at semicolons too
    out = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    out.writerow(COLUMNS)
    for test in exported.tests():
        began = f"{moment(test.started_at)}Z" if test.started_at else ""
        row = (test.name, test.uuid, test.status, f"{test.seconds:.3f}", began, test.reason)
        out.writerow([harmless(cell) for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def as_json(exported: ExportedRun) -> Pieces:
    """Yield one JSON object: the run, its verdict, its tests."""
    run = exported.run
    about = {
        "test_id": run.test_id,
        "label": run.label,
        "attempt": run.attempt,
        "state": run.state.value,
        "tempest_version": run.spec.tempest_version or None,
        "openstack_release": run.spec.openstack_release or None,
        "cloud": run.cloud.label or None,
        "counts": asdict(run.counts),
        "seconds": exported.seconds,
        "accepted_at": f"{moment(exported.accepted_at)}Z",
        "verdict": exported.verdict.to_json() if exported.verdict else None,
    }
    yield json.dumps(about)[:-1] + ', "tests": [\n'
    mark = ""
    for test in exported.tests():
        yield mark + json.dumps(test.as_row())
        mark = ",\n"
    yield "\n]}\n"


def as_refstack(exported: ExportedRun) -> Pieces:
    """Yield what ``refstack-client upload`` takes, byte for byte what is uploaded from here.

    :raises ResultError: no test passed.
    """
    yield upload.body(exported.cpid, exported.seconds, exported.tests()).decode("utf-8")
