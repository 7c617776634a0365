"""Byte-compiling what is being unpacked, at the same time, by the interpreter that it is for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from refstack_worker import process
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.wheels.unpack import TIMESTAMP, Manifest
from refstack_worker.errors import StoreError

SCRIPT = Path(__file__).with_name("bytecode_worker.py")

WHEELS_PER_PROCESS = 4
"""A handful of wheels is not worth another process."""


class Compiler:
    """Compiles the entries that are given to it below one folder, on all the cores; a context manager.

    Leaving it without :meth:`finish` ends the processes.
    """

    def __init__(self, interpreter: Interpreter, folder: Path, wheels: int) -> None:
        self._interpreter = interpreter
        self._folder = folder
        self._cores = min(len(os.sched_getaffinity(0)), 1 + wheels // WHEELS_PER_PROCESS)
        self._process: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Compiler:
        """Start the processes.

        :raises ProcessError: the interpreter does not start.
        """
        pipe = subprocess.PIPE
        words: list[str | Path] = [self._interpreter.path, "-I", "-S", SCRIPT, str(self._cores)]
        self._process = process.start(
            words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self._process
        if running is not None:
            if running.poll() is None:
                process.kill_group(running.pid)
            with suppress(BrokenPipeError, ValueError):
                running.communicate()

    def add(self, name: str, manifest: Manifest) -> None:
        """Compile the Python files of the entry ``name``, which is unpacked below the folder."""
        assert self._process is not None and self._process.stdin is not None  # noqa: S101 - for the type checker
        jobs = (
            [f"{self._folder}/{name}/{path}", path.partition("/")[2], TIMESTAMP]
            for path in manifest.files
            if path.startswith("site/") and path.endswith(".py")
        )
        with suppress(BrokenPipeError):  # it has died: finish() says of what
            self._process.stdin.write("".join(json.dumps(job) + "\n" for job in jobs))
            self._process.stdin.flush()

    def finish(self, manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
        """Wait for all of it and return the manifests with the byte-code in them.

        :raises StoreError: the disk is full, or the interpreter broke.
        """
        assert self._process is not None  # noqa: S101 - for the type checker
        stdout, stderr = self._process.communicate()
        if self._process.returncode != 0:
            output = stderr.strip()[-500:] or f"ended with status {self._process.returncode}"
            raise StoreError(f"byte-compiling with {self._interpreter.path}: {output}; check the disk")
        files = {name: dict(manifest.files) for name, manifest in manifests.items()}
        for line in stdout.splitlines():
            _, path, digest, size = json.loads(line)
            name, _, inside = os.path.relpath(path, self._folder).partition("/")
            files[name][inside] = (digest, size, False)
        return {name: replace(manifest, files=files[name]) for name, manifest in manifests.items()}
