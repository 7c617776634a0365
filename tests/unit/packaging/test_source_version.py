"""The version of a commit follows the history: in a real git repository, as each kind of package sorts it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

PROGRAM = Path(__file__).resolve().parents[3] / "packaging" / "source_version.py"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(scope="module")
def source_version() -> ModuleType:
    spec = importlib.util.spec_from_file_location("source_version", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Checkout:
    """A git repository with commits that state a version in ``setup.cfg``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commits = 0
        self.git("init", "-q")
        for name, value in (("user.name", "t"), ("user.email", "t@example.org"), ("commit.gpgsign", "false")):
            self.git("config", name, value)

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, stated: str = "0.1.0") -> str:
        (self.folder / "setup.cfg").write_text(f"[metadata]\nname = x\nversion = {stated}\n")
        self.commits += 1
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", f"change {self.commits}")
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str) -> None:
        self.git("tag", name)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_before_the_first_release_commits_are_counted_from_the_beginning(
    checkout: Checkout, source_version: ModuleType
) -> None:
    checkout.commit()
    checkout.commit()
    assert source_version.version_of("HEAD", checkout.folder) == "0.1.0.dev2"
    assert source_version.version_of("HEAD~1", checkout.folder) == "0.1.0.dev1"


def test_the_tagged_commit_is_the_release(checkout: Checkout, source_version: ModuleType) -> None:
    checkout.commit()
    checkout.tag("0.1.0")
    checkout.tag("another-tag")
    assert source_version.version_of("HEAD", checkout.folder) == "0.1.0"


def test_versions_sort_as_the_history_does(checkout: Checkout, source_version: ModuleType) -> None:
    commits = [checkout.commit() for _ in range(11)]
    checkout.tag("0.1.0")
    commits.append(checkout.commit())  # setup.cfg still states the released version
    commits.append(checkout.commit("0.2.0"))
    commits += [checkout.commit("0.2.0") for _ in range(10)]
    checkout.tag("0.2.0")
    found = [source_version.version_of(commit, checkout.folder) for commit in commits]
    assert found[8:14] == ["0.1.0.dev9", "0.1.0.dev10", "0.1.0", "0.1.1.dev1", "0.2.0.dev2", "0.2.0.dev3"]
    assert [Version(one) for one in found] == sorted({Version(one) for one in found})
    assert all(str(Version(one)) == one for one in found)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
def test_dpkg_sorts_them_in_the_same_way(source_version: ModuleType) -> None:
    order = ["0.1.0.dev9", "0.1.0.dev10", "0.1.0", "0.1.1.dev1", "0.2.0.dev2", "0.2.0"]
    versions = [f"{source_version.distribution_version(one)}-1" for one in order]
    assert versions[0] == "0.1.0~dev9-1"
    for older, newer in zip(versions, versions[1:]):
        assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer]).returncode == 0, (older, newer)


def test_a_merge_sorts_above_both_its_parents(checkout: Checkout, source_version: ModuleType) -> None:
    checkout.commit()
    checkout.git("checkout", "-q", "-b", "side")
    side = [checkout.commit() for _ in range(3)][-1]
    checkout.git("checkout", "-q", "-")
    main = checkout.commit()
    checkout.git("merge", "-q", "-m", "merge", "side")
    merged, of_side, of_main = (
        Version(source_version.version_of(one, checkout.folder)) for one in ("HEAD", side, main)
    )
    assert merged > of_side > of_main


@pytest.mark.parametrize("stated", ["", "0.1", "0.1.0rc1", "next"])
def test_a_version_that_is_not_three_numbers_is_an_error(
    checkout: Checkout, source_version: ModuleType, stated: str
) -> None:
    checkout.commit(stated)
    with pytest.raises(source_version.VersionError, match="write three numbers"):
        source_version.version_of("HEAD", checkout.folder)


def test_outside_a_checkout_the_program_says_so_in_one_line(tmp_path: Path) -> None:
    packaging = tmp_path / "packaging"
    packaging.mkdir()
    shutil.copy(PROGRAM, packaging)
    done = subprocess.run(
        [sys.executable, packaging / PROGRAM.name], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("source_version: git show HEAD:setup.cfg: ") and done.stderr.count("\n") == 1
