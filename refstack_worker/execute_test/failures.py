"""How a call of this program ends: each failure has its exit code and reason, and so has the conclusion."""

from __future__ import annotations

from typing import NamedTuple

from refstack_worker.contract.execute_test import ExitCode, Reason


class Failure(Exception):
    """A run that cannot go on. The message says what to do."""

    exit_code = ExitCode.TESTS_FAILED
    reason = Reason.TESTS_FAILED


class BadInput(Failure):
    """Arguments, configuration or test cases are wrong."""

    exit_code = ExitCode.BAD_INPUT
    reason = Reason.BAD_INPUT


class CloudFailure(Failure):
    """The cloud cannot be reached, rejects the credentials, or lacks what the tests need."""

    exit_code = ExitCode.CLOUD
    reason = Reason.CLOUD


class TempestFailure(Failure):
    """Tempest did not start, ran no test, or was killed."""

    exit_code = ExitCode.TEMPEST
    reason = Reason.TEMPEST


class MachineFailure(Failure):
    """This machine failed, as with a full disk; neither the vendor nor Tempest is to blame."""

    exit_code = ExitCode.TEMPEST
    reason = Reason.MACHINE


class NotPosted(Failure):
    """The result could not be delivered; it is still in the work folder."""

    exit_code = ExitCode.NOT_POSTED
    reason = Reason.NOT_POSTED


class Refused(NotPosted):
    """The server will never accept this result: it is too large, or its attempt is superseded or over."""

    reason = Reason.REFUSED


class ServerFailure(Failure):
    """The RefStack server cannot be reached, or refuses before the tests."""

    exit_code = ExitCode.SERVER
    reason = Reason.SERVER


class Stopped(Failure):
    """A signal or the time limit ended the run."""

    exit_code = ExitCode.STOPPED
    reason = Reason.STOPPED


class RunConclusion(NamedTuple):
    """How a call ended, for the log, the events and the summary."""

    exit_code: ExitCode
    reason: Reason
    message: str

    @classmethod
    def of(cls, failure: Failure) -> RunConclusion:
        """Return the conclusion of a run that could not go on."""
        return cls(failure.exit_code, failure.reason, str(failure))
