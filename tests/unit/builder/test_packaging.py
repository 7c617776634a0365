"""The packaging agrees with the code: dependencies, settings, versions, units."""

from __future__ import annotations

import configparser
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from refstack_worker.builder.packages import supported_tempest
from refstack_worker.config import worker as worker_config
from refstack_worker.config.server import NAMES

TOP = Path(__file__).resolve().parents[3]
PACKAGING = TOP / "packaging"
CONTROL = (PACKAGING / "debian" / "control").read_text()
SPEC = (PACKAGING / "rpm" / "refstack-worker.spec").read_text()

DEBIAN = {"pynacl": "python3-nacl", "python-subunit": "python3-subunit", "psycopg2-binary": "python3-psycopg2",
          "pyjwt": "python3-jwt"}  # fmt: skip
FEDORA = {"python-subunit": "python3-subunit", "psycopg2-binary": "python3-psycopg2",
          "prometheus-client": "python3-prometheus_client", "pyjwt": "python3-jwt"}  # fmt: skip
NOT_A_PACKAGE = {"uv"}
"""What comes in a virtualenv of the builder's own."""


def extra(name: str) -> list[Requirement]:
    setup = configparser.ConfigParser()
    setup.read(TOP / "setup.cfg")
    return [Requirement(line) for line in setup["extras"][name].split() if line not in NOT_A_PACKAGE]


def required() -> list[Requirement]:
    lines = (TOP / "requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def stanza(text: str, package: str) -> str:
    return next(block for block in text.split("\n\n") if f"Package: {package}\n" in block)


def test_the_queues_package_depends_on_what_the_server_imports() -> None:
    debian = stanza(CONTROL, "refstack-queue")
    fedora = SPEC[SPEC.index("%package -n refstack-queue") : SPEC.index("%description -n refstack-queue")]
    for requirement in [*extra("server"), *extra("postgresql")]:
        name = requirement.name.lower()
        assert DEBIAN.get(name, f"python3-{name}") in debian, f"packaging/debian/control: refstack-queue lacks {name}"
        assert FEDORA.get(name, f"python3-{name}") in fedora, f"packaging/rpm: refstack-queue lacks {name}"


def test_the_library_requires_what_it_imports() -> None:
    fedora = SPEC[SPEC.index("%package -n python3-refstack-worker") : SPEC.index("%description -n python3-refstack")]
    for requirement in required():
        name = requirement.name.lower()
        assert FEDORA.get(name, f"python3-{name}") in fedora
        if requirement.marker is None:  # Debian's tool reads requirements.txt; building needs them to be there
            assert DEBIAN.get(name, f"python3-{name}") in CONTROL.split("\n\n")[0]


def test_every_setting_of_the_worker_is_in_its_file(tmp_path: Path) -> None:
    text = (PACKAGING / "etc" / "worker.toml").read_text()
    path = tmp_path / "worker.toml"
    path.write_text(re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    worker_config.load(path)  # every key is one, and its value can be
    for section, kind in worker_config.sections().items():
        part = text[text.index(f"[{section}]") :]
        part = part[: part.find("\n[", 1)] if "\n[" in part[1:] else part
        for field in dataclasses.fields(kind):
            assert re.search(rf"^#{field.name} = ", part, re.MULTILINE), f"[{section}] lacks {field.name}"


def test_the_shipped_settings_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "worker.toml").write_text((PACKAGING / "etc" / "worker.toml").read_text())
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "worker.toml").write_text("")
    shipped = worker_config.load(tmp_path / "worker.toml")
    assert dataclasses.replace(shipped, file=Path()) == dataclasses.replace(
        worker_config.load(tmp_path / "empty" / "worker.toml"), file=Path()
    )


def test_the_example_of_the_queue_has_only_names_that_are_read() -> None:
    text = (PACKAGING / "etc" / "refstack.cfg").read_text()
    names = set(re.findall(r"^(?:# )?([A-Z_]+) = ", text, re.MULTILINE))
    assert names and names <= NAMES


def test_both_formats_have_one_version_and_say_what_they_drive() -> None:
    version = re.match(r"\S+ \(([^)-]+)", (PACKAGING / "debian" / "changelog").read_text())
    assert version and f"global refstack_version {version.group(1)}}}" in SPEC
    assert f"Conflicts:      refstack-tempest < {supported_tempest.OLDEST}" in SPEC
    assert SPEC.count(f"Drives Tempest: {supported_tempest.sentence()}") == 2
    assert supported_tempest.execute_test_for("47.0.0") == "0.1.0" == supported_tempest.execute_test_for("1.0")


def test_every_unit_is_in_both_formats() -> None:
    rules = (PACKAGING / "debian" / "rules").read_text()
    for unit in (path.name for path in (TOP / "systemd").iterdir() if path.is_file()):
        assert unit in rules, f"packaging/debian/rules lacks {unit}"
        assert f"%{{_unitdir}}/{unit}" in SPEC, f"the spec file lacks {unit}"


@pytest.mark.parametrize("part", ["worker", "queue"])
def test_a_fresh_installation_names_the_next_steps_in_both_formats(part: str) -> None:
    postinst = (PACKAGING / "debian" / f"refstack-{part}.postinst").read_text()
    last = {
        "worker": "3. refstack-worker doctor && systemctl enable --now refstack-worker",
        "queue": "3. systemctl enable --now refstack-queue-api refstack-queue-monitor",
    }[part]
    for text in (postinst, SPEC):
        assert "installed but not started" in text and last in text


@pytest.mark.parametrize("blocks", [1, 2])
def test_dearmor_gives_the_binary_keyring(blocks: int) -> None:
    armoured = (
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nAAEC\nAwQF\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )
    done = subprocess.run(
        [sys.executable, PACKAGING / "dearmor"], input=armoured.encode() * blocks, capture_output=True, check=True
    )
    assert done.stdout == bytes(range(6)) * blocks


def test_dearmor_refuses_what_is_no_key() -> None:
    done = subprocess.run([sys.executable, PACKAGING / "dearmor"], input=b"x", capture_output=True, check=False)
    assert done.returncode != 0 and b"no public key block" in done.stderr


def test_a_purge_of_the_queue_leaves_what_refstack_has_in_the_same_folder(tmp_path: Path) -> None:
    """L20: the folder is RefStack's own usual place too."""
    data, etc = tmp_path / "data", tmp_path / "etc"
    ours = ["refstack.sqlite", "refstack.sqlite-wal", "uploads/part", "runs/7-1/stream"]
    theirs = ["results/2014.subunit", "runs/notes", "refstack.db"]
    for name in (*ours, *theirs):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("x")
    (etc / "keys").mkdir(parents=True)
    (etc / "refstack.cfg").write_text("x")
    script = (PACKAGING / "debian" / "refstack-queue.postrm").read_text()
    script = script.replace("/var/lib/refstack", str(data)).replace("/etc/refstack", str(etc))
    script = script.replace("getent passwd", f"echo >> {tmp_path}/removed; false").replace("getent group", "false")
    debconf = tmp_path / "confmodule"
    script = script.replace("/usr/share/debconf/confmodule", str(debconf))
    done = subprocess.run(["sh", "-c", script, "postrm", "purge"], check=True, capture_output=True, text=True)
    assert (data / "refstack.sqlite").exists() and (etc / "keys").exists(), "removed without a confirmation"
    assert f"left: {data}/refstack.sqlite" in done.stderr
    assert "left: the user refstack-queue" in done.stderr and not (tmp_path / "removed").exists()
    debconf.write_text("db_input() { :; }\ndb_go() { :; }\ndb_get() { RET=true; }\n")
    subprocess.run(["sh", "-c", script, "postrm", "purge"], check=True, capture_output=True)
    assert sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()) == sorted(theirs)
    assert (etc / "refstack.cfg").exists() and not (etc / "keys").exists()
    assert (tmp_path / "removed").exists(), "the account owns nothing any more"
    for name in theirs:
        (data / name).unlink()
    (data / "results").rmdir()
    subprocess.run(["sh", "-c", script, "postrm", "purge"], check=True, capture_output=True)
    assert not data.exists(), "nothing of anybody's is left"
