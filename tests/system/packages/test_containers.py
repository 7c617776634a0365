"""The images of ``packaging/container``, built without a daemon, take a run from the trigger to its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker import process
from tests.support.clouds import TESTS, cloud_in
from tests.support.machines import cache
from tests.support.processes import eventually
from tests.system.packages.conftest import FIRST, TOP, Built, pythons
from tests.system.packages.node import URL

BASE = "localhost/debian-base"
SITE = """[server]
urls = ["http://127.0.0.1:8000"]
[node]
name = "container"
[limits]
min_free_mb = 64
"""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it: images are large"),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("buildah"), reason="needs root and buildah"),
    pytest.mark.skipif("py313" not in pythons(), reason="needs a lock for Debian 13's Python"),
]


class Images:
    """buildah with a storage of the test's own, and what was started from its images."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._begin = ["buildah", "--storage-driver", "vfs", "--root", str(folder / "root")]
        self._begin += ["--runroot", str(folder / "run")]
        self._started: list[subprocess.Popen[bytes]] = []

    def buildah(self, *words: object, timeout: float = 900) -> str:
        return process.run([*self._begin, *map(str, words)], process.Options(timeout=timeout)).stdout.strip()

    def make_base(self) -> None:
        tar = cache() / "container-base-trixie.tar"
        if not tar.exists():
            part = tar.with_suffix(f".{os.getpid()}")
            process.run(["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "trixie", part])
            part.rename(tar)
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, tar, "/")
        self.buildah("commit", "--quiet", container, BASE)

    def build(self, target: str, context: Path) -> None:
        file = TOP / "packaging" / "container" / "Containerfile"
        more = ("--build-arg", f"BASE={BASE}", "--isolation", "chroot", "--network", "host")
        self.buildah("build", "--target", target, "--tag", f"refstack-{target}", "--file", file, *more, context)

    def container(self, target: str) -> str:
        return self.buildah("from", "--pull-never", f"localhost/refstack-{target}")

    def words(self, container: str, volumes: dict[Path, str], command: tuple[str, ...]) -> list[str]:
        binds = [word for path, place in volumes.items() for word in ("--volume", f"{path}:{place}")]
        inside = ["run", "--isolation", "chroot", "--network", "host", *binds, container, "--", *command]
        return ["ip", "netns", "exec", self.name, *self._begin, *inside]

    def run(self, container: str, volumes: dict[Path, str], *command: str) -> str:
        return process.run(self.words(container, volumes, command), process.Options(timeout=120)).stdout

    def start(self, container: str, volumes: dict[Path, str], *command: str) -> None:
        with (self.folder / "log").open("ab") as log:
            words = self.words(container, volumes, command)
            self._started.append(subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True))

    def end(self) -> None:
        for pid in process.run(["ip", "netns", "pids", self.name]).stdout.split():
            with suppress(ProcessLookupError):  # it may have ended with the one before
                os.kill(int(pid), signal.SIGKILL)
        for started in self._started:
            started.wait(30)


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    name = f"rsc{os.getpid()}"
    with ExitStack() as clean:
        process.run(["ip", "netns", "add", name])
        clean.callback(process.run, ["ip", "netns", "del", name])
        process.run(["ip", "-n", name, "link", "set", "lo", "up"])
        made = Images(tmp_path / "images", name)
        made.folder.mkdir()
        clean.callback(made.buildah, "rm", "--all")
        clean.callback(made.end)
        yield made


def test_a_run_through_containers(images: Images, built: Built, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name, files in (("deb", built.debs()), ("tempest", [built.tempest(FIRST)])):
        (context / name).mkdir(parents=True)
        for path in files:
            if path.suffix == ".deb":
                shutil.copy(path, context / name)
    images.make_base()
    for target in ("queue", "worker"):
        images.build(target, context)
    queue, worker = images.container("queue"), images.container("worker")
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "refstack.cfg").write_text('TEST_METHOD = "gearman"\n')
    (etc / "50-site.toml").write_text(SITE)
    give(images, queue, "refstack-queue", etc)
    # keys and data are volumes of the image: buildah keeps them with the container, and mounts them over ours
    server = {etc: "/etc/refstack"}
    images.run(queue, server, "refstack-queue", "keys", "generate", "/etc/refstack/keys")
    images.run(queue, server, "refstack-queue", "db", "upgrade")
    make_token(images, queue, server, etc)
    images.start(queue, server, "gearmand", "--listen=127.0.0.1", "--log-file=stderr")
    images.start(queue, server, "refstack-queue", "api")
    images.start(queue, server, "refstack-queue", "monitor")
    node = node_files(images, queue, server, tmp_path)
    give(images, worker, "refstack-worker", *(path for path in node if path.parent == tmp_path))
    images.start(worker, node, "refstack-worker", "run")
    try:
        with cloud_in(SimpleNamespace(name=images.name), tmp_path) as conf:  # type: ignore[arg-type]
            (etc / "conf.json").write_text(json.dumps(conf))
            words = [word for test in TESTS for word in ("--testcases", test)]
            options = ("--tempest-version", FIRST, "--conf-json", "@/etc/refstack/conf.json", *words)
            client = ("refstack-queue", "--url", URL, "--token-file", "/etc/refstack/token")
            made = images.run(queue, server, *client, "run", "create", *options, "-f", "json")
            number = str(json.loads(made)["test_id"])

            def run() -> dict[str, Any]:
                shown = images.run(queue, server, *client, "run", "show", number, "-f", "json")
                return dict(json.loads(shown))

            eventually("the run ends", lambda: run()["state"] in ("finished", "failed", "cancelled"), 300)
            ended = run()
            assert (ended["state"], ended["counts"]["passed"], ended["worker"]) == ("finished", 4, "container"), ended
    except Exception:
        print((images.folder / "log").read_text()[-6000:])
        raise
    images.buildah("push", "--quiet", "localhost/refstack-worker", f"oci-archive:{tmp_path}/worker.tar")
    assert (tmp_path / "worker.tar").stat().st_size > 10**7


def make_token(images: Images, queue: str, server: dict[Path, str], etc: Path) -> None:
    """Make an operator's token, in a file that the programs in the container can read."""
    made = images.run(queue, server, "refstack-queue", "token", "create", "test", "--scope", "operator", "-f", "json")
    (etc / "token").write_text(json.loads(made)["token"] + "\n")
    (etc / "token").chmod(0o600)
    give(images, queue, "refstack-queue", etc)


def node_files(images: Images, queue: str, server: dict[Path, str], folder: Path) -> dict[Path, str]:
    """Return the files of a worker's container and where they are in it: its settings, and keys of the server's."""
    key, public = folder / "fleet.key", folder / "server.pub"
    for path, name in ((key, "fleet.key"), (public, "sign.pub")):
        path.write_text(images.run(queue, server, "cat", f"/etc/refstack/keys/{name}"))
        path.chmod(0o600)
    places = ("conf.d/50-site.toml", "fleet.key", "server.pub")
    files = (folder / "etc" / "50-site.toml", key, public)
    return {path: f"/etc/refstack-worker/{place}" for path, place in zip(files, places)}


def give(images: Images, container: str, user: str, *paths: Path) -> None:
    """Let files of the host belong to a user of an image."""
    number = images.run(container, {}, "id", "-u", user).strip()
    for path in paths:
        process.run(["chown", "-R", number, path])
