"""Every failure that a person or a program may meet, each with its exit code.

Domain code raises these; only a ``main`` turns one into a message and a process exit. A message says what is wrong,
where, and what to do next. The codes are part of the commands' contract (``docs/exit-codes.md``): add, never renumber.
"""

from __future__ import annotations


class RefstackError(Exception):
    """Root of all the errors that this project raises on purpose."""

    exit_code = 1
    """Process exit status when the error ends a command."""

    reason = "error"
    """Short fixed word for machines: what a report or a JSON answer carries beside the message."""


class UsageError(RefstackError):
    """The command line or the question itself makes no sense."""

    exit_code = 2
    reason = "usage"


class ConfigError(RefstackError):
    """A settings file is missing, unreadable, or says something that cannot be."""

    exit_code = 3
    reason = "config"


class KeyFileError(ConfigError):
    """A key file is missing, malformed, or readable by others."""

    reason = "key-file"


class PayloadError(RefstackError):
    """Bytes that are not a payload this side may act on."""

    exit_code = 4
    reason = "payload"


class SealError(PayloadError):
    """The envelope cannot be opened: unknown key, tampered with, or not signed by a trusted key."""

    reason = "seal"


class StateError(RefstackError):
    """A run was asked to make a move that its state does not allow."""

    exit_code = 5
    reason = "state"


class NotFoundError(RefstackError):
    """What was named does not exist (a run, a worker, a token)."""

    exit_code = 6
    reason = "not-found"


class QueueError(RefstackError):
    """gearmand cannot be reached, or did not do what it confirmed."""

    exit_code = 7
    reason = "queue"


class ServerError(RefstackError):
    """The RefStack server cannot be reached or answers nonsense."""

    exit_code = 8
    reason = "server"


class UnansweredError(ServerError):
    """A request reached a server, perhaps, and no answer says whether it was carried out."""

    reason = "unanswered"


class RefusedError(ServerError):
    """The server understood and says no: not allowed, superseded, cancelled."""

    reason = "refused"


class EnvironmentBuildError(RefstackError):
    """No environment can be made for what was asked."""

    exit_code = 10
    reason = "environment"


class VersionUnavailableError(EnvironmentBuildError):
    """This node has no lock or no interpreter for that Tempest version."""

    reason = "version-unavailable"


class LockError(EnvironmentBuildError):
    """A ``pylock.toml`` is malformed, or what it locks does not work."""

    reason = "lock"


class WheelError(EnvironmentBuildError):
    """A wheel is missing, damaged, or tries to write where it must not."""

    reason = "wheel"


class StoreError(EnvironmentBuildError):
    """The store cannot be written or is damaged."""

    reason = "store"


class RunError(RefstackError):
    """A run could not be carried out or was stopped."""

    exit_code = 11
    reason = "run"


class SpoolError(RefstackError):
    """The spool cannot keep or find what it should."""

    exit_code = 12
    reason = "spool"


class ResultError(RefstackError):
    """A result that cannot be read: no subunit stream, truncated, or too large."""

    exit_code = 13
    reason = "result"


class SignatureError(ResultError):
    """A signed verdict was changed, or is signed by a key that is not trusted here."""

    reason = "signature"


class ProcessError(RefstackError):
    """A program could not be started, failed, or took too long."""

    exit_code = 14
    reason = "process"


class BuildError(RefstackError):
    """A package or a lock could not be built, signed, published or verified."""

    exit_code = 15
    reason = "build"


class LedgerError(RefstackError):
    """The server's database cannot be reached, or is not at the revision that this software needs."""

    exit_code = 16
    reason = "ledger"


class BackupError(LedgerError):
    """A backup cannot be made, read or restored."""

    reason = "backup"
