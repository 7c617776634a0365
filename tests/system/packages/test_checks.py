"""What Debian's own tools say of the packages: lintian, piuparts, autopkgtest; and that a build can be repeated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from refstack_worker import process
from refstack_worker.builder.chroots import CleanRoot, Enter, RootRecipe, base_root, tarball
from tests.support.machines import BARE, cache
from tests.system.packages.conftest import FIRST, TOP, Built, build, build_tempest

PLAIN = ("ca-certificates",)
"""For a root that is a bare Debian but for what apt needs."""


def test_lintian_has_nothing_to_say(built: Built) -> None:
    files = [*built.debs(), *built.debs("tempest"), *(path for path in built.sources() if path.suffix == ".dsc")]
    # wheels of Tempest versions hold their licences
    tags = "extra-license-file,package-contains-documentation-outside-usr-share-doc,arch-dep-package-has-big-usr-share"
    words = ["lintian", "--allow-root", "--display-level=>=pedantic", f"--suppress-tags={tags}", *files]
    done = process.run(words, process.Options(check=False))
    # a snapshot has two changelog entries, so it is not an initial upload
    beside = (" unused-override initial-upload-closes-no-bugs ", "N: ")
    assert [line for line in done.stdout.splitlines() if not any(text in line for text in beside)] == [], done.stderr


def test_every_lintian_override_has_a_reason() -> None:
    for path in (TOP / "packaging").rglob("*.lintian-overrides"):
        lines = path.read_text().splitlines()
        for before, line in zip(["", *lines], lines):
            assert line.startswith("#") or before.startswith("#"), f"{path}: {line}: say why"


def test_two_builds_give_the_same_bytes(built: Built, gnupg_home: Path, tmp_path: Path) -> None:
    """Another time, another path (``packaging/build`` takes a new one each time), another order of files."""
    key = gnupg_home / "key.asc"
    assert built.debs() and built.rpms()
    for kind in ("deb", "rpm"):
        build(tmp_path, kind, "--nocheck", "--keyring", key)
    build_tempest(FIRST, tmp_path / "tempest")
    again = {path.name: path for path in tmp_path.rglob("*") if path.suffix in (".deb", ".dsc", ".rpm", ".xz", ".gz")}
    first = [
        path for kind in ("deb", "rpm", "tempest") for path in (built.folder / kind).iterdir() if path.name in again
    ]
    assert len(first) >= 20, sorted(again)
    differing = [path.name for path in first if path.read_bytes() != again[path.name].read_bytes()]
    assert differing == []


@pytest.mark.parametrize("how", ["TERM", "its reader ends"])
def test_a_build_that_is_ended_leaves_nothing(how: str, built: Built, gnupg_home: Path, tmp_path: Path) -> None:
    """The clean root was made before, so that the build is ended in the middle of a package."""
    assert built.debs()
    words = [TOP / "packaging" / "build", "deb", "--nocheck", "--out", tmp_path / "out"]
    words += ["--keyring", gnupg_home / "key.asc"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    running = subprocess.Popen([*map(str, words)], stdout=subprocess.PIPE, text=True, env=environment)
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("- gear deb"):
            break
    assert list(tmp_path.glob("refstack-root-*"))
    if how == "TERM":
        running.terminate()
        assert running.wait(120) == 128 + signal.SIGTERM
    else:
        running.stdout.close()
        assert running.wait(600) == 128 + signal.SIGPIPE
    assert not list(tmp_path.glob("refstack-*"))
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


@pytest.mark.parametrize("suite", ["bookworm"])
def test_piuparts_installs_upgrades_and_purges_cleanly(suite: str, built: Built, tmp_path: Path) -> None:
    """Everything of this commit, upgraded to the next version, purged: no file is left, no script fails."""
    base = tarball(RootRecipe(suite, PLAIN), cache())
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in [*built.debs(), *built.debs("tempest")]:
        shutil.copy(path, flat)
    with (flat / "Packages").open("w") as out:
        subprocess.run(["apt-ftparchive", "packages", "."], cwd=flat, stdout=out, check=True)
    newer = [path for path in built.debs("next") if not path.name.startswith("python3-gear")]
    words = [
        *("piuparts", "--distribution", suite, "--basetgz", base, "--mirror", "http://deb.debian.org/debian main"),
        *("--extra-repo", f"deb [trusted=yes] file://{flat} ./", "--bindmount", flat),
        *("--warn-on-leftovers-after-purge", "--no-eatmydata", "--skip-logrotatefiles-test"),
        *("--log-level", "info", "--tmpdir", tmp_path),
    ]
    done = process.run([*map(str, words), *map(str, newer)], process.Options(check=False, timeout=3000))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "left over" not in done.stdout.lower(), done.stdout[-6000:]


def test_autopkgtest_of_the_source_package_passes(built: Built, tmp_path: Path) -> None:
    names = ("autopkgtest", "apt-utils", "dpkg-dev", "ca-certificates", "dbus", "systemd", "systemd-sysv")
    with CleanRoot(base_root(RootRecipe("bookworm", names), cache())) as root:
        inside = Enter(network=True, binds={built.folder: "/built"}, check=False, timeout=1800)
        source = next(
            path for path in built.sources() if path.name.startswith("refstack-worker") and path.suffix == ".dsc"
        )
        debs = [f"/built/deb/{path.name}" for path in built.debs()]
        root.run(["apt-get", "-qq", "update"], inside)
        done = root.run(["autopkgtest", *debs, f"/built/deb/{source.name}", "--", "null"], inside)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        assert "PASS" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("suite", "recommended", "most"),
    [("bookworm", False, 75), ("trixie", False, 85), ("bookworm", True, 165), ("trixie", True, 165)],
)
def test_what_a_bare_debian_pulls_in(suite: str, recommended: bool, most: int, repository: Path) -> None:
    """A jump means that a dependency crept in; a compiler must not come even with what is recommended.

    Half of what the worker needs comes with cliff and python-daemon, also X11's clipboard and docutils.
    """
    with CleanRoot(base_root(RootRecipe(suite, BARE), cache())) as root:
        inside = Enter(network=True, binds={repository: "/repository"})
        keyring = "refstack-archive-keyring.gpg"
        root.write(f"etc/apt/{keyring}", (repository / keyring).read_bytes())
        root.write(
            "etc/apt/sources.list.d/refstack.sources",
            "Types: deb\nURIs: file:/repository/apt\nSuites: stable\nComponents: main\n"
            f"Signed-By: /etc/apt/{keyring}\n",
        )
        root.run(["apt-get", "-qq", "update"], inside)
        words = [
            "apt-get",
            "--simulate",
            *([] if recommended else ["--no-install-recommends"]),
            "install",
            "refstack-worker",
            *(["refstack-queue"] if recommended else []),
            f"refstack-tempest-{FIRST}",
        ]
        planned = [line for line in root.run(words, inside).stdout.splitlines() if line.startswith("Inst ")]
        print(f"refstack-worker with Tempest {FIRST} on a bare {suite}: {len(planned)} packages")
        assert len(planned) <= most, planned
        unwanted = ("gcc-1", "g++", "build-essential", "python3-pip ", "python3-dev", "python3-virtualenv")
        unwanted += () if recommended else ("flask",)
        assert not [line for line in planned for name in unwanted if name in line and "-base" not in line], planned
