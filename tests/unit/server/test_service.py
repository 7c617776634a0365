"""The parts of a server's process, put together."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from refstack_worker import process
from refstack_worker.config.notifications import NotifySettings
from refstack_worker.config.server import ServerSettings
from refstack_worker.server.service import Services
from tests.support.http_server import Reply, serving
from tests.support.ledgers import new_run
from tests.support.notifications import subscribe
from tests.support.processes import eventually


def test_a_process_sends_notifications_while_it_lives(settings: ServerSettings) -> None:
    allowed = replace(settings, notify=NotifySettings(hook_networks=(ip_network("127.0.0.0/8"),)))
    with serving() as receiver, Services(allowed) as services:
        receiver.on("/hook", Reply(200, b""))
        services.ledger.upgrade()
        subscribe(services.ledger, target=f"{receiver.url}/hook")
        services.notify()
        services.ledger.runs.cancel(services.ledger.runs.add(new_run()).test_id, "me")
        (asked,) = eventually("a message arrives", lambda: receiver.asked)
        eventually("it is recorded", lambda: services.ledger.deliveries.counts()["accepted"])
    assert json.loads(asked.body)["data"]["run"]["result"] == "cancelled"


def test_a_process_leaves_no_core_file_with_passwords(settings: ServerSettings) -> None:
    program = (
        "import resource; from pathlib import Path; from tests.support.ledgers import make_settings;"
        "from refstack_worker.server.service import Services;"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]; resource.setrlimit(resource.RLIMIT_CORE, (hard, hard));"
        f"Services(make_settings(Path({str(settings.data.parent)!r})));"
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = process.run([sys.executable, "-c", program], process.Options(cwd=Path(__file__).parents[3]))
    assert done.stdout == "(0, 0)\n"
