"""The RPMs: linted, signed, installed with their scriptlets into a root of their own, removed; metadata read by dnf.

No RPM distribution's packages are to be had where the tests run, so their dependencies are declared present instead of
installed; ``docs/packaging.md`` says what that leaves untried.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refstack_worker import process
from refstack_worker.builder.chroots import CleanRoot, Enter, RootRecipe, base_root
from tests.support.machines import cache
from tests.system.packages.conftest import FIRST, TOP, Built

NAMES = {
    "python3-gear", "python3-refstack-worker", "refstack-archive-keyring", "refstack-execute-test", "refstack-package",
    "refstack-queue", "refstack-worker", f"refstack-tempest-{FIRST}",
}  # fmt: skip


@pytest.fixture(scope="module")
def yum(built: Built, publish, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    return publish(tmp_path_factory.mktemp("yum"), built.rpms())  # type: ignore[no-any-return]


def test_rpmlint_finds_no_error(built: Built) -> None:
    for path in built.rpms():
        words = ["rpmlint", "-c", TOP / "packaging/rpm/rpmlint.toml", path]
        done = process.run(words, process.Options(check=False))
        errors = [line for line in done.stdout.splitlines() if re.search(r": E: ", line)]
        assert errors == [] and " 0 errors" in done.stdout, done.stdout


def test_every_rpm_carries_the_repositorys_signature(yum: Path, tmp_path: Path) -> None:
    database = tmp_path / "db"
    process.run(["rpm", "--dbpath", database, "--import", yum / "refstack-archive-keyring.asc"])
    for path in (yum / "yum/packages").glob("*.rpm"):
        said = process.run(["rpm", "--dbpath", database, "--checksig", path]).stdout
        assert "digests signatures OK" in said, said
    broken = next((yum / "yum/packages").glob("refstack-worker-*.rpm"))
    copy = tmp_path / broken.name
    data = bytearray(broken.read_bytes())
    data[-100] ^= 1
    copy.write_bytes(data)
    done = process.run(["rpm", "--dbpath", database, "--checksig", copy], process.Options(check=False))
    assert done.returncode != 0, done.stdout


def test_dnf_reads_the_repository_and_finds_everything(yum: Path, tmp_path: Path) -> None:
    config = tmp_path / "dnf.conf"
    config.write_text(
        f"[main]\nreposdir=/nonexistent\ncachedir={tmp_path}/cache\nlogdir={tmp_path}\npersistdir={tmp_path}/persist\n"
        f"[refstack]\nname=refstack\nbaseurl=file://{yum}/yum\ngpgcheck=1\nrepo_gpgcheck=1\n"
        f"gpgkey=file://{yum}/refstack-archive-keyring.asc\n"
    )
    dnf = ["dnf", "-y", "--config", config, "--releasever=9", "--setopt=install_weak_deps=False"]
    options = process.Options(env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
    listed = process.run([*dnf, "repoquery", "--queryformat", "%{name}"], options).stdout.split()
    assert NAMES <= set(listed), listed
    said = process.run([*dnf, "repoquery", "--requires", f"refstack-tempest-{FIRST}"], options).stdout
    assert "python(abi) = 3.11" in said and "refstack-execute-test >= 0.1.0~" in said


def test_install_and_remove_with_their_scriptlets(built: Built) -> None:
    """In a Debian that has systemd, with rpm as its package manager for this; dependencies are taken as given."""
    include = ("rpm", "systemd", "systemd-sysv", "python3", "ca-certificates")
    with CleanRoot(base_root(RootRecipe("bookworm", include), cache())) as root:
        inside = Enter(binds={built.folder: "/built"})
        paths = [f"/built/{path.relative_to(built.folder)}" for path in built.rpms()]
        root.run(["rpm", "--initdb"], inside)
        done = root.run(["rpm", "--install", "--nodeps", "--nosignature", *paths], inside)
        assert "installed but not started" in done.stdout and "scriptlet failed" not in done.stderr, done
        names = set(root.run(["rpm", "-qa", "--queryformat", "%{NAME}\n"], inside).stdout.split())
        assert names >= NAMES
        assert "refstack-worker" in root.run(["getent", "passwd", "refstack-worker"], inside).stdout
        assert (
            root.run(["stat", "-c", "%U %a", "/var/lib/refstack-worker"], inside).stdout.strip()
            == "refstack-worker 750"
        )
        assert (root.path / "usr/bin/execute_test").read_text().startswith("#!/usr/bin/python3\n")
        verified = root.run(["rpm", "--verify", "--nodeps", *sorted(NAMES)], Enter(check=False)).stdout
        changed = [
            line
            for line in verified.splitlines()
            if not re.search(r"(/etc/refstack-worker$|/etc/refstack-worker/conf)", line)
        ]
        assert changed == [], verified
        info = root.run(["rpm", "-qi", f"refstack-tempest-{FIRST}"], inside).stdout
        assert f"Tempest: {FIRST}" in info and "Interpreters: cpython-3.11" in info and "Tests: 1575" in info
        done = root.run(["rpm", "--erase", "--nodeps", *sorted(names & (NAMES | names))], inside)
        assert "scriptlet failed" not in done.stderr
        left = root.run(["sh", "-c", "find /usr /etc -name '*refstack*' | sort"], inside).stdout.split()
        assert left == [], left
