"""What programs can see of security: bandit, known flaws of the libraries, secrets that were committed.

    python tests/lint_security.py [LIBRARIES]

run with the interpreter of a virtualenv that has bandit, pip-audit and detect-secrets. LIBRARIES is a site-packages
folder whose distributions are looked up; the service that knows their flaws may be away; that is printed, and is
not a failure. A finding is fixed, or justified where it stands: bandit's Bnnn by ruff's ``noqa: Snnn`` with the reason
(both number the same rules), or by ``nosec`` where ruff has no such rule. Standard library alone beside the three.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PRODUCT = ("refstack_worker", "installer")

BANDIT_SKIPS = "B404"
"""``import subprocess`` alone starts nothing; which modules do is checked by tests/unit/test_architecture.py."""

AUDIT_SECONDS = 120.0

NOT_SECRET = {
    ("installer/ansible/inventory.example.yml", "Hex High Entropy String"): "an example of a fingerprint",
    ("tools/onefile", "Hex High Entropy String"): "the SHA-256 of a published file",
    ("installer/democloud/openstack/parts/identity.py", "Secret Keyword"): "the name of an algorithm",
    ("packaging/etc/refstack.cfg", "Basic Auth Credentials"): "an example, commented out",
    ("docs/containers.md", "Basic Auth Credentials"): "an example: PASSWORD stands for one",
    ("refstack_worker/cli/queue/clouds.py", "Secret Keyword"): "the name of a variable",
    ("refstack_worker/cli/queue/main.py", "Secret Keyword"): "the name of a command",
    ("refstack_worker/config/server_values.py", "Basic Auth Credentials"): "an example in a message",
}
"""Findings outside the tests that were looked at: file and kind to the reason."""

MADE = frozenset(
    {".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build", "dist", ".eggs"}
)
"""Folders of what programs made here."""

WORDS_ALONE = ("KeywordDetector", "BasicAuthDetector", "HexHighEntropyString", "Base64HighEntropyString")
"""Detectors that go by a word or by how mixed a text looks: tests are full of passwords of their own."""


def main(words: list[str]) -> int:
    failed = [bandit(), secrets()]
    if words:
        failed.append(audit(Path(words[0])))
    return 1 if any(failed) else 0


def bandit() -> bool:
    """Return whether bandit finds what is not justified."""
    done = run(BIN / "bandit", "-q", "-r", *PRODUCT, "-s", BANDIT_SKIPS, "-f", "json")
    found = [item for item in json.loads(done.stdout)["results"] if not is_justified(item)]
    for item in found:
        say(f"{item['filename']}:{item['line_number']}: {item['test_id']} {item['issue_text']}")
    return report("bandit", len(found))


def is_justified(item: dict[str, Any]) -> bool:
    """Return whether a line of the statement carries ruff's mark for the same rule."""
    lines = (TOP / item["filename"]).read_text().splitlines()
    numbers = {item["line_number"], *item["line_range"]}
    mark = re.compile(rf"# noqa: (?:[A-Z]\w+, )*S{item['test_id'][1:]}\b")
    return any(mark.search(lines[number - 1]) for number in numbers)


def secrets() -> bool:
    """Return whether a secret seems to have been committed (detect-secrets)."""
    files = [name for name in committed() if not name.endswith((".png", ".svg"))]
    product = [name for name in files if not name.startswith("tests/")]
    tests = [name for name in files if name.startswith("tests/")]
    found = scan(product, ())
    found |= scan(tests, WORDS_ALONE)
    left = sorted(place for place in found if (place[0], place[2]) not in NOT_SECRET)
    for name, line, kind in left:
        say(f"{name}:{line}: {kind}: take it out of the history and renew it, or justify it in {Path(__file__).name}")
    return report("detect-secrets", len(left))


def committed() -> list[str]:
    """Return what git knows; where it is not installed, or not asked to trust this folder, all that lies here."""
    if shutil.which("git"):
        done = run("git", "-c", f"safe.directory={TOP}", "ls-files", check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()
    files = (path.relative_to(TOP) for path in TOP.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if not MADE & set(path.parent.parts))


def scan(files: list[str], without: tuple[str, ...]) -> set[tuple[str, int, str]]:
    options = [word for name in without for word in ("--disable-plugin", name)]
    done = run(BIN / "detect-secrets", "scan", *options, *files)
    results = json.loads(done.stdout)["results"]
    return {(name, item["line_number"], item["type"]) for name, items in results.items() for item in items}


def audit(libraries: Path) -> bool:
    """Return whether an installed library has a known flaw. What cannot be looked up is not proved; that is printed."""
    try:
        done = run(BIN / "pip-audit", "--path", libraries, "--format", "json", "--progress-spinner", "off", check=False)
        listed = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        say("pip-audit: NOT PROVED: the service that knows flaws cannot be reached")
        return False
    flawed = [item for item in listed if item.get("vulns")]
    unknown = [item["name"] for item in listed if "skip_reason" in item]
    for item in flawed:
        for flaw in item["vulns"]:
            fixed = ", ".join(flaw["fix_versions"]) or "no version"
            say(f"{item['name']} {item['version']}: {flaw['id']}: fixed in {fixed}")
    if unknown:
        say(f"pip-audit: NOT PROVED for {len(unknown)} of {len(listed)} libraries: the service does not know or answer")
    if flawed or len(unknown) < len(listed):
        report(f"pip-audit, {len(listed) - len(unknown)} libraries", len(flawed))
    return bool(flawed)


def run(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = [str(word) for word in words]
    began = time.monotonic()
    done = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, timeout=AUDIT_SECONDS)
    # bandit and pip-audit end with 1 when they find something
    if check and done.returncode not in (0, 1):
        sys.exit(f"{' '.join(argv[:3])}: ended with status {done.returncode}: {done.stderr[-2000:]}")
    if time.monotonic() - began > AUDIT_SECONDS / 2:
        say(f"{argv[0]} took {time.monotonic() - began:.0f} s")
    return done


def report(tool: str, count: int) -> bool:
    say(f"{tool}: {count} findings" if count else f"{tool}: nothing found")
    return count > 0


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
