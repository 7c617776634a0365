"""A run does not reach the metadata service of the machine that it is on: a real one, in a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import TOP

SERVICE = """
import http.server, json, os, subprocess, sys, threading
for words in ("ip link set lo up", "ip addr add 169.254.169.254/32 dev lo"):
    subprocess.run(words.split(), check=True)
asked = []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        asked.append((self.server.server_address[0], self.path))
        answer = {"token": {"catalog": [{"type": "object-store", "endpoints": [
            {"url": "http://169.254.169.254:8080/latest", "interface": "public"}]}], "roles": [{"name": "admin"}]}}
        text = json.dumps(answer).encode()
        self.send_response(201)
        self.send_header("X-Subject-Token", "t")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_POST = do_GET
    def log_message(self, *_): pass
for host in ("169.254.169.254", "127.0.0.1"):
    server = http.server.ThreadingHTTPServer((host, 8080), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(json.dumps({"status": done.returncode, "said": done.stdout + done.stderr, "asked": asked}))
"""


def run_against(address: str, folder: Path) -> dict[str, object]:
    """Run ``execute_test`` with a cloud at an address, where a metadata service answers; returns what happened."""
    home = folder / "tempest"
    # what execute_test takes for a Tempest; the run ends before it would be started
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (site,) = (home / "lib").glob("python3*/site-packages")
    (site / "tempest").mkdir()
    (site / "tempest" / "__init__.py").touch()
    (home / "bin" / "tempest").write_text("#!/bin/sh\nexit 1\n")
    (home / "bin" / "tempest").chmod(0o755)
    conf = {"identity": {"uri_v3": f"http://{address}:8080/v3", "username": "u", "password": "p", "project_name": "p"}}
    words = [sys.executable, str(TOP / "refstack_worker" / "execute_test"), "--conf_json", json.dumps(conf)]
    words += ["--tempest_home", str(home), "--workdir", str(folder / "work"), "--testcases", "tempest.api"]
    argv = ["unshare", "-n", sys.executable, "-c", SERVICE, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(autouse=True)
def own_network() -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
        pytest.skip("a network of its own needs root")


def test_a_cloud_at_the_metadata_address_is_not_asked(tmp_path: Path) -> None:
    done = run_against("169.254.169.254", tmp_path)
    assert (done["status"], done["asked"]) == (3, []), done
    assert "metadata service" in str(done["said"])


def test_a_catalogue_that_names_the_metadata_address_ends_the_run(tmp_path: Path) -> None:
    done = run_against("127.0.0.1", tmp_path)
    assert done["status"] == 3 and "metadata service" in str(done["said"]), done
    assert {host for host, _ in done["asked"]} == {"127.0.0.1"}  # type: ignore[attr-defined]
