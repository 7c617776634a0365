"""A full disk, a private authority, processes that are killed: nothing half-made stays."""

from __future__ import annotations

import os
import random
import signal
import ssl
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.builder.repository import wheelhouse
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import test_listing
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.store.verify import Damage, Store
from refstack_worker.errors import StoreError, VersionUnavailableError
from tests.support.tempests import TOP, locked
from tests.support.wheel_files import make_lock, make_tempest, make_version, make_wheel
from tests.support.wheel_sites import serving

ROUNDS = int(os.environ.get("REFSTACK_TEST_ROUNDS", "6"))
PROCESSES = 8

FILL = """
import sys
from pathlib import Path
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import interpreters
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
interpreters.candidates = lambda extra=(): [Path(sys.executable)]
settings = EnvironmentSettings(Path(sys.argv[1]), (Path(sys.argv[2]),))
print("ready", flush=True)
with Environment(Catalogue(settings).find(Want(version="47.0.0")), settings, Path(sys.argv[3])) as built:
    assert built.tests
"""


def left_behind(store: Store) -> list[Path]:
    folders = (store.work, store.incoming, store.locks)
    return [path for folder in folders for path in folder.iterdir()] + list(store.root.rglob(".*"))


def test_a_full_disk(small_disk, tmp_path):
    settings = EnvironmentSettings(small_disk / "store", (locked("47.0.0"),))
    offer = Catalogue(settings).find(Want(version="47.0.0"))
    with pytest.raises(StoreError, match=r"No space left on device.*free up space") as full:
        Environment(offer, settings, tmp_path / "env").__enter__()
    assert ".whl" in str(full.value)
    store = Store(settings.store)
    assert store.names() == set()
    assert store.verify() == []
    assert left_behind(store) == []
    assert not (tmp_path / "env").exists()


def test_a_disk_that_is_full_for_the_environment(small_disk, tmp_path):
    settings = EnvironmentSettings(tmp_path / "store", (make_version(tmp_path / "l", "47.0.0").parent.parent,))
    offer = Catalogue(settings).find(Want(version="47.0.0"))
    with Environment(offer, settings, tmp_path / "env"):
        pass
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"\0" * 4096)
    with pytest.raises(StoreError, match="No space left"):
        Environment(offer, settings, small_disk / "env").__enter__()
    assert not (small_disk / "env").exists()


def test_no_room_to_list_tests_is_not_held_against_tempest(build_settings, small_disk, tmp_path, monkeypatch):
    settings, offer = build_settings("47.0.0")
    outcomes = []
    with Environment(offer, settings, tmp_path / "env") as built:
        monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
        for kilobytes in (0, 4, 16, 64, 256, 1024, 4096):
            (small_disk / "filler").unlink(missing_ok=True)
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            with (small_disk / "filler").open("wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, free - kilobytes * 1024)
            try:
                outcomes.append(len(test_listing.list_tests(built.path, "Tempest")))
            except StoreError as error:
                assert "cannot list its tests" in str(error) and "No space left on device" in str(error)
                outcomes.append(0)
        assert [path.name for path in small_disk.iterdir()] == ["filler"]
    assert outcomes[0] == 0 and outcomes[-1] == built.tests
    assert outcomes == sorted(outcomes)


@pytest.fixture
def authority(tmp_path):
    """A private authority and a certificate of it for 127.0.0.1, made with openssl."""
    commands = (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=refstack-test-ca",
        "req -newkey rsa:2048 -nodes -keyout site.key -out site.csr -subj /CN=127.0.0.1",
        "x509 -req -in site.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out site.pem",
    )
    (tmp_path / "ext").write_text("subjectAltName=IP:127.0.0.1")
    for command in commands:
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True, cwd=tmp_path)
    return tmp_path


def test_a_private_authority(authority, tmp_path):
    wheelhouse.publish(tmp_path / "house", [make_version(tmp_path / "locks", "47.0.0").parent])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "site.pem", authority / "site.key")
    with serving(tmp_path / "house", lambda sock: context.wrap_socket(sock, server_side=True)) as site:
        settings = EnvironmentSettings(tmp_path / "store", (), (site.url,), ca_file=str(authority / "ca.pem"))
        with Environment(Catalogue(settings).find(Want(version="47.0.0")), settings, tmp_path / "env") as built:
            assert built.tests == 3
        stranger = replace(settings, ca_file="", store=tmp_path / "other")
        with pytest.raises(VersionUnavailableError, match=r"certificate.*ca_file"):
            Catalogue(stranger).find(Want(version="47.0.0"))


def many_wheels(parent: Path) -> Path:
    """A version of forty wheels and two thousand files: half a second's work to unpack and compile."""
    folder = parent / "47.0.0"
    code = "def f{0}(x):\n    return [x for _ in range({0})]\n"
    wheels = [make_tempest(folder / "wheels", "47.0.0")]
    for number in range(40):
        files = {f"pkg{number}/m{part}.py": "".join(code.format(n) for n in range(20)) for part in range(50)}
        wheels.append(make_wheel(folder / "wheels", f"pkg{number}", "1.0", files))
    make_lock(folder, "47.0.0", wheels)
    return parent


def start(settings: EnvironmentSettings, folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", FILL, str(settings.store), str(settings.lock_folders[0]), str(folder)]
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)
    return process


def test_killed_at_random_moments(tmp_path):
    """Eight processes fill one store; some or all are killed; what is there is whole, what is left is nothing."""
    settings = EnvironmentSettings(tmp_path / "store", (many_wheels(tmp_path / "locks"),))
    store = Store(settings.store)
    chance = random.Random(int(os.environ.get("REFSTACK_TEST_SEED", "1")))
    whole = 0
    for number in range(ROUNDS):
        processes = [start(settings, tmp_path / f"env-{number}-{n}") for n in range(PROCESSES)]
        for process in processes:
            process.stdout.readline()
        try:
            processes[0].wait(chance.uniform(0, 2.0))
        except subprocess.TimeoutExpired:
            pass
        for process in chance.sample(processes, chance.choice((1, 4, 8))):
            with suppress(ProcessLookupError):  # it has ended already
                os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()
            process.stdout.close()
        assert store.verify() == [], f"round {number}"
        assert left_behind(store) == [], f"round {number}"
        whole += len(store.names())
        for name in chance.sample(sorted(store.names()), len(store.names())):
            if chance.random() < 0.5:  # so that the next round has work
                store.remove(Damage(store.entries / name, name, "taken out by the test"))
    with Environment(Catalogue(settings).find(Want(version="47.0.0")), settings, tmp_path / "last") as built:
        assert built.tests == 3
    assert store.verify() == []
    assert whole > 0 or ROUNDS < 3
