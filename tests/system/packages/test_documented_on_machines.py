"""The commands of the operators' pages work as they stand there, on booted Debian 12 and 13 with the packages."""

from __future__ import annotations

import os

import pytest

from tests.support.documented import script
from tests.system.packages.conftest import FIRST
from tests.system.packages.node import Node

SERVER = "http://127.0.0.1:8000"

pytestmark = pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it")


def run(node: Node, page: str, name: str) -> str:
    """Run a marked block until its first command that fails."""
    commands = script(page, name)
    node.machine.write("root/documented", f"set -euo pipefail\n{commands}")
    return node.machine.run("bash", "/root/documented").stdout


def test_the_pages_for_operators(bare_machine: Node) -> None:
    node = bare_machine
    machine = node.machine
    said = run(node, "server.md", "server")
    assert "responds" in said and "bad" not in said and "operator" in said
    assert '"status":"ok"' in machine.run("python3", "-c", HEALTH).stdout
    run(node, "backup.md", "backup")
    said = run(node, "backup.md", "restore")
    assert "bad" not in said
    node.install("refstack-worker", f"refstack-tempest-{FIRST}")
    node.set_up_worker()
    run(node, "worker.md", "store")
    machine.wait("the worker with its store elsewhere", lambda: is_at_work(node), 60)
    assert machine.sh("ls /srv/store/entries").split(), "the last command fills it"
    run(node, "worker.md", "second")
    listed = "refstack-queue worker list -f value -c Node"
    machine.wait("both are known to the server", lambda: len(machine.sh(listed).split()) == 2, 60)
    assert "node-b" in machine.sh(listed)
    nginx_serves(node)


HEALTH = f"import urllib.request; print(urllib.request.urlopen('{SERVER}/health').read().decode())"


def is_at_work(node: Node) -> bool:
    return node.machine.run("refstack-worker", "health", check=False).returncode == 0


def nginx_serves(node: Node) -> None:
    """The sample configuration, with a certificate of the test's: the API is reached, large bodies are not."""
    machine = node.machine
    node.install("nginx-light", "openssl", "curl")
    machine.sh(
        "cp /usr/share/doc/refstack-queue/examples/nginx/refstack.conf /etc/nginx/conf.d/\n"
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/ssl/private/refstack.key"
        " -out /etc/ssl/certs/refstack.pem -days 9 -subj /CN=refstack.example.org 2>&1\n"
        "nginx -t && systemctl restart nginx\n"
    )
    ask = "curl -sk -o /dev/null -w %{http_code} --resolve refstack.example.org:443:127.0.0.1"
    site = "https://refstack.example.org"
    assert machine.sh(f"{ask} {site}/health") == "200"
    machine.sh("truncate -s 10M /root/large")
    assert machine.sh(f"{ask} --data-binary @/root/large {site}/v1/runs") == "413"
    assert machine.sh(f"{ask} --data-binary @/root/large {site}/post-result") != "413"
