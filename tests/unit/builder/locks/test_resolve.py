"""The right file of a package is chosen, and what the resolver cannot do is reported in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refstack_worker.builder.locks.resolve import ResolveRequest, choose, resolve
from refstack_worker.builder.locks.uv import Uv
from refstack_worker.environments import interpreters
from refstack_worker.errors import BuildError

SERIES = "".join(str(part) for part in sys.version_info[:2])


@pytest.fixture(scope="module")
def interpreter():
    return interpreters.probe(Path(sys.executable))


def package(*names: str, sdist: str = "") -> dict[str, object]:
    def table(name: str) -> dict[str, object]:
        return {"url": f"https://index.example/{name}", "size": 1, "hashes": {"sha256": "0" * 64}}

    found: dict[str, object] = {"name": "Pkg.Name", "version": "1.0", "wheels": [table(name) for name in names]}
    if sdist:
        found["sdist"] = table(sdist)
    return found


def test_the_wheel_for_this_very_interpreter_is_preferred(interpreter):
    machine = interpreter.fact("platform_machine")
    names = [
        "pkg_name-1.0-py3-none-any.whl",
        f"pkg_name-1.0-cp{SERIES}-cp{SERIES}-manylinux2014_{machine}.manylinux_2_17_{machine}.whl",
        f"pkg_name-1.0-cp{SERIES}-cp{SERIES}-win_amd64.whl",
        f"pkg_name-1.0-cp37-abi3-manylinux_2_17_{machine}.whl",
    ]
    chosen = choose(package(*names), interpreter)
    assert (chosen.filename, chosen.is_wheel, chosen.name) == (names[1], True, "pkg-name")
    assert choose(package(*reversed(names)), interpreter).filename == names[1]


def test_sources_where_no_wheel_fits(interpreter):
    chosen = choose(package("pkg_name-1.0-cp27-cp27m-win32.whl", sdist="pkg-name-1.0.tar.gz"), interpreter)
    assert (chosen.filename, chosen.is_wheel) == ("pkg-name-1.0.tar.gz", False)


def test_neither(interpreter):
    with pytest.raises(BuildError, match=r"pkg-name 1.0: has no wheel for cpython-.* and no source"):
        choose(package("pkg_name-1.0-cp27-cp27m-win32.whl"), interpreter)


@pytest.fixture
def ask(interpreter, tmp_path):
    """Ask a resolver that gives the answer of the test; it is a real program, started as uv is."""

    def ask(said: str, constraints: str = "", status: int = 1) -> list[object]:
        uv = tmp_path / "uv"
        (tmp_path / "said").write_text(said)
        uv.write_text(f"#!/bin/sh\ncat {tmp_path}/said >&2\nexit {status}\n")
        uv.chmod(0o755)
        file = None
        if constraints:
            file = tmp_path / "zed.txt"
            file.write_text(constraints)
        question = ResolveRequest("47.0.0", (), interpreter, file, "zed.txt", "2026-11-20T00:00:00Z")
        return resolve(question, Uv(uv, tmp_path))

    return ask


def test_a_conflict_names_the_two(ask):
    said = "Because tempest>=47.0.0 depends on oslo-utils>=7.0.0 and oslo-utils==6.0.2, we can conclude that …"
    with pytest.raises(BuildError) as refused:
        ask(said, "oslo.utils===6.0.2\n")
    assert "tempest>=47.0.0 needs oslo-utils>=7.0.0, which conflicts with oslo-utils==6.0.2" in str(refused.value)
    assert "under zed.txt" in str(refused.value)


def test_another_pin_of_what_was_asked_for(ask):
    with pytest.raises(BuildError, match="tempest 47.0.0, which was requested, conflicts with zed.txt.* 33.0.0"):
        ask("", "\ufeffTempest===33.0.0;python_version>='3.8'  # the release's own\r\n")


def test_other_words_of_the_resolver_are_passed_on(ask):
    with pytest.raises(BuildError, match="no such host"):
        ask("error: no such host")


def test_a_pin_for_another_python_is_none(ask):
    with pytest.raises(BuildError, match="asked"):
        ask("asked", "tempest===33.0.0;python_version=='3.1'\ntempest===47.0.0;python_version>='3.8'\n")


def test_a_version_that_is_not_there(ask):
    said = "Because there is no version of tempest==47.0.0 and you require tempest==47.0.0, we can conclude …"
    with pytest.raises(BuildError, match=r"tempest==47\.0\.0: the index has no such version; check the version"):
        ask(said)


def test_an_index_that_cannot_be_reached(ask):
    said = (
        "error: Request failed after 3 retries in 11.6s\n  cause: Failed to fetch: `https://index.example/simple/tempest/`"
        "\n  cause: dns error"
    )
    with pytest.raises(
        BuildError, match=r"the package index cannot be reached: .*dns error; check the network"
    ) as refused:
        ask(said)
    assert "constraints" not in str(refused.value)


def test_names_that_are_escaped_in_the_index(interpreter):
    chosen = choose(package("pkg_name-1.0%2Bsite.1-py3-none-any.whl"), interpreter)
    assert chosen.filename == "pkg_name-1.0+site.1-py3-none-any.whl"
