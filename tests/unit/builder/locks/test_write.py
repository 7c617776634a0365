"""What is written is what is read, names no host, and is the same bytes each time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refstack_worker.builder.locks import releases
from refstack_worker.builder.locks.resolve import ResolveRequest
from refstack_worker.builder.locks.wheels import BuiltFrom, Gathered
from refstack_worker.builder.locks.write import Facts, lock_name, lock_text
from refstack_worker.environments import interpreters
from refstack_worker.environments.lock import LOCK_NAME, LockedWheel, parse_lock
from tests.support.wheel_files import make_wheel


@pytest.fixture(scope="module")
def question():
    interpreter = interpreters.probe(Path(sys.executable))
    plugins = (("keystone-tempest-plugin", "0.22.0"),)
    return ResolveRequest("43.0.0", plugins, interpreter, Path(__file__), "2025.1.txt", "2026-11-20T00:00:00Z")


@pytest.fixture
def gathered(tmp_path):
    def one(name: str, sdist: BuiltFrom | None = None) -> Gathered:
        file = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        return Gathered(LockedWheel(name, "1.0", file, "a" * 64, 12, f"wheels/{file}"), tmp_path / file, sdist)

    source = BuiltFrom("b-1.0.tar.gz", "b" * 64, "c" * 40)
    return [one("oslo-utils"), one("b", source), one("tempest")]


FACTS = Facts(("2025.1", "2024.2"), "c" * 64, 1542)


def test_what_is_written_is_read(question, gathered):
    text = lock_text(question, gathered, FACTS)
    lock = parse_lock(Path("pylock.toml"), text.encode())
    assert [wheel.name for wheel in lock.wheels] == ["b", "oslo-utils", "tempest"]
    assert lock.size == 36
    about = lock.compatibility
    assert (about.tempest, about.releases, about.tests) == ("43.0.0", ("2025.1", "2024.2"), 1542)
    assert (about.constraints, about.constraints_sha256) == ("2025.1.txt", "c" * 64)
    assert about.plugins == question.plugins
    assert about.exclude_newer == "2026-11-20T00:00:00Z"
    assert question.interpreter.problem_with(lock) == ""


def test_it_names_no_host_and_no_folder(question, gathered, tmp_path):
    text = lock_text(question, gathered, FACTS)
    assert "index.example" not in text and str(tmp_path) not in text
    assert f'built-from = {{ name = "b-1.0.tar.gz", sha256 = "{"b" * 64}", commit = "{"c" * 40}" }}' in text


def test_the_order_of_the_inputs_does_not_matter(question, gathered):
    assert lock_text(question, gathered, FACTS) == lock_text(question, gathered[::-1], FACTS)


def test_its_name_is_one_for_a_lock(question):
    name = lock_name(question)
    assert LOCK_NAME.fullmatch(name)
    assert name.startswith("pylock.py") and "keystone" not in name  # its folder says that


def test_releases_that_are_known():
    assert releases.of("43.0.0") == ("2025.1", "2024.2", "2024.1", "2023.2")
    assert releases.of("33.0.0")[0] == "zed"


@pytest.mark.parametrize(
    ("constraints", "says"),
    [("2026.2.txt", ("2026.2",)), ("zed.txt", ("zed",)), ("upper-constraints.txt", ()), ("", ())],
)
def test_releases_of_a_version_of_tomorrow(constraints, says):
    assert releases.of("99.0.0", constraints) == says


def test_pythons_are_those_of_the_classifiers(tmp_path):
    metadata = "Classifier: Programming Language :: Python :: 3\nClassifier: Programming Language :: Python :: 3.6\n"
    wheel = make_wheel(tmp_path / "deep", "tempest", "24.0.0", {"tempest.py": ""})
    content = wheel.read_bytes()
    assert releases.pythons(tmp_path) == ""
    import zipfile

    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tempest-24.0.0.dist-info/METADATA", f"Name: tempest\n{metadata}\n")
    assert content and releases.pythons(tmp_path) == "3.6"
