"""Processes that share an address count their requests together; what one counts alone is in ``test_metrics``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from pathlib import Path
from flask import Flask
from prometheus_client import generate_latest
from refstack_worker.server.serving import request_metrics

def application():
    metrics, app = request_metrics.RequestMetrics(), Flask("x")
    metrics.register(app)
    app.add_url_rule("/hello", view_func=lambda: "hello")
    metrics.begin_with_zero(app)
    return metrics, app.test_client()

request_metrics.share(Path(sys.argv[1]))
for requests in (2, 3):
    if os.fork() == 0:
        _metrics, client = application()
        for _ in range(requests):
            client.get("/hello")
        os._exit(0)
    os.wait()
metrics, client = application()
client.get("/hello")
print(generate_latest(metrics.registry).decode())
"""


def test_processes_of_one_address_count_together(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'refstack_http_requests_total{method="GET",route="/hello",status="2xx"} 6.0' in done.stdout
    assert 'refstack_http_request_duration_seconds_count{method="GET",route="/hello"} 6.0' in done.stdout
    assert 'status="5xx"} 0.0' in done.stdout
