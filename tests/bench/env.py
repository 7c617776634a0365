"""Environments: ours from the store against uv from its cache and virtualenv with pip; same wheels, same disk."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refstack_worker.builder.locks.uv import find_uv
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.lock import read_lock
from refstack_worker.environments.store.verify import Store
from refstack_worker.filesystem import remove_tree
from tests.bench._measure import Result, medians, report, say, seconds
from tests.support.tempests import CACHE, locked

VERSION = "47.0.0"
AT_ONCE = 16


class Bench:
    """The inputs, and each thing that is measured."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.locks = locked(VERSION, f"{sys.version_info[0]}.{sys.version_info[1]}")
        lock = read_lock(next((self.locks / VERSION).glob("pylock*")))
        self.wheels = self.locks / VERSION / "wheels"
        self.settings = EnvironmentSettings(work / "store", (self.locks,))
        self.offer = Catalogue(self.settings).find(Want(version=VERSION))
        self.requirements = work / "requirements.txt"
        self.requirements.write_text("".join(f"{w.name}=={w.version}\n" for w in lock.wheels))
        self.uv = find_uv(CACHE)
        self.uv_env = {**os.environ, "UV_CACHE_DIR": str(work / "uv-cache"), "UV_NO_CONFIG": "1"}
        for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
            self.uv_env.pop(name, None)
        assert self.offer.interpreter is not None
        self.python = self.offer.interpreter.path

    def call(self, *words: object) -> None:
        subprocess.run([str(word) for word in words], check=True, env=self.uv_env, capture_output=True)

    def fresh(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.work)) / "env"

    def ours(self, then: Callable[[Path], object] = lambda _: None) -> float:
        """From asked for to ready (and used); removing is not counted."""
        environment = Environment(self.offer, self.settings, self.fresh())

        def build() -> None:
            then(environment.__enter__().path)

        took = seconds(build)
        environment.remove()
        return took

    def removal(self) -> float:
        environment = Environment(self.offer, self.settings, self.fresh())
        environment.__enter__()
        return seconds(environment.remove)

    def uv_environment(self, then: Callable[[Path], object] = lambda _: None, *options: str) -> float:
        folder = self.fresh()

        def build() -> None:
            self.call(self.uv, "venv", "--quiet", "--python", self.python, folder)
            self.uv_install(folder, *options)
            then(folder)

        took = seconds(build)
        shutil.rmtree(folder)
        return took

    def uv_install(self, folder: Path, *options: str) -> None:
        words = ["--quiet", "--offline", "--no-deps", "--no-index", "--find-links", self.wheels, *options]
        self.call(self.uv, "pip", "install", *words, "--python", folder / "bin/python", "-r", self.requirements)

    def pip_environment(self, keep: Path | None = None) -> float:
        folder = keep or self.fresh()

        def build() -> None:
            self.call(sys.executable, "-m", "virtualenv", "--quiet", "--python", self.python, folder)
            pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
            self.call(*pip, "--find-links", self.wheels, "-r", self.requirements)

        took = seconds(build)
        if keep is None:
            shutil.rmtree(folder)
        return took

    def cold(self) -> float:
        """Fill an empty store from wheels on the disk: what uv's --compile-bytecode install is compared with."""
        store = Store(Path(tempfile.mkdtemp(dir=self.work)) / "store")
        lock, interpreter = self.offer.lock, self.offer.interpreter
        assert lock is not None and interpreter is not None
        took = seconds(lambda: store.ensure(lock.wheels, interpreter, self.offer.fetcher(self.settings)))
        remove_tree(store.root)
        return took

    def at_once(self, count: int = AT_ONCE) -> float:
        """Build environments at the same time in as many threads, as a worker with that many slots does.

        Counted from the first that begins to the last that is ready; opening the gate for sixteen threads is not ours.
        """
        environments = [Environment(self.offer, self.settings, self.fresh()) for _ in range(count)]
        gate = threading.Barrier(count)

        def build(environment: Environment) -> tuple[float, float]:
            gate.wait()
            begun = time.perf_counter()
            environment.__enter__()
            return begun, time.perf_counter()

        with ThreadPoolExecutor(count) as threads:
            times = list(threads.map(build, environments))
        for environment in environments:
            environment.remove()
        return max(ready for _, ready in times) - min(begun for begun, _ in times)

    def lister(self, folder: Path) -> Callable[[], float]:
        """Return what times the listing of the tests of the Tempest in a folder, in a workspace of its own."""
        home = Path(tempfile.mkdtemp(dir=self.work))
        env = {"PATH": f"{folder}/bin:{os.defpath}", "HOME": str(home), "TMPDIR": str(home)}
        tempest, workspace = f"{folder}/bin/tempest", home / "workspace"
        init = [tempest, "init", "--workspace-path", f"{home}/workspaces.yaml", str(workspace)]
        subprocess.run(init, check=True, env=env, capture_output=True)
        words = [tempest, "run", "--list-tests"]

        def once() -> float:
            return seconds(lambda: subprocess.run(words, check=True, env=env, capture_output=True, cwd=workspace))

        return once


def version_of(folder: Path) -> None:
    """Have Tempest say its version."""
    subprocess.run([f"{folder}/bin/tempest", "--version"], check=True, capture_output=True)


def disk(folder: Path) -> int:
    """Return the bytes that a folder alone takes on the disk: what has other names too is not counted."""
    states = [
        os.lstat(os.path.join(parent, name))
        for parent, folders, files in os.walk(folder)
        for name in [*folders, *files]
    ]
    return sum(state.st_blocks * 512 for state in states if stat.S_ISDIR(state.st_mode) or state.st_nlink == 1)


def main(arguments: Sequence[str]) -> int:
    """Measure everything and print JSON; exits with 1 when a limit is not kept."""
    parser = argparse.ArgumentParser(prog="tests/bench/run env", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    asked = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    place = CACHE / "bench"
    place.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="env-", dir=place))
    try:
        return report(measure(Bench(work), asked.runs), load)
    finally:
        remove_tree(work)


def measure(bench: Bench, runs: int) -> list[Result]:
    """Take all the measurements, ours and the peers' in the same run."""
    results = []

    def compare(
        name: str, ours: Callable[[], float], peer: Callable[[], float] | None, peer_name: str, scale: float, unit: str,
        limit: float | None = None, ratio: float | None = None,
    ) -> Result:  # fmt: skip
        say(f"{name}, {runs} times" + (f", in turns with {peer_name}" if peer else ""))
        mine, *others = (taken * scale for taken in medians(runs, ours, *([peer] if peer else [])))
        theirs = others[0] if others else None
        results.append(Result(name, mine, theirs, unit, runs, peer_name, runs if peer else 0, limit, ratio))
        return results[-1]

    say("warming up")
    bench.ours()
    bench.uv_environment()
    compare("environment, warm", bench.ours, bench.uv_environment, "uv", 1000, "ms", 25, 1 / 10)
    compare("removal", bench.removal, None, "", 1000, "ms", 25)
    sizes: list[int] = []
    bench.ours(lambda folder: sizes.append(disk(folder)))
    results.append(Result("disk", sizes[0] / 1e6, None, "MB", 1, limit=1.0))
    compare(
        "to 'tempest --version'", lambda: bench.ours(version_of), lambda: bench.uv_environment(version_of), "uv",
        1000, "ms", ratio=1 / 2,
    )  # fmt: skip
    compare(
        f"{AT_ONCE} at once", bench.at_once, lambda: bench.at_once(1), "one, started the same way",
        1000, "ms", ratio=AT_ONCE,
    )  # fmt: skip
    compare(
        "cold store", bench.cold, lambda: bench.uv_environment(lambda _: None, "--compile-bytecode"),
        "uv --compile-bytecode", 1, "s", ratio=2,
    )  # fmt: skip
    ordinary = bench.fresh()
    bench.pip_environment(ordinary)
    environment = Environment(bench.offer, bench.settings, bench.fresh())
    mine, theirs = bench.lister(environment.__enter__().path), bench.lister(ordinary)
    mine(), theirs()
    compare("tempest run --list-tests", mine, theirs, "virtualenv, pip", 1, "s", ratio=1.05)
    environment.remove()
    compare("environment, warm", bench.ours, bench.pip_environment, "virtualenv, pip", 1000, "ms", 25, 1 / 300)
    return results
