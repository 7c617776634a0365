"""Every Tempest version in ``tests/support/tempests.py``: locked, built, its tests counted against a virtualenv.

Prints JSON; ``--markdown FILE`` puts the table between the marks in a documentation page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.test_listing import list_tests
from refstack_worker.filesystem import remove_tree
from tests.bench._measure import say
from tests.support.tempests import CACHE, RELEASES, locked

MARKS = ("<!-- made by tests/bench/run versions -->", "<!-- end -->")


@dataclass(frozen=True)
class Row:
    """One version on one interpreter."""

    tempest: str
    constraints: str
    python: str
    wheels: int
    megabytes: float
    ours: int
    """Tests listed in our environment."""
    ordinary: int
    """Tests listed in a virtualenv that pip installed from the same lock."""
    same: bool
    """The same names, not only as many."""


def measure(version: str, python: str, work: Path) -> Row:
    """Lock, build and list one version both ways."""
    settings = EnvironmentSettings(work / "store", (locked(version, python),), interpreters=extra_of(python))
    offer = Catalogue(settings).find(Want(version=version))
    assert offer.lock is not None and offer.interpreter is not None
    with Environment(offer, settings, work / "env") as built:
        ours = sorted(list_tests(built.path, "ours"))
    ordinary = work / "ordinary"
    subprocess.run([offer.interpreter.path, "-m", "venv", ordinary], check=True)
    wheels = [offer.lock.path.parent / wheel.path for wheel in offer.lock.wheels]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_FIND")}
    if offer.interpreter.series in ("3.6", "3.7"):  # their own pip does not know the platforms of newer wheels
        subprocess.run([ordinary / "bin/python", "-m", "pip", "install", "-q", "pip>=20,<22"], check=True, env=env)
    pip = [ordinary / "bin/python", "-m", "pip", "install", "-q", "--no-index", "--no-deps", *wheels]
    subprocess.run(pip, check=True, env=env)
    theirs = sorted(list_tests(ordinary, "ordinary"))
    remove_tree(ordinary)
    release = RELEASES[version] or "none"
    size = round(offer.lock.size / 1e6, 1)
    return Row(version, release, offer.interpreter.series, len(wheels), size, len(ours), len(theirs), ours == theirs)


def extra_of(python: str) -> tuple[Path, ...]:
    """Return the interpreter to configure when it is named by its path."""
    return (Path(python),) if "/" in python else ()


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = ["| Tempest | constraints | Python | wheels | MB | tests listed | ordinary virtualenv |", "|---" * 7 + "|"]
    for row in rows:
        verdict = "the same" if row.same else str(row.ordinary)
        words = (row.tempest, row.constraints, row.python, row.wheels, row.megabytes, row.ours, verdict)
        lines.append("| " + " | ".join(str(word) for word in words) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, print JSON, and write the table if asked."""
    parser = argparse.ArgumentParser(prog="tests/bench/run versions", description=__doc__)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="documentation page with the marks in it")
    parser.add_argument("--old-python", action="append", default=[], metavar="PATH", help="for Tempest 24.0.0")
    asked = parser.parse_args(arguments)
    pairs = [(version, "3.11") for version in RELEASES if version != "24.0.0"]
    pairs += [("24.0.0", path) for path in asked.old_python]
    rows = []
    for version, python in pairs:
        say(f"Tempest {version} on {python}")
        (CACHE / "bench").mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="versions-", dir=CACHE / "bench"))
        try:
            rows.append(measure(version, python, work))
        finally:
            remove_tree(work)
    print(json.dumps([asdict(row) for row in rows], indent=1))
    if asked.markdown:
        page = asked.markdown.read_text()
        before, _, rest = page.partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        asked.markdown.write_text(f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{after}")
    return 0 if all(row.same for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
