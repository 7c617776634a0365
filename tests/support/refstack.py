"""RefStack 2.1.0 itself, from PyPI: installed once into the cache, for what is compared with its own code."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

VERSION = "2.1.0"
CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE", Path.home() / ".cache" / "refstack-worker-tests"))
REQUIREMENTS = (
    f"refstack=={VERSION}",
    "SQLAlchemy==1.4.54",
    "oslo.db==12.3.3",
    "requests-cache==0.5.2",
    "setuptools==75.8.0",
    "waitress==3.0.2",
)
"""The last release is of 2023: newer versions of these libraries do not run it."""
PAGE = "refstack-ui/app/components/results-report/resultsReportController.js"
"""The code that computes the verdict of RefStack's results page; only the source archive has it."""


def home() -> Path:
    """Return the folder with RefStack's virtualenv (``env``) and source archive (``source``), made when missing."""
    folder = CACHE / f"refstack-{VERSION}"
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([interpreter(), "-m", "venv", folder / "env"], check=True)
    pip = [folder / "env" / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *REQUIREMENTS], check=True)
    source = ["download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", f"refstack=={VERSION}"]
    # pip asks the archive for its metadata, and pbr answers
    subprocess.run([*pip, "install", "pbr"], check=True)
    subprocess.run([*pip, *source, "-d", folder], check=True)
    with tarfile.open(folder / f"refstack-{VERSION}.tar.gz") as archive:
        archive.extractall(folder / "unpacked")  # noqa: S202 - from the package index, into the cache
    (folder / "unpacked" / f"refstack-{VERSION}").rename(folder / "source")
    (folder / "complete").touch()
    return folder


def python() -> Path:
    """Return the interpreter that has RefStack."""
    return home() / "env" / "bin" / "python"


def page() -> Path:
    """Return the results page's own code."""
    return home() / "source" / PAGE


def interpreter() -> Path:
    """Return a Python 3.10, the newest on which RefStack 2.1.0 runs; skips the test where there is none."""
    named = os.environ.get("REFSTACK_TEST_PYTHON310")
    found = [Path(named)] if named else sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python"))
    found = found or [Path(path) for path in [shutil.which("python3.10") or ""] if path]
    if not found:
        pytest.skip("RefStack 2.1.0 needs Python 3.10; name one in REFSTACK_TEST_PYTHON310")
    return found[-1]


def guideline_files() -> dict[str, Path]:
    """Return the interop guidelines by their name (``dns.2020.06.json``); skips the test where none are given."""
    folder = os.environ.get("REFSTACK_TEST_INTEROP", "")
    named = {path.name: path for path in sorted(Path(folder).rglob("*.json"))} if folder else {}
    found = {name: path for name, path in named.items() if name.endswith("next.json") or name[-12:-8].isdigit()}
    if not found:
        pytest.skip("the interop guidelines are not part of the project: name their folder in REFSTACK_TEST_INTEROP")
    return {name: path for name, path in found.items() if path.parent.name != "verticals"}
