"""Removes what a run left in a cloud, days later: with nothing but its record and the vendor's credentials."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from refstack_worker import execute_test_program
from tests.support.standalone import Standalone

LIMIT_SECONDS = 300.0


def clean_up_by_record(queue: Standalone, test_id: int, conf: Mapping[str, Any]) -> str:
    """Return what ``execute_test --cleanup-only`` reported at its end, for each attempt of the run."""
    with queue.api() as api:
        attempts = api.get(f"/v1/runs/{test_id}/attempts")["attempts"]
    folder = queue.folder.parent / f"record-{test_id}"
    folder.mkdir()
    program, file = folder / "execute_test", folder / "conf.json"
    program.write_text(execute_test_program.script())
    file.touch(mode=0o600)
    file.write_text(json.dumps(conf))
    said = []
    for attempt in attempts:
        words = [sys.executable, str(program), "--cleanup-only", "--resource-prefix", attempt["resource_prefix"]]
        words += ["--conf-json", f"@{file}", "--workdir", str(folder / "work"), "--progress", "json"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder, timeout=LIMIT_SECONDS)
        said.append(json.loads(done.stdout.splitlines()[-1])["message"])
    return "; ".join(said)
