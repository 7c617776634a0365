"""The calls in ``docs/update-test-status.md``, run as they stand there, give the answers that stand there."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from refstack_worker.config.server import ServerSettings
from refstack_worker.gearman import Address
from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.serving.http_server import http_server
from tests.support.ledgers import claimed, make_settings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "update-test-status.md"


@pytest.fixture
def settings(tmp_path: Path, postgresql_url: str) -> ServerSettings:
    return make_settings(
        tmp_path, DATABASE_URL=postgresql_url, TESTING_HOSTS=["127.0.0.1"], TRUSTED_PROXIES=["127.0.0.1"]
    )


def test_the_calls_of_the_page(ledger: Ledger) -> None:
    job = claimed(ledger)
    server = http_server(create_app(ledger), Address("127.0.0.1", 0), ledger.settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    given = {
        "URL": f"http://127.0.0.1:{server.effective_port}",
        "PAYLOAD": job.envelope.decode(),
        "PROOF": job.token,
        "PATH": os.environ["PATH"],
    }
    calls = re.findall(r"```console\n\$ (.+?)\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    try:
        for command, expected in calls:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=given)
            assert done.stdout == expected, command
    finally:
        server.task_dispatcher.shutdown(timeout=10)
        server.close()
        thread.join(10)
    assert {expected.split()[-1] for _command, expected in calls} == {"202", "400", "405"}
    assert [message.message for message in ledger.runs.messages(1)][2:] == ["running: 5 of 60 tests", "half way"]
