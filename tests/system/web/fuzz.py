"""Let schemathesis loose on the API and say what came of it (needs schemathesis; it is found beside this Python).

    python -m tests.system.web.fuzz [--examples N] [--seed N] [--out FILE]

As an operator, on a furnished ledger. Revoking tokens is left out: it would take away its own; so is the
endless stream. The requests are counted
by the server, by operation and status. Exit status 0: nothing found, and at least 10,000 requests answered.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from tests.system.web.site import furnish, serving

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)
ENOUGH = 10_000
"""Requests of one run."""
LEFT_OUT = ("revoke_token", "revoke_own_token", "follow_runs")
"""Operations: the first two would take away the token that is used; the last is a stream that never ends."""


class Counted:
    """Counts what the server answers under ``/v1/``."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._lock = threading.Lock()

    def prepare(self, app: Flask) -> None:
        """Stand behind every call of an application."""
        app.after_request(self._count)

    def _count(self, answer: Response) -> Response:
        rule = request.url_rule.rule if request.url_rule else "(no such address)"
        with self._lock:
            self.operations[f"{request.method} {rule}"] += 1
            self.statuses[answer.status_code] += 1
        return answer

    def to_json(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "requests": sum(self.statuses.values()),
            "server_errors": sum(count for status, count in self.statuses.items() if status == 500),
            "by_status": {str(status): count for status, count in sorted(self.statuses.items())},
            "by_operation": dict(sorted(self.operations.items())),
        }


def main(arguments: list[str]) -> int:
    """Return 0 when schemathesis found nothing in enough requests."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.web.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=400, help="that schemathesis makes for each operation")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", type=Path, help="file for the result, JSON")
    asked = parser.parse_args(arguments)
    counted, began = Counted(), time.monotonic()
    status = fuzz(asked, counted)
    result = {
        "command": f"python -m tests.system.web.fuzz --examples {asked.examples} --seed {asked.seed}",
        "schemathesis": version(),
        "checks": CHECKS.split(","),
        "left_out": list(LEFT_OUT),
        "seed": asked.seed,
        "examples": asked.examples,
        "exit_status": status,
        "seconds": round(time.monotonic() - began, 1),
        "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        **counted.to_json(),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text, "utf-8")
    return status or int(result["requests"] < ENOUGH) or int(result["server_errors"] > 0)


def fuzz(asked: argparse.Namespace, counted: Counted) -> int:
    """Let it loose; return schemathesis's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        limits = {"RATE_LIMIT": 0, "SIGN_IN_LIMIT": 0, "EVENT_STREAMS": 0}
        with serving(Path(folder), counted.prepare, **limits) as site:
            furnish(site)
            words = [*schemathesis("run"), f"{site.url}/v1/openapi.json"]
            words += ["-H", f"Authorization: Bearer {site.tokens['operator']}", "--max-examples", str(asked.examples)]
            words += ["--phases", "coverage,fuzzing", "--checks", CHECKS, "--workers", "1", "--seed", str(asked.seed)]
            words += ["--no-color", "--continue-on-failure"]
            words += [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
            return subprocess.run(words, check=False, cwd=folder).returncode


def schemathesis(*words: str) -> list[str]:
    """Return its command line."""
    return [str(Path(sys.executable).with_name("schemathesis")), *words]


def version() -> str:
    """Return schemathesis's version."""
    told = subprocess.run(schemathesis("--version"), check=True, capture_output=True, text=True)
    return told.stdout.strip().rpartition(" ")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
