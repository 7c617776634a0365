"""A real cloud in a machine's network: Keystone and Swift of ``installer/democloud``, on the machine's own loopback.

The processes run on the host, so that the machine stays as bare as it is; only their network is the machine's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refstack_worker import process
from tests.support.machines import Machine, cache

TOP = Path(__file__).resolve().parents[2]
INSTALLER = TOP / "installer"

TESTS = [
    "tempest.api.identity.v3.test_tokens.TokensV3Test.test_validate_token",
    "tempest.api.object_storage.test_account_services.AccountTest.test_list_containers",
    "tempest.api.object_storage.test_container_services.ContainerTest.test_create_container",
    "tempest.api.object_storage.test_object_services.ObjectTest.test_create_object",
]
"""Four tests that pass there in a few seconds."""

SLOW_TESTS = ["tempest.api.object_storage"]
"""Over a hundred tests: time enough to do something while they run."""

PREPARE = """
import sys
from pathlib import Path
from democloud import software
software.prepare(Path(sys.argv[1]), print)
"""


@contextmanager
def cloud_in(machine: Machine, folder: Path) -> Iterator[dict[str, Any]]:
    """Start a cloud that the machine finds on its loopback; gives Tempest's options for it, passwords included."""
    env = {**os.environ, "PYTHONPATH": f"{INSTALLER}:{TOP}", "PYTHONDONTWRITEBYTECODE": "1"}
    kept = cache() / "democloud"
    options = process.Options(env=env, cwd=TOP, timeout=600)
    process.run(["/usr/bin/python3", "-c", PREPARE, kept], options)  # with the network, which the machine has not
    program = ["nsenter", f"--net=/run/netns/{machine.name}", "--", "/usr/bin/python3", "-m", "democloud"]
    place = folder / "cloud"
    try:
        process.run([*program, "up", place, "--services", "identity,object-store", "--cache", kept], options)
        conf: dict[str, Any] = json.loads((place / "cloud.json").read_text())["conf"]
        yield conf
    finally:
        if (place / "cloud.json").exists():
            process.run([*program, "down", place], process.Options(env=env, cwd=TOP, check=False))
