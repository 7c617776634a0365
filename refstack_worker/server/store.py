"""The ledger: the only queries and the only state changes. (Signatures first; the bodies follow within the hour.)"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.report import Report
from refstack_worker.server import records as r


class Store:
    clock: Callable[[], float]
    settings: ServerSettings

    @classmethod
    def open(cls, settings: ServerSettings, clock: Callable[[], float] = ...) -> Store: ...  # type: ignore
    def close(self) -> None: ...
    def upgrade(self) -> None: "migrate the database to the newest revision (`db upgrade`)"

    # runs
    def add_run(self, new: r.NewRun) -> r.Run: ...  # type: ignore
    def run(self, test_id: int) -> r.Run: "NotFoundError"  # type: ignore
    def runs(self, query: r.RunQuery) -> list[r.Run]: ...  # type: ignore
    def attempts(self, test_id: int) -> list[r.Attempt]: ...  # type: ignore
    def messages(self, test_id: int, after: int = 0, limit: int = 1000) -> list[r.Message]: ...  # type: ignore
    def cancel(self, test_id: int, by: str) -> r.Run: "StateError when ended"  # type: ignore
    def add_message(self, key: r.AttemptKey, text: str) -> None: "the monitor's findings, same path as update-test-status"

    # dispatch. Order of calls: next_to_submit → (build, seal) → sealed(digests) → submit → submitted / submit_failed
    def next_to_submit(self, limit: int = 100, test_id: int | None = None) -> list[r.Submission]: "leased for 60 s; empty while paused"  # type: ignore
    def sealed(self, digests: Sequence[tuple[r.AttemptKey, str]]) -> set[r.AttemptKey]: "BEFORE the submit: sealing.digest(envelope); returns those that are still to be submitted (not cancelled meanwhile)"  # type: ignore
    def submitted(self, jobs: Iterable[r.QueuedJob]) -> None: "after the queue said created"
    def submit_failed(self, keys: Iterable[r.AttemptKey], why: str) -> None: "surely not queued: the lease ends, same attempt is taken again at the next next_to_submit"
    def unsubmittable(self, key: r.AttemptKey, reason: str, message: str) -> r.Run: "no payload can be made of it: the run fails"  # type: ignore
    # uncertain submit: give_back(key, GiveBack.QUEUE_LOST, why)
    def give_back(self, key: r.AttemptKey, how: r.GiveBack, message: str) -> r.Run: "next attempt, or fails at the limit, or cancelled when cancelling; no-op when superseded"  # type: ignore
    def jobs_to_withdraw(self, limit: int = 100) -> list[r.QueuedJob]: "cancelled or superseded before a claim: cancel them in gearmand"  # type: ignore
    def withdrawn(self, keys: Iterable[r.AttemptKey]) -> None: ...

    # monitor; `now` defaults to the store's clock
    def waiting_jobs(self, now: float | None = None, older_than: float = 10.0, limit: int = 5000) -> list[r.QueuedJob]: "submitted, unclaimed: compare with the queue; lost → give_back(QUEUE_LOST)"  # type: ignore
    def silent_attempts(self, now: float | None = None) -> list[r.Attempt]: "held and silent beyond HEARTBEAT_LIMIT, or contested and silent for 3 heartbeats → give_back(LOST)"  # type: ignore
    def lose_silent(self, key: r.AttemptKey, message: str, now: float | None = None) -> r.Run: "give_back(LOST), but only if still silent when the row is locked"  # type: ignore
    def overdue_runs(self, now: float | None = None) -> list[r.Overdue]: ...  # type: ignore
    def expire(self, overdue: r.Overdue) -> r.Run: "ends it, if it is still overdue"  # type: ignore
    def expire_leases(self, now: float | None = None) -> list[r.AttemptKey]: "submitters that died after sealed(): uncertain → next attempt"  # type: ignore
    def pause(self, by: str) -> None: ...
    def resume(self, by: str) -> None: ...
    def is_paused(self) -> bool: ...  # type: ignore
    def node_seen(self, node: r.Node) -> None: "RefusedError when node.time is not newer"
    def nodes(self) -> list[r.Node]: ...  # type: ignore

    # worker (secret = the proof)
    def claim(self, key: r.AttemptKey, secret: str, claim: r.Claim) -> r.ClaimAnswer: ...  # type: ignore
    def heartbeat(self, key: r.AttemptKey, secret: str, beat: r.Heartbeat) -> r.Ordered: ...  # type: ignore
    def release(self, key: r.AttemptKey, secret: str, claim_id: str, reason: str) -> r.Run: ...  # type: ignore
    def report(self, key: r.AttemptKey, report: Report) -> r.Run: ...  # type: ignore
    def accept_result(self, key: r.AttemptKey, secret: str, stream: Path, summary: dict[str, Any]) -> r.Accepted: ...  # type: ignore

    # results
    def result_tests(self, test_id: int, query: r.ResultQuery) -> list[r.TestResult]: ...  # type: ignore
    def result_stream(self, test_id: int) -> Iterable[bytes]: "the subunit stream, pieces"  # type: ignore

    # tokens
    def add_token(self, name: str, scopes: Sequence[str], user_id: int | None = None, expires_at: float = 0.0) -> tuple[r.Token, str]: ...  # type: ignore
    def tokens(self) -> list[r.Token]: ...  # type: ignore
    def revoke_token(self, token_id: int) -> None: ...
    def token(self, secret: str) -> r.Token | None: ...
