"""What users do with runs, through the API or the pages: create, rerun, cancel, delete, export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from refstack_worker.contract.testcases import Testcases
from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.domain.guidelines import Choice
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import NewRun, Run
from refstack_worker.server.ledger.audit import AuditEntry
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.recording import Recorded
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.queue.submitter import Submitter
from refstack_worker.server.results.exports.report import ExportedRun
from refstack_worker.server.services import (
    access,
    mini_conf,
    proposed_version,
    rerun,
    run_shards,
    signed_verdicts,
    uploads,
)
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.compare import all_tests
from refstack_worker.server.services.exclusions import ALL_TESTS, Exclusions
from refstack_worker.server.services.guidelines import GuidelineService
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.lists import check_url
from refstack_worker.server.services.inputs.run_input import new_run
from refstack_worker.server.services.turns import Turns

MAX_RERUN = 20_000
"""Failed tests that one rerun takes by name."""


@dataclass(frozen=True)
class RunService:
    """The users' side of runs."""

    ledger: Ledger
    submitter: Submitter
    split_turns: Turns | None = run_shards.TURNS
    """None: no request waits for the run."""

    def create(self, caller: Caller, body: Mapping[str, Any], key: str = "") -> Run:
        """Record a run and return it; see :meth:`start`."""
        return self.start(caller, body, key).run

    def start(
        self, caller: Caller, body: Mapping[str, Any], key: str = "", entry: AuditEntry | None = None
    ) -> Recorded:
        """Record a run.

        :param body: of the schema :data:`~refstack_worker.server.services.inputs.run_input.NEW_RUN`.
        :param key: idempotency key.
        :param entry: of the audit log, recorded with the run if that costs nothing.
        """
        caller.need_writer()
        new, choice = self.requested(caller, body)
        # which version was proposed does not belong to the request: sent again it may be another
        asked = replace(new.spec, tempest_version=body.get("tempest_version", ""))
        digest = _digest(replace(new, spec=asked), choice) if key else ""
        return self._add(caller, replace(new, request_digest=digest), key, choice, entry)

    def requested(self, caller: Caller, body: Mapping[str, Any]) -> tuple[NewRun, Choice | None]:
        """Return the run that a caller asks for, with version and tests, and what it is judged by.

        :raises InvalidInput: it makes no sense.
        """
        body = proposed_version.with_version(self.ledger, caller, body)
        excluded = Exclusions.of(body.get("exclude", ()))
        choice, by_guideline = GuidelineService(self.ledger).chosen(caller, body.get("guideline"), excluded)
        if by_guideline and body.get("testcases"):
            raise invalid("testcases", "give either guideline or testcases")
        new = new_run(body)
        testcases = by_guideline or new.spec.testcases
        if excluded.reasons:
            testcases = excluded.apply(testcases or Testcases(regexes=(ALL_TESTS,)))
        new = replace(new, spec=replace(new.spec, testcases=testcases))
        if new.test_id is not None and not caller.is_operator:
            raise invalid("test_id", "only an operator can record a run of an existing test")
        return new, choice

    def rerun(self, caller: Caller, test_id: int, body: Mapping[str, Any], key: str = "") -> Run:
        """Run the same again, all of it or what failed. Passwords that no cloud stores have to be given again."""
        old = self.owned(caller, test_id)
        requested = new_run({name: value for name, value in body.items() if name != "only"})
        if not old.state.is_end:
            raise StateError(f"run {test_id} has not ended; cancel it first")
        only = body.get("only", "all")
        new = NewRun(
            spec=replace(old.spec, testcases=self._again(old, only), priority=_priority(caller, old)),
            conf_json=requested.conf_json,
            cloud_id=old.cloud.id or None,
            label=requested.label or old.label,
            owner_id=old.owner_id,
            rerun_of=test_id,
        )
        if new.cloud_id is None and not new.conf_json:
            raise invalid(
                "conf_json",
                f"is required: run {test_id} has no saved cloud, and its options were erased when it ended "
                "(refstack-queue run rerun: --conf-json)",
            )
        choice = self._choice_again(test_id, only)
        return self._add(caller, replace(new, request_digest=_digest(new, choice) if key else ""), key, choice).run

    def cancel(self, caller: Caller, test_id: int) -> Run:
        self.owned(caller, test_id)
        run = self.ledger.runs.cancel(test_id, caller.name)
        self.submitter()
        return run

    def delete(self, caller: Caller, test_id: int) -> None:
        """Remove a run that has ended, with all that is known of it."""
        self.owned(caller, test_id)
        self.ledger.retention.delete(test_id)

    def pin(self, caller: Caller, test_id: int) -> None:
        """Keep a run however old it gets."""
        self.owned(caller, test_id)
        scope = access.scope_of(self.ledger, caller)
        self.ledger.pins.add(test_id, caller.name, scope.owner_ids if scope is not None else None)

    def unpin(self, caller: Caller, test_id: int) -> None:
        """Let a run go when its time comes."""
        self.owned(caller, test_id)
        self.ledger.pins.remove(test_id)

    def owned(self, caller: Caller, test_id: int) -> Run:
        """Return a run that the caller may change: not one that is only shared, and with no read-only token."""
        caller.need_writer()
        return access.owned_run(self.ledger, caller, test_id)

    def exported(self, caller: Caller, test_id: int) -> ExportedRun:
        """Return a run with its result, to be given out. :raises NotFoundError: it has none."""
        run = access.visible_run(self.ledger, caller, test_id)
        result = self.ledger.results.get(test_id)
        verdict = self.ledger.guidelines.verdict(test_id)
        signed = signed_verdicts.in_page(signed_verdicts.signed(self.ledger, test_id)) if verdict else ""
        return ExportedRun(
            run,
            result["seconds"],
            result["accepted_at"],
            lambda: all_tests(self.ledger, test_id),
            verdict,
            uploads.cpid_of_run(self.ledger, run),
            signed,
        )

    def check_rights(self, caller: Caller, new: NewRun) -> None:
        """Refuse what a caller may not ask of a run, whatever starts it. :raises InvalidInput: saying what."""
        if new.spec.testcases is not None and new.spec.testcases.url:
            check_url(self.ledger.settings.outbound.list_urls, new.spec.testcases.url, "testcases.url")
        if new.spec.priority > 0 and not caller.is_operator:
            raise invalid("priority", "only an operator can raise a run's priority")

    def _add(
        self, caller: Caller, new: NewRun, key: str, choice: Choice | None, entry: AuditEntry | None = None
    ) -> Recorded:
        self.check_rights(caller, new)
        conf = new.conf_json
        known = None
        if new.cloud_id is not None:
            known = self._need_cloud(caller, new.cloud_id)
            saved = self.ledger.clouds.saved_conf(new.cloud_id)
            conf = mini_conf.with_saved(saved, conf, known.cloud.endpoint_v3)
        if not caller.is_operator and caller.token.user_id is None:
            raise refused("scope", "This token belongs to no user, so its runs would have no owner.")
        owner = new.owner_id if caller.is_operator else caller.token.user_id
        # names of tokens are not unique: two people's keys must never be the same
        unique = f"{caller.token.id}:{key}" if key else ""
        complete = replace(
            new,
            conf_json=conf,
            created_by=caller.name,
            owner_id=owner,
            idempotency_key=unique,
        )
        recorded = self.ledger.runs.record(self._with_shards(caller, complete, known), entry)
        if choice is not None:
            self.ledger.guidelines.choose(recorded.run.test_id, choice)
        return recorded

    def _with_shards(self, caller: Caller, new: NewRun, known: CloudRecord | None) -> NewRun:
        if new.spec.shards > 1:
            self.ledger.runs.check_limits(new)
        turns = self.split_turns if new.spec.shards > 1 else None
        with turns.turn(caller.token.account) if turns else nullcontext():
            return run_shards.with_shards(self.ledger, new, known)

    def _need_cloud(self, caller: Caller, cloud_id: int) -> CloudRecord:
        try:
            return access.visible_cloud(self.ledger, caller, cloud_id)
        except NotFoundError as error:
            raise invalid("cloud_id", str(error)) from None

    def _again(self, old: Run, only: str) -> Testcases | None:
        if only == "all":
            return old.spec.testcases
        failed = self.ledger.results.tests(old.test_id, ResultQuery("failed", limit=MAX_RERUN))
        if not failed:
            raise StateError(f"run {old.test_id} has no failed tests to rerun")
        chosen = rerun.selection(failed)
        if not chosen.to_json():
            raise StateError(f"none of the failures in run {old.test_id} can be rerun by test name; rerun all tests")
        return chosen

    def _choice_again(self, test_id: int, only: str) -> Choice | None:
        """Keep guideline and program; what failed before is judged together with what passed before."""
        choice = self.ledger.guidelines.choice(test_id)
        return replace(choice, combines=test_id) if choice and only == "failed" else choice


def _digest(new: NewRun, choice: Choice | None) -> str:
    """Return what tells one request from another with the same idempotency key.

    Keyed by the options' own bytes, passwords too: it is salted with the whole request and never shown.
    """
    spec = asdict(new.spec)
    if not spec["shards"]:
        # as it was digested before runs could be split
        del spec["shards"]
    request = [spec, new.conf_json, new.test_id, new.cloud_id, new.label, new.rerun_of]
    text = json.dumps([*request, asdict(choice) if choice else None], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _priority(caller: Caller, old: Run) -> int:
    """Return the priority of a run for its rerun; what an operator put first is not first again for its owner."""
    return old.spec.priority if caller.is_operator else min(old.spec.priority, 0)
