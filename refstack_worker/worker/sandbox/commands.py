"""The command lines of ``execute_test`` for the parts of a run; secrets travel in files, never in arguments."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import execute_test_program
from refstack_worker.config.worker import WorkerSettings
from refstack_worker.errors import ConfigError, RunError
from refstack_worker.worker.attempt.outcome import NOT_POSTED
from refstack_worker.worker.sandbox.runner import Command
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""What of the worker's environment a run gets to see."""
RESULTS = ("subunit", "summary.json", "execute_test.log", "tempest.log")
POST_PATIENCE = 120
"""Seconds for which a run itself tries to post; longer is the spool's work, which needs no slot."""
CLEANUP_PATIENCE = 5


def find_program(asked: str) -> tuple[str, ...]:
    """Return the start of ``execute_test``'s command line: what the settings name, this software's own, the installed.

    :raises ConfigError: there is none.
    """
    if asked:
        if not os.access(asked, os.R_OK):
            raise ConfigError(f"run.execute_test: {asked} is not there or not readable")
        return (asked,) if os.access(asked, os.X_OK) else (sys.executable, asked)
    try:
        return execute_test_program.command()
    except ConfigError as error:
        raise ConfigError(f"{error}; install it, or set run.execute_test") from error


@dataclass(frozen=True)
class Commands:
    """Makes the command lines for one attempt."""

    program: tuple[str, ...]
    settings: WorkerSettings
    held: ClaimedAttempt
    testcases: tuple[str, ...] | None = None
    """Entries as in ``get-testcases``; None: the server is asked."""

    def run(self, tempest_home: Path, seconds: float) -> Command:
        """The run itself, ``seconds`` long at most. Its configuration stays for the clean-up, in the run's folder."""
        words = [
            *self._call, "--conf_json", "@{run}/conf.json", "--tempest_home", str(tempest_home),
            "--resource-prefix", self.held.payload.prefix, "--timeout", str(max(1, int(seconds))),
            "--patience", str(POST_PATIENCE), "--workdir", "{run}/work", "--keep", "--progress", "json",
        ]  # fmt: skip
        files = self._files
        if self.held.payload.concurrency:
            words += ["--concurrency", str(self.held.payload.concurrency)]
        if self.testcases is not None:
            words += ["--testcases", "@{run}/testcases.json"]
            files["testcases.json"] = json.dumps(self.testcases).encode()
        return self._command(words, files, RESULTS)

    def clean_up(self, tempest_home: Path, prefix: str) -> Command:
        """Remove from the cloud what carries a prefix."""
        words = [
            *self._call, "--conf_json", "@{run}/conf.json", "--tempest_home", str(tempest_home), "--cleanup-only",
            "--resource-prefix", prefix, "--patience", str(CLEANUP_PATIENCE), "--workdir", "{run}/work", "--keep",
            "--progress", "json",
        ]  # fmt: skip
        return self._command(words, self._files)

    def post(self, folder: str, patience: int = POST_PATIENCE) -> Command:
        """Post a result that lies in a folder."""
        words = [*self._call, "--post-only", folder, "--patience", str(patience), "--progress", "json"]
        return self._command(words, self._files)

    @property
    def _call(self) -> list[str]:
        payload = self.held.payload
        words = [
            *self.program, "--callback", payload.callback, str(payload.test_id), "--attempt", str(payload.attempt),
            "--token-file", "{run}/token",
        ]  # fmt: skip
        return [*words, "--ca-file", "{run}/ca.pem"] if self.settings.server.ca_file else words

    @property
    def _files(self) -> dict[str, bytes]:
        files = {
            "token": self.held.token.encode(),
            "conf.json": json.dumps(self.held.payload.conf_json).encode(),
        }
        if self.settings.server.ca_file:
            try:
                files["ca.pem"] = Path(self.settings.server.ca_file).read_bytes()
            except OSError as error:
                raise RunError(f"server.ca_file: {self.settings.server.ca_file}: {error.strerror}") from error
        return files

    def _command(self, words: list[str], files: dict[str, bytes], results: tuple[str, ...] = ()) -> Command:
        env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        env.update({name: os.environ[name] for name in PROXIES if name in os.environ})
        limits = self.settings.limits
        bounds = {"file": limits.file_mb << 20, "memory": limits.memory_mb << 20, "processes": limits.processes}
        return Command(
            argv=tuple(words),
            env=env,
            files=files,
            results=results,
            results_on=(NOT_POSTED,) if results else (),
            max_result=limits.result_mb << 20,
            grace=self.settings.run.stop_grace,
            limits={name: number for name, number in bounds.items() if number},
        )
