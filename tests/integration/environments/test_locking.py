"""``refstack-package lock`` with a real index: the same bytes again, conflicts named, what lists nothing refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refstack_worker.environments.environment import Environment
from refstack_worker.errors import VersionUnavailableError
from tests.support.tempests import CACHE, EXCLUDE_NEWER, lock_words, locked, package


def lock(tmp_path: Path, *words: str):
    return package("lock", *words, "--exclude-newer", EXCLUDE_NEWER, "--output", tmp_path, "--cache", CACHE / "package")


def test_the_same_bytes_again(tmp_path):
    before = next((locked("47.0.0") / "47.0.0").glob("pylock*"))
    done = package("lock", *lock_words("47.0.0", "3.11"), "--output", tmp_path, "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "47.0.0" / before.name).read_bytes() == before.read_bytes()
    wheels = {path.name: path.read_bytes() for path in (tmp_path / "47.0.0/wheels").iterdir()}
    assert wheels == {path.name: path.read_bytes() for path in (before.parent / "wheels").iterdir()}


def test_no_host_is_named(tmp_path):
    text = next((locked("47.0.0") / "47.0.0").glob("pylock*")).read_text()
    assert "http" not in text and "file:" not in text


def test_a_conflict_names_the_two(tmp_path):
    (tmp_path / "zed.txt").write_text("oslo.utils===6.0.2\n")
    done = lock(tmp_path, "47.0.0", "--python", "3.11", "--constraints", str(tmp_path / "zed.txt"))
    assert done.returncode == 15
    assert "tempest>=47.0.0 needs oslo-utils>=7.0.0, which conflicts with oslo-utils==6.0.2" in done.stderr
    assert "zed.txt" in done.stderr
    (tmp_path / "ussuri.txt").write_text("tempest===24.0.0\n")
    done = lock(tmp_path, "47.0.0", "--python", "3.11", "--constraints", str(tmp_path / "ussuri.txt"))
    assert "conflicts with ussuri.txt, which pins tempest 24.0.0" in done.stderr


def test_what_lists_no_tests_is_refused(tmp_path):
    done = lock(tmp_path, "24.0.0", "--python", "3.11")
    assert done.returncode == 15
    assert "whitelist_file" in done.stderr and "made for Python 3.6, 3.7" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def python38() -> str:
    found = os.environ.get("REFSTACK_TEST_PYTHON38") or next(
        (str(path) for path in Path.home().glob(".pyenv/versions/3.8.*/bin/python")), ""
    )
    if not found:
        pytest.skip("name a Python 3.8 in REFSTACK_TEST_PYTHON38")
    return found


def test_an_old_version_on_an_interpreter_of_its_time(build_settings, python38, tmp_path):
    settings, offer = build_settings("24.0.0", python38)
    with Environment(offer, settings, tmp_path / "env") as built:
        assert (built.tempest_version, built.tests) == ("24.0.0", 1556)


def test_an_old_version_without_one_is_refused_clearly(build_settings, python38):
    from dataclasses import replace

    from refstack_worker.environments.catalogue import Catalogue, Want

    settings, _ = build_settings("24.0.0", python38)
    with pytest.raises(VersionUnavailableError, match=r"Tempest 24.0.0.*needs Python 3.8; this node has 3.11"):
        Catalogue(replace(settings, interpreters=())).find(Want(version="24.0.0"))
