"""Tries what a run depends on before its tests start, in Tempest's environment and from its written configuration.

Tempest logs in by code and with defaults of its own. What fails there would fail each test; it is not the failure of
one test.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.log import LOG, SECRETS
from refstack_worker.execute_test.programs import started, write_to
from refstack_worker.execute_test.tempest.accounts.rehearsal_program import REHEARSAL_PROGRAM
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace

REHEARSAL_SECONDS = 120.0


@dataclass(frozen=True)
class AccountsTrial:
    """What one way to list the accounts is enough for."""

    lacking: Mapping[str, str] = field(default_factory=dict)
    """Need → why Tempest cannot serve it."""
    roles: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Need → the roles that each of its accounts has to have; as far as Tempest came."""
    processes: int = 1
    serial: tuple[str, ...] = ()
    """Needs that have to wait for one another."""
    cost: float = 1.0
    """About how long the tests take, compared with one process."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AccountsTrial:
        return cls(value["lacking"], value["roles"], value.get("processes", 1), tuple(value.get("serial", ())),
                   value.get("cost", 1.0))  # fmt: skip


@dataclass(frozen=True)
class Rehearsed:
    """What Tempest's own code says before the run."""

    needs: Mapping[str, str] = field(default_factory=dict)
    """Test → its class's ``credentials`` as JSON; a test whose class is skipped before it asks for any is left out."""
    skips: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    """Test that this configuration skips → the reason, and whether it is for want of an administrator."""
    trials: tuple[AccountsTrial, ...] = ()
    """In the order in which the ways to list the accounts were given."""


@dataclass(frozen=True)
class Rehearsal:
    """A program in Tempest's environment that waits for its question."""

    tempest: Tempest
    program: subprocess.Popen[bytes]
    ends: contextlib.ExitStack
    """Ends the program: as soon as it has answered, because the run goes on for hours."""

    @classmethod
    @contextlib.contextmanager
    def begun(cls, tempest: Tempest, workspace: Workspace) -> Iterator[Rehearsal]:
        """Start the program, which imports what it can while Tempest's configuration is not written yet.

        That takes about as long as the questions to the cloud by which the configuration is found.

        :raises TempestFailure: it cannot be started.
        """
        env = {**workspace.environment(tempest), "TEMPEST_CONFIG_DIR": str(workspace.conf.parent),
               "TEMPEST_CONFIG": workspace.conf.name}  # fmt: skip
        words: list[str | Path] = [tempest.program.with_name("python"), "-c", REHEARSAL_PROGRAM]
        with contextlib.ExitStack() as ends:
            program = ends.enter_context(started(words, workspace.scratch / "list", env, subprocess.PIPE))
            yield cls(tempest, program, ends)

    def ask(
        self, sections: Mapping[str, str], names: Sequence[str] = (),
        variants: Sequence[Sequence[Mapping[str, Any]]] = (), processes: int = 1,
    ) -> Rehearsed:  # fmt: skip
        """Log in, look for the services, and hand the accounts out, all as Tempest does; only once.

        :param sections: the services that the catalogue has, each with its section in Tempest's configuration.
        :param names: the tests that will run.
        :param variants: ways to list the accounts; none when there is an administrator.
        :raises CloudFailure: Tempest gets no token, or does not find Keystone in the catalogue.
        :raises BadInput: Tempest cannot read its configuration.
        """
        asked = {**_services(sections), "names": list(names), "variants": variants, "processes": processes,
                 "accounts": variants[0] if variants else []}  # fmt: skip
        return self._rehearsed(json.dumps(asked).encode("ascii"))

    def begin_login(self, sections: Mapping[str, str]) -> None:
        """Put the question of :meth:`ask` as the administrator, without waiting for the answer."""
        asked = {**_services(sections), "names": [], "variants": [], "processes": 1, "accounts": []}
        write_to(self.program, json.dumps(asked).encode("ascii"))

    def end_login(self) -> None:
        """Wait until Tempest has logged in; raises as :meth:`ask` does."""
        self._rehearsed(None)

    def _rehearsed(self, question: bytes | None) -> Rehearsed:
        answer = self._answer(question)
        if answer is None:
            return Rehearsed()
        _check(answer, self.tempest)
        return Rehearsed(
            answer.get("tests", {}),
            {name: (str(why), bool(dynamic)) for name, (why, dynamic) in answer["skips"].items()},
            tuple(map(AccountsTrial.from_json, answer["variants"])),
        )

    def _answer(self, question: bytes | None) -> Any:
        """Return what the program says; None if this Tempest is too different for it.

        :param question: None: it has it already.
        """
        try:
            # not on a command line nor in a file, because passwords are in it
            output, errors = self.program.communicate(question, REHEARSAL_SECONDS)
        except subprocess.TimeoutExpired:
            raise CloudFailure(f"Tempest got no token within {REHEARSAL_SECONDS:.0f} s") from None
        finally:
            self.ends.close()
        try:
            return json.loads(output.splitlines()[-1])
        except (ValueError, IndexError):
            last = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
            version = self.tempest.version
            LOG.warning("the accounts and the login could not be tested with Tempest %s: %s", version, last[0])
            return None


def _services(sections: Mapping[str, str]) -> dict[str, Any]:
    return {"services": [("identity", "identity"), *sections.items()]}


def _check(answer: Mapping[str, Any], tempest: Tempest) -> None:
    if error := answer.get("config_error"):
        raise BadInput(f"Tempest {tempest.version} cannot read its configuration: {SECRETS.mask(error)}")
    if error := answer["login_error"]:
        raise CloudFailure(f"Tempest cannot log in as {answer['login_user'] or 'the user'}: {SECRETS.mask(error)}")
    missing = answer["missing"]
    if "identity" in missing:
        raise CloudFailure(f"Tempest cannot find Keystone in the cloud's catalogue: {missing['identity']}; "
                           "check identity.v3_endpoint_type and identity.region")  # fmt: skip
    for name, error in missing.items():
        LOG.warning("Tempest cannot find %s in the cloud's catalogue: %s", name, error)
