"""Called as ``execute_test`` by the worker's tests: keeps its contract, and misbehaves as ``conf_json`` says.

The section ``standin`` of the configuration holds ``mode``, and ``mark``: a file for the ids of its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
open(sys.argv[1], "a").write(str(os.getpid()) + chr(10))
time.sleep(600)
"""

LONG_CLEANUP = 20.0
"""Seconds; longer than the worker waits for a run beyond the run's own limit (15 s)."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--callback", nargs=2)
    for name in ("--attempt", "--token-file", "--conf_json", "--tempest_home", "--testcases", "--concurrency"):
        parser.add_argument(name)
    for name in (
        "--timeout",
        "--resource-prefix",
        "--workdir",
        "--progress",
        "--post-only",
        "--patience",
        "--stop-grace",
    ):
        parser.add_argument(name)
    parser.add_argument("--ca-file")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--cleanup-only", action="store_true")
    given = parser.parse_args()
    if given.post_only:
        return post(given, Path(given.post_only))
    conf = json.loads(Path(given.conf_json[1:]).read_text())
    if given.cleanup_only:
        if conf["standin"]["mode"] == "leaves-much":
            time.sleep(LONG_CLEANUP)
        say(event="message", text=f"removed 3 things of {given.resource_prefix}")
        return end(0, "passed", "3 leftovers removed")
    return run(given, conf["standin"])


def trusted(given: argparse.Namespace) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=given.ca_file) if given.ca_file else None


def run(given: argparse.Namespace, standin: dict[str, str]) -> int:
    mode = standin["mode"]
    print(f"this is mode {mode}", file=sys.stderr, flush=True)
    if mode == "cloud":
        return end(3, "cloud", "the cloud refuses the credentials")
    if mode == "server":
        return end(6, "server", "the RefStack server cannot be used")
    say(event="state", state="running", message="Tempest stand-in")
    say(event="progress", total=4, done=1, passed=1, failed=0, skipped=0, seconds_left=None, test="a.b")
    name = "tempest.api.a.TestA.test_b"
    say(event="test", time=time.time(), test=name, status="started")
    say(event="request", time=time.time(), method="GET", path=f"/v3?k={standin.get('secret', '')}", status=200, ms=12,
        service="identity", request_id="req-1", test="TestA:test_b")  # fmt: skip
    say(event="test", time=time.time(), test=name, status="passed", seconds=0.5)
    with open(standin["mark"], "a") as mark:
        mark.write(f"{os.getpid()}\n")
    if mode == "stubborn":
        stubborn(standin["mark"])
    if mode == "leaves-much":
        return end(4, "tempest", "Tempest broke")
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "wait":
        while not os.path.exists(standin["mark"] + ".go"):
            time.sleep(0.02)
    Path(given.workdir, "subunit").write_bytes(b"\xb3 the stream of " + given.callback[1].encode())
    Path(given.workdir, "summary.json").write_text(json.dumps({"counts": {"total": 4}}))
    say(event="state", state="posting", message="4 tests")
    return post(given, Path(given.workdir))


def stubborn(mark: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(3):
        subprocess.run([sys.executable, "-c", DAEMON, mark])
    while Path(mark).read_text().count("\n") < 4:
        time.sleep(0.01)
    say(event="progress", total=4, done=2, passed=2, failed=0, skipped=0, seconds_left=1, test="a.c")
    time.sleep(600)


def post(given: argparse.Namespace, folder: Path) -> int:
    url, test_id = given.callback
    request = urllib.request.Request(  # noqa: S310 - the test's own server
        f"{url}/post-result?test_id={test_id}&attempt={given.attempt}",
        data=(folder / "subunit").read_bytes(),
        headers={"Authorization": f"Bearer {Path(given.token_file).read_text()}"},
    )
    try:
        with urllib.request.urlopen(request, context=trusted(given)) as answer:  # noqa: S310
            assert answer.status == 201
    except urllib.error.HTTPError as error:
        return end(5, "refused" if error.code == 409 else "not-posted", f"answered {error.code}")
    return end(0, "passed", "all passed")


def end(status: int, reason: str, message: str) -> int:
    say(event="end", exit_code=status, reason=reason, message=message)
    return status


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main())
