"""The server's description of itself: valid, and the Python client that openapi-python-client makes of it works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import requests

from tests.system.web.site import PROGRAM, Site, furnish, serving

CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE", Path.home() / ".cache" / "refstack-worker-tests"))
GENERATOR = "openapi-python-client==0.29.1"
VALIDATOR = "openapi-spec-validator==0.9.0"
CALLS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from generated import AuthenticatedClient
from generated.api.accounts import show_me
from generated.api.clouds import list_clouds
from generated.api.guidelines import list_guidelines
from generated.api.links import show_matrix
from generated.api.results import list_tests, show_verdict
from generated.api.runs import cancel_run, create_run, list_runs, show_run
from generated.models import NewRun, Problem

url, token = sys.stdin.read().split()
client = AuthenticatedClient(base_url=url, token=token)
runs = list_runs.sync(client=client).runs
judged = next(run for run in runs if run.verdict)
made = create_run.sync_detailed(
    client=client, body=NewRun.from_dict({"tempest_version": "47.0.0", "label": "by the client"}),
    idempotency_key="client-1",
)
again = create_run.sync(
    client=client, body=NewRun.from_dict({"tempest_version": "47.0.0", "label": "by the client"}),
    idempotency_key="client-1",
)
print(json.dumps({
    "user": show_me.sync(client=client).user.name,
    "runs": len(runs),
    "verdict": show_verdict.sync(judged.test_id, client=client).program,
    "tests": len(list_tests.sync(judged.test_id, client=client, limit=5).tests),
    "clouds": len(list_clouds.sync(client=client).clouds),
    "guidelines": [one.name for one in list_guidelines.sync(client=client).guidelines],
    "matrix": len(show_matrix.sync(client=client).clouds),
    "created": made.status_code.value,
    "once": made.parsed.test_id == again.test_id,
    "place": show_run.sync(again.test_id, client=client).place.ahead,
    "cancelled": cancel_run.sync(again.test_id, client=client).state.value,
    "missing": isinstance(show_run.sync(999999, client=client), Problem),
}))
"""


@pytest.fixture
def generator() -> Path:
    """The Python of a virtualenv with the generator and what its clients need."""
    return installed(GENERATOR, "openapi-python-client")


def installed(requirement: str, program: str) -> Path:
    """Return the Python of a virtualenv with a program; it is kept in the cache."""
    if sys.version_info < (3, 10):
        pytest.skip(f"{requirement} needs Python 3.10")
    folder = CACHE / requirement.replace("==", "-")
    if not (folder / "bin" / program).exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", requirement], check=True)
    return folder / "bin" / "python"


def test_the_description_is_valid(tmp_path: Path) -> None:
    validator = installed(VALIDATOR, "openapi-spec-validator").with_name("openapi-spec-validator")
    with serving(tmp_path) as site:
        described = requests.get(f"{site.url}/v1/openapi.json", timeout=30)
    file = tmp_path / "openapi.json"
    file.write_bytes(described.content)
    done = subprocess.run([validator, "--errors", "all", file], capture_output=True, text=True)
    assert done.returncode == 0 and "OK" in done.stdout, done.stdout + done.stderr


def test_a_generated_client_works(tmp_path: Path, generator: Path) -> None:
    with serving(tmp_path) as site:
        furnish(site)
        told = calls_of(site, tmp_path, generator)
    assert told.pop("runs") > 3 and told.pop("clouds") > 0 and told.pop("matrix") > 0 and told.pop("place") >= 0
    assert told == {
        "user": "ann",
        "verdict": PROGRAM,
        "tests": 5,
        "guidelines": told["guidelines"],
        "created": 201,
        "once": True,
        "cancelled": "cancelled",
        "missing": True,
    }


def calls_of(site: Site, folder: Path, generator: Path) -> dict[str, object]:
    """Make a client of what the server says of itself, and call the server with it."""
    program = generator.with_name("openapi-python-client")
    words = [
        program,
        "generate",
        "--url",
        f"{site.url}/v1/openapi.json",
        "--meta",
        "none",
        "--output-path",
        "generated",
    ]
    made = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    asked = f"{site.url}\n{site.tokens['ann']}\n"
    done = subprocess.run([generator, "-c", CALLS, str(folder)], input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found
