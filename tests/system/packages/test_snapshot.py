"""A Tempest that is not a release goes the whole way: locked, packaged, published, installed, run."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from refstack_worker import process
from tests.support.clouds import TESTS, cloud_in
from tests.support.machines import cache
from tests.support.tempests import EXCLUDE_NEWER, package
from tests.system.packages.conftest import FIRST, pythons
from tests.system.packages.node import Node

VERSION = "47.0.1.dev5"

pytestmark = pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution as the head of Tempest's main branch gives it: a release's with another version."""
    folder = tmp_path_factory.mktemp("source")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "tempest", "--dest", folder]
    process.run([*pip, f"tempest=={FIRST}"], process.Options(timeout=600))
    process.run(["tar", "-xzf", folder / f"tempest-{FIRST}.tar.gz", "-C", folder])
    tree = (folder / f"tempest-{FIRST}").rename(folder / f"tempest-{VERSION}")
    for about in tree.rglob("PKG-INFO"):
        about.write_text(about.read_text().replace(f"\nVersion: {FIRST}\n", f"\nVersion: {VERSION}\n", 1))
    made = folder / f"{tree.name}.tar.gz"
    with tarfile.open(made, "w:gz") as archive:
        archive.add(tree, tree.name)
    return made


@pytest.fixture(scope="module")
def snapshot(source: Path) -> Path:
    """Its Debian package, for the Pythons of both releases."""
    words = ["build", source, "--python", "3.11", "--exclude-newer", EXCLUDE_NEWER, "--format", "deb"]
    words += [word for name, path in pythons().items() if name != "py311" for word in ("--also-python", path)]
    done = package(*words, "--output", source.parent, "--out", source.parent, "--cache", cache() / "package")
    assert done.returncode == 0, done.stderr
    [made] = source.parent.glob("*.deb")
    return made


def test_from_the_source_to_a_finished_run(bare_machine: Node, snapshot: Path, publish, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    node = bare_machine
    node.repository = publish(Path(shutil.copytree(node.repository, tmp_path / "own")), [snapshot])
    node.mirror.sites = dict.fromkeys(node.mirror.sites, node.repository)
    node.machine.sh("apt-get update")
    node.install("refstack-worker", "refstack-queue", f"refstack-tempest-{VERSION}", "gearman-job-server")
    node.set_up_queue()
    node.set_up_worker()
    node.machine.wait("the worker", lambda: VERSION in node.status()["versions"], 60)
    with cloud_in(node.machine, tmp_path) as conf:
        run = node.wait_state(node.trigger(conf, VERSION, TESTS), ("finished", "failed"), 240)
    assert (run["state"], run["tempest_version"], run["counts"]["passed"]) == ("finished", VERSION, 4), run
