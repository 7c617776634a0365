"""What a run can do to its node: nothing. Misbehaving programs in the real run sandbox of an installed node.

Each is given to ``refstack-run.socket`` as the worker gives runs to it; afterwards the next run must be well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.installer_nodes import Node, Site

DRIVER = """
import json, sys, threading, time
from pathlib import Path
from refstack_worker.worker.sandbox.runner import Command, SystemdRunner

class Heard:
    lines = []
    def event(self, event): self.lines.append(event)
    def log(self, line): self.lines.append(line)
    def file(self, name, data, last): pass

asked = json.load(open(sys.argv[1]))
heard, began = Heard(), time.monotonic()
with SystemdRunner(Path("/run/refstack-run.sock")).open("test") as session:
    if asked.get("stop_after"):
        threading.Timer(asked["stop_after"], session.stop).start()
    end = session.run(Command(("/usr/bin/python3", "-c", asked["code"]), {"PATH": "/usr/bin:/bin"}), heard)
    ran = time.monotonic() - began
print(json.dumps({"status": end.status, "lost": end.lost, "lines": heard.lines, "seconds": ran}))
"""
MARK = "refstack-marker-8471"


@pytest.fixture(scope="module")
def node(site: Site) -> Iterator[Node]:
    with Node(site) as made:
        code, report = made.install("apply")
        assert code == 0, report["error"]
        made.machine.write("/root/driver.py", DRIVER)
        yield made


def run(node: Node, code: str, **more: Any) -> dict[str, Any]:
    """Give a program to the run sandbox; return how it ended and what it printed."""
    node.machine.write("/root/asked.json", json.dumps({"code": code, **more}))
    out = node.machine.run("python3", "/root/driver.py", "/root/asked.json", timeout=120).stdout
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def is_well(node: Node) -> None:
    """Nothing of the last run is left, and the next one runs."""
    node.machine.wait("the run's processes are gone", lambda: not processes(node), 15)
    assert run(node, "print('well')")["lines"] == ["well"]


def processes(node: Node) -> list[str]:
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done"
    return [line for line in node.machine.sh(script).splitlines() if MARK in line and "asked.json" not in line]


def test_a_daemon_that_was_forked_twice_goes_with_its_run(node: Node) -> None:
    code = f"""
import os, subprocess, time
subprocess.Popen(['sh', '-c', 'setsid sh -c "touch alive; sleep 3600; : {MARK}" & :'], start_new_session=True)
while not os.path.exists('alive'):
    time.sleep(0.05)
print('left')
"""
    assert run(node, code)["lines"] == ["left"]
    is_well(node)


def test_term_is_ignored(node: Node) -> None:
    code = f"""
import signal, time
MARK = '{MARK}'
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('deaf', flush=True)
while True: time.sleep(1)
"""
    report = run(node, code, stop_after=1.0)
    assert report["status"] == -9
    assert report["seconds"] < 10
    is_well(node)


def test_memory_of_a_process(node: Node) -> None:
    report = run(node, "held = []\nfor n in range(64): held.append(bytes(256 << 20)); print(n, flush=True)")
    assert report["status"] != 0
    numbers = [line for line in report["lines"] if str(line).isdigit()]
    assert len(numbers) < 18, "more than 4 GiB"
    is_well(node)


def test_memory_of_the_whole_tree(node: Node) -> None:
    controllers = node.machine.sh("cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null || true")
    if "memory" not in controllers:
        pytest.skip("not proved: this kernel gives the machine no version 2 memory controller")
    code = """
import os
for n in range(8):
    if os.fork() == 0:
        held = b'x' * (1 << 30)
        os._exit(0)
for n in range(8):
    print(os.wait()[1])
"""
    report = run(node, code)
    assert report["lost"] or any(line != "0" for line in report["lines"])
    is_well(node)


def test_a_fork_bomb(node: Node) -> None:
    code = """
import os, time
count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        count += 1
except OSError as error:
    print(error.errno, count, flush=True)
"""
    report = run(node, code)
    errno, count = report["lines"][-1].split()
    assert errno == "11"
    assert int(count) <= 512
    is_well(node)


def test_the_disk_is_filled(node: Node) -> None:
    code = """
import os
total = 0
try:
    for n in range(64):
        with open(f'{os.environ["HOME"]}/fill{n}', 'wb') as out:
            for _ in range(256):
                out.write(bytes(1 << 20)); out.flush(); total += 1
except OSError as error:
    print(error.errno, total)
"""
    before = node.machine.sh("stat -f -c %a / /run /tmp /var/tmp /dev/shm")
    report = run(node, code)
    errno, megabytes = report["lines"][-1].split()
    assert errno == "28"
    assert int(megabytes) <= 2048
    is_well(node)
    after = node.machine.sh("stat -f -c %a / /run /tmp /var/tmp /dev/shm")
    for free_before, free_after in zip(before.split(), after.split()):
        assert int(free_after) > int(free_before) - 200_000, "blocks of 4 KiB; others write on the same disk"


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/run", "/var/lib", "/var/cache/refstack-worker/store", "/etc"])
def test_nothing_else_can_be_written(node: Node, folder: str) -> None:
    report = run(node, f"open('{folder}/x', 'w')")
    assert report["status"] == 1
    assert "Read-only" in report["lines"][-1] or "denied" in report["lines"][-1]


def test_keys_spool_and_others_are_out_of_reach(node: Node) -> None:
    places = ["/etc/refstack-worker/fleet.key", "/etc/refstack-worker", "/var/lib/refstack-worker",
              "/run/refstack-worker", "/root", "/proc/1/environ", "/run/credentials"]  # fmt: skip
    code = f"""
import os
for place in {places!r}:
    try:
        seen = os.listdir(place) if os.path.isdir(place) else open(place, 'rb').read()
        print(place, 'SEEN' if seen else 'empty')
    except OSError as error:
        print(place, 'denied')
print(os.listdir('/run/refstack-run') == [os.path.basename(os.environ['HOME'])])
print(os.getuid(), len([p for p in os.listdir('/proc') if p.isdigit()]) < 10)
"""
    report = run(node, code)
    assert not [line for line in report["lines"] if "SEEN" in line], report["lines"]
    assert report["lines"][-2] == "True"
    uid, alone = report["lines"][-1].split()
    assert int(uid) >= 61184, "a dynamic user"
    assert alone == "True"


def test_every_unit_is_locked_down(node: Node) -> None:
    units = node.machine.sh("ls /lib/systemd/system | grep '^refstack-.*service$'").split()
    assert len(units) >= 4
    for unit in units:
        name = unit.replace("@.", "@test.")
        shown = node.machine.sh(f"systemd-analyze security --no-pager {name} | tail -1", check=False)
        level = float(shown.split(":")[1].split()[0])
        assert level <= 2.0, f"{name}: {level}"


def test_a_worker_that_hangs_is_started_anew(node: Node) -> None:
    machine = node.machine
    drop_in = "/etc/systemd/system/refstack-worker.service.d/watchdog.conf"
    machine.write(drop_in, "[Service]\nWatchdogSec=4\n")
    machine.sh("systemctl daemon-reload; systemctl restart refstack-worker")
    show = "systemctl show -p MainPID --value refstack-worker"
    pid = machine.sh(show).strip()
    machine.run("python3", "-c", f"import os, signal; os.kill({pid}, signal.SIGSTOP)")
    machine.wait("the watchdog notices", lambda: machine.sh(show).strip() not in (pid, "0"), 60)
    machine.wait("it is registered again", lambda: node.install("plan")[0] == 0, 30)
    machine.sh(f"rm {drop_in}; systemctl daemon-reload; systemctl restart refstack-worker")
