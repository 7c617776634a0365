"""A lock is made of every kind of index, and of sources that are on none."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from refstack_worker.builder.locks import make
from refstack_worker.builder.locks.make import LockRequest, make_lock
from refstack_worker.builder.locks.resolve import ResolveRequest
from refstack_worker.builder.locks.tempest_source import TempestSource
from refstack_worker.environments import interpreters
from refstack_worker.environments.lock import Lock, read_lock
from refstack_worker.errors import BuildError, UsageError, WheelError
from tests.support.wheel_files import TEMPEST, make_tempest, make_wheel


@pytest.fixture(scope="module", autouse=True)
def needs_uv() -> None:
    if not (Path(sysconfig.get_path("scripts")) / "uv").exists() and not shutil.which("uv"):
        pytest.skip("uv is not installed")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder as many sites have it: pages without hashes and times, names escaped, files beside."""
    files = tmp_path / "index/files"
    wheels = [make_tempest(files, "47.0.0"), make_wheel(files, "other_pkg", "1.0+site.1", {"other.py": ""})]
    for name, wheel in zip(("tempest", "other-pkg"), wheels):
        page = tmp_path / "index/simple" / name / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<a href="../../files/{quote(wheel.name)}">{wheel.name}</a>')
    return tmp_path / "index"


class Guarded(http.server.SimpleHTTPRequestHandler):
    """Serves a folder to who has the token."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Basic {base64.b64encode(b'me:to@ken').decode()}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def guarded(index: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Guarded, directory=str(index)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://me:to%40ken@127.0.0.1:{server.server_address[1]}/simple"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a lock of 47.0.0, or of a source."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def lock(
        index: str,
        source: TempestSource | None = None,
        version: str = "47.0.0",
        *plugins: str,
        machines: tuple[str, ...] = (),
    ) -> Lock:
        named = tuple((name, "1.0+site.1") for name in plugins)
        python = interpreters.probe(Path(sys.executable))
        question = ResolveRequest(version, named, python, None, "", "2026-11-20T00:00:00Z", index)
        request = LockRequest(question, tmp_path / "out", tmp_path / "cache", machines=machines, source=source)
        return make_lock(request)

    return lock


def test_a_folder(lock, index, caplog):
    made = lock((index / "simple").as_uri(), None, "47.0.0", "other-pkg")
    assert made.path.parent.name == "47.0.0-other-pkg"
    assert [wheel.filename for wheel in made.wheels] == [
        "other_pkg-1.0+site.1-py3-none-any.whl", "tempest-47.0.0-py3-none-any.whl"
    ]  # fmt: skip
    assert all((made.path.parent / wheel.path).is_file() for wheel in made.wheels)
    assert "no upload time for other-pkg, tempest: using their newest versions" in caplog.text


def test_a_tempest_that_does_not_list_its_tests_may_need_constraints(lock, index):
    main = {"tempest/__init__.py": "", "tempest/main.py": "def main():\n    raise SystemExit('too new')\n"}
    make_wheel(
        index / "files", "tempest", "47.0.0", main, entry_points="[console_scripts]\ntempest = tempest.main:main\n"
    )
    with pytest.raises(BuildError, match=r"constraints of its OpenStack release \(--constraints\)$"):
        lock((index / "simple").as_uri())


def test_what_cannot_be_downloaded_needs_no_other_constraints(lock, index, monkeypatch):
    def fail(*_: object) -> None:
        raise WheelError("tempest-47.0.0-py3-none-any.whl: connection refused")

    monkeypatch.setattr(make, "gather", fail)
    with pytest.raises(BuildError, match="connection refused$"):
        lock((index / "simple").as_uri())


def with_binary(index: Path, *machines: str) -> None:
    """Let other-pkg be there as binary wheels of these machines alone."""
    series = "cp{}{}".format(*sys.version_info)
    (pure,) = (index / "files").glob("other_pkg-*")
    page = []
    for machine in machines:
        name = f"other_pkg-1.0+site.1-{series}-{series}-manylinux2014_{machine}.whl"
        shutil.copy(pure, pure.with_name(name))
        page.append(f'<a href="../../files/{quote(name)}">{name}</a>')
    (index / "simple/other-pkg/index.html").write_text("\n".join(page))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="locks for aarch64 from an x86_64")
def test_another_kind_of_machine(lock, index):
    with_binary(index, "x86_64", "aarch64")
    made = lock((index / "simple").as_uri(), None, "47.0.0", "other-pkg", machines=("aarch64",))
    other = read_lock(made.path.with_name(made.path.name.replace("x86_64", "aarch64")))
    assert [w.filename for lock in (made, other) for w in lock.wheels if "aarch64" in w.filename] == [
        w.filename for w in other.wheels if w.name == "other-pkg"
    ]
    assert other.compatibility.tests == made.compatibility.tests == 3
    own = interpreters.probe(Path(sys.executable))
    assert "is locked for" in own.problem_with(other)
    assert own.on_machine("aarch64").problem_with(other) == ""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="locks for aarch64 from an x86_64")
def test_what_another_machine_lacks_is_named(lock, index, tmp_path):
    with_binary(index, "x86_64")
    with pytest.raises(BuildError, match="other-pkg"):
        lock((index / "simple").as_uri(), None, "47.0.0", "other-pkg", machines=("aarch64",))
    assert not (tmp_path / "out").exists(), "nothing of it is there"


def test_a_site_that_wants_a_token(lock, guarded, index, caplog):
    made = lock(guarded)
    assert made.compatibility.tests == 3
    assert "to%40ken" not in caplog.text and "to@ken" not in made.path.read_text()


def test_a_wrong_token_is_not_shown(lock, guarded, index):
    with pytest.raises(BuildError) as refused:
        lock(guarded.replace("to%40ken", "wrong-one"))
    assert "wrong-one" not in str(refused.value)


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    """A source distribution of Tempest whose build needs nothing from an index."""
    tree = tmp_path / "src/tempest-47.0.0"
    (tree / "tempest").mkdir(parents=True)
    (tree / "tempest/__init__.py").touch()
    (tree / "tempest/main.py").write_text(TEMPEST.format(version="of a source", tests=2))
    (tree / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tempest\nVersion: 47.0.0\n")
    (tree / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n')
    (tree / "own.py").write_text(OWN_BACKEND)
    path = tmp_path / "tempest-47.0.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, "tempest-47.0.0")
    return path


OWN_BACKEND = """
import os, tarfile, zipfile
VERSION = os.environ.get("PBR_VERSION") or "47.0.1.dev1"
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = f"tempest-{VERSION}-py3-none-any.whl", f"tempest-{VERSION}.dist-info"
    content = {
        "tempest/__init__.py": "", "tempest/main.py": open("tempest/main.py").read(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: tempest\\nVersion: {VERSION}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        f"{info}/entry_points.txt": "[console_scripts]\\ntempest = tempest.main:main\\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return name
def build_sdist(folder, config_settings=None):
    name = f"tempest-{VERSION}"
    with open("PKG-INFO", "w") as info:
        info.write(f"Metadata-Version: 2.1\\nName: tempest\\nVersion: {VERSION}\\n")
    with tarfile.open(os.path.join(folder, f"{name}.tar.gz"), "w:gz") as archive:
        for member in ("PKG-INFO", "own.py", "pyproject.toml", "tempest"):
            archive.add(member, f"{name}/{member}")
    return f"{name}.tar.gz"
"""
"""Builds Tempest and takes its version as pbr does."""


def test_a_source_distribution_never_has_the_name_of_a_release(lock, index, sdist):
    empty = (index / "simple").as_uri()
    made = lock(empty, TempestSource.parse(str(sdist)), "")
    assert made.version.startswith("47.0.0+s") and made.compatibility.tests == 2
    named = lock(empty, TempestSource.parse(str(sdist)), "47.0.1.dev5+g1a2b3c4")
    (wheel,) = named.wheels
    assert (named.version, wheel.version) == ("47.0.1.dev5+g1a2b3c4", "47.0.1.dev5+g1a2b3c4")
    assert f'name = "{sdist.name}", sha256 = "' in named.path.read_text()


def test_a_commit_gives_the_same_bytes_each_time(lock, index, sdist, tmp_path):
    tree = tmp_path / "src/tempest-47.0.0"
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}  # fmt: skip

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(tree), *words], check=True, capture_output=True, text=True, env=env)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "HEAD")
    source = TempestSource.parse(f"git+{tree.as_uri()}@{commit}")
    empty = (index / "simple").as_uri()
    first = lock(empty, source, "")
    assert first.version == f"47.0.1.dev1+g{commit[:7]}" and f'commit = "{commit}"' in first.path.read_text()
    assert lock(empty, source, "").digest == first.digest
    with (tree / "tempest/main.py").open("a") as file:
        file.write("# a cloud's own patch\n")
    patched = lock(empty, TempestSource.parse(str(tree)), "")
    assert patched.version.startswith(f"47.0.1.dev1+g{commit[:7]}.s")
    with pytest.raises(BuildError, match="has no 1111111"):
        lock(empty, TempestSource.parse(f"git+{tree.as_uri()}@1111111"), "")


@pytest.mark.parametrize(
    "text", ["git+https://opendev.org/openstack/tempest", "git+https://a.example/x@-x", "./no.tar.gz"]
)
def test_sources_that_are_none(text):
    with pytest.raises(UsageError):
        TempestSource.parse(text)


def test_a_version_is_no_source():
    assert TempestSource.parse("47.0.0") is None
