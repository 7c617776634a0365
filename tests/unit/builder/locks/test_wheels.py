"""Files of a lock arrive verified; sources become wheels."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from refstack_worker.builder.locks.resolve import Artefact, ResolveRequest
from refstack_worker.builder.locks.uv import Uv
from refstack_worker.builder.locks.wheels import gather
from refstack_worker.environments import interpreters
from refstack_worker.errors import BuildError, WheelError
from tests.support.wheel_files import make_wheel
from tests.support.wheel_sites import serving


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site") as server:
        server.folder = tmp_path / "site"
        yield server


@pytest.fixture
def question():
    return ResolveRequest("1.0", (), interpreters.probe(Path(sys.executable)), None, "", "2026-11-20T00:00:00Z")


def artefact(site, path: Path, is_wheel: bool = True) -> Artefact:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Artefact("pkg", "1.0", path.name, f"{site.url}/{path.name}", digest, path.stat().st_size, is_wheel)


def test_a_wheel_is_taken_as_it_is(site, question, tmp_path):
    wheel = make_wheel(site.folder, "pkg", "1.0", {"pkg.py": ""})
    (got,) = gather(question, [artefact(site, wheel)], Uv(Path("uv"), tmp_path), "")
    assert got.file.read_bytes() == wheel.read_bytes()
    assert (got.wheel.path, got.wheel.size, got.sdist) == (f"wheels/{wheel.name}", wheel.stat().st_size, None)


def test_a_wheel_that_is_not_what_the_index_said(site, question, tmp_path):
    wheel = make_wheel(site.folder, "pkg", "1.0", {"pkg.py": ""})
    said = artefact(site, wheel)
    site.faults[wheel.name] = "flip"
    with pytest.raises(WheelError, match=wheel.name):
        gather(question, [said], Uv(Path("uv"), tmp_path), "")


def test_sources_that_do_not_build(site, question, tmp_path):
    import shutil

    (tmp_path / "src" / "pkg-1.0").mkdir(parents=True)
    (tmp_path / "src" / "pkg-1.0" / "setup.py").write_text("")
    sdist = Path(shutil.make_archive(str(site.folder / "pkg-1.0"), "gztar", tmp_path / "src"))
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho no compiler >&2\nexit 1\n")
    uv.chmod(0o755)
    with pytest.raises(
        BuildError, match=r"pkg-1.0.tar.gz: the index has no wheel .*no compiler.*interpreter from the time"
    ):
        gather(question, [artefact(site, sdist, False)], Uv(uv, tmp_path), "")


def test_sources_that_are_none(site, question, tmp_path):
    (site.folder / "pkg-1.0.tar.gz").write_text("no archive")
    with pytest.raises(BuildError, match="not a source distribution"):
        gather(question, [artefact(site, site.folder / "pkg-1.0.tar.gz", False)], Uv(Path("uv"), tmp_path), "")
