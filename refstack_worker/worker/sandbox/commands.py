"""The command lines of ``execute_test`` for the parts of a run; secrets travel in files, never in arguments."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from refstack_worker import execute_test_program
from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.execute_test import RESULT_FILES, CommandLine, ExitCode
from refstack_worker.contract.payload import Payload
from refstack_worker.errors import ConfigError, RunError
from refstack_worker.worker.sandbox.runner import Command

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""The only variables of the worker's environment that a run gets."""
POST_PATIENCE = 120
"""Seconds for which a run itself retries a post; after that the spool does, which needs no slot."""
CLEANUP_PATIENCE = 5
STOP_MARGIN = 0.5
"""Seconds that ``execute_test`` has after Tempest's end before it is killed itself."""


def find_program(configured: str) -> tuple[str, ...]:
    """Return the start of ``execute_test``'s command line: the configured program, this software's own, or the
    installed one.

    :raises ConfigError: none of them exists.
    """
    if configured:
        if not os.access(configured, os.R_OK):
            raise ConfigError(f"run.execute_test: {configured} does not exist or is not readable")
        return (configured,) if os.access(configured, os.X_OK) else (sys.executable, configured)
    try:
        return execute_test_program.command()
    except ConfigError as error:
        raise ConfigError(f"{error}; install it, or set run.execute_test") from error


@dataclass(frozen=True)
class KnownTests:
    """What is known about the tests before the run."""

    names: bytes = b""
    """All the tests of this Tempest, one per line; empty: not known."""
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds that tests took before, by name."""


NOTHING_KNOWN = KnownTests()


@dataclass(frozen=True)
class Commands:
    """Builds the command lines for one attempt."""

    program: tuple[str, ...]
    settings: WorkerSettings
    payload: Payload
    token: str = field(repr=False)
    """Proves to the server that this worker holds the claim."""
    testcases: tuple[str, ...] | None = None
    """Entries as in ``get-testcases``; None: ask the server."""

    def run(self, tempest_home: Path, seconds: float, known: KnownTests = NOTHING_KNOWN) -> Command:
        """The run itself, limited to ``seconds``. Its configuration stays in the run's folder for the clean-up."""
        call = replace(
            self._with_conf(tempest_home, self.payload.prefix),
            timeout=max(1, int(seconds)),
            patience=POST_PATIENCE,
            concurrency=self.payload.concurrency,
            discover=self.payload.discover,
            testcases="" if self.testcases is None else "@{run}/testcases.json",
            known_tests="{run}/known-tests.txt" if known.names else "",
            durations="{run}/durations.json" if known.durations else "",
        )
        files = self._files
        if known.names:
            files["known-tests.txt"] = known.names
        if known.durations:
            files["durations.json"] = json.dumps(known.durations).encode()
        if self.testcases is not None:
            files["testcases.json"] = json.dumps(self.testcases).encode()
        return self._command(call, files, RESULT_FILES)

    def clean_up(self, tempest_home: Path, prefix: str) -> Command:
        """Remove the resources with a prefix from the cloud."""
        call = replace(self._with_conf(tempest_home, prefix), patience=CLEANUP_PATIENCE, cleanup_only=True)
        return self._command(call, self._files)

    def post(self, folder: str, patience: int = POST_PATIENCE) -> Command:
        """Post the result in a folder."""
        return self._command(replace(self._start, post_only=folder, patience=patience), self._files)

    @property
    def _start(self) -> CommandLine:
        return CommandLine(
            program=self.program,
            callback=self.payload.callback,
            test_id=self.payload.test_id,
            attempt=self.payload.attempt,
            token_file="{run}/token",  # noqa: S106  # nosec B106 - the name of a file
            ca_file="{run}/ca.pem" if self.settings.server.ca_file else "",
        )

    def _with_conf(self, tempest_home: Path, prefix: str) -> CommandLine:
        return replace(
            self._start,
            conf_json="@{run}/conf.json",
            tempest_home=str(tempest_home),
            resource_prefix=prefix,
            stop_grace=max(0.0, self.settings.run.stop_grace - STOP_MARGIN),
            workdir="{run}/work",
            keep=True,
        )

    @property
    def _files(self) -> dict[str, bytes]:
        files = {"token": self.token.encode(), "conf.json": json.dumps(self.payload.conf_json).encode()}
        if self.settings.server.ca_file:
            try:
                files["ca.pem"] = Path(self.settings.server.ca_file).read_bytes()
            except OSError as error:
                raise RunError(f"server.ca_file: {self.settings.server.ca_file}: {error.strerror}") from error
        return files

    def _command(self, call: CommandLine, files: dict[str, bytes], results: tuple[str, ...] = ()) -> Command:
        env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        env.update({name: os.environ[name] for name in PROXIES if name in os.environ})
        limits = self.settings.limits
        bounds = {"file": limits.file_mb << 20, "memory": limits.memory_mb << 20, "processes": limits.processes}
        return Command(
            argv=tuple(call.words()),
            env=env,
            files=files,
            results=results,
            results_on=(ExitCode.NOT_POSTED,) if results else (),
            max_result=limits.result_mb << 20,
            grace=self.settings.run.stop_grace,
            limits={name: number for name, number in bounds.items() if number},
        )
