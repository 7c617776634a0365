"""What users may do with runs and clouds, whichever way they come: API or page.

Everything passes here that depends on who asks: whose runs he sees, whose clouds he may test, whether he may only look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from refstack_worker.contract.payload import Testcases
from refstack_worker.errors import NotFoundError, StateError, UsageError
from refstack_worker.server.api.responses import MAX_ID, number, text
from refstack_worker.server.api.serializers import new_run
from refstack_worker.server.auth import Caller
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.domain.guidelines import ADVISORY, REQUIRED, Choice, StoredGuideline
from refstack_worker.server.domain.results import ResultQuery, TestResult
from refstack_worker.server.domain.runs import NewRun, Run
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import no_run, refused
from refstack_worker.server.queue.submitter import Submitter
from refstack_worker.server.results.exports.report import ExportedRun
from refstack_worker.server.services import cloud_check, mini_conf
from refstack_worker.server.services.outside import Question, ask

MAX_RERUN = 20_000
"""Failed tests that one re-run takes by name."""
_PIECE = 1000
_FIXTURE = re.compile(r"(?:setUp|tearDown)(?:Class|Module) \((.+)\)")
_GUIDELINE_FIELDS = frozenset({"id", "name", "program", "advisory"})


@dataclass(frozen=True)
class RunService:
    """The users' side of a ledger."""

    ledger: Ledger
    nudge: Submitter

    def viewer(self, caller: Caller) -> AccessScope | None:
        """Return what a caller sees; None: everything."""
        return None if caller.is_operator else self.ledger.accounts.access_scope(caller.token.user_id)

    def run(self, caller: Caller, test_id: int) -> Run:
        """Return a run. :raises NotFoundError: there is none, or it is somebody else's."""
        run = self.ledger.runs.get(number(test_id, "test_id", 1, MAX_ID))
        viewer = self.viewer(caller)
        if viewer is not None and not self.ledger.runs.is_visible(test_id, viewer):
            raise no_run(test_id)
        return run

    def own_run(self, caller: Caller, test_id: int) -> Run:
        """Return a run that the caller may also change: not one that is only shared with him."""
        caller.need_writer()
        return self.owned(caller, test_id)

    def owned(self, caller: Caller, test_id: int) -> Run:
        """Return a run of the caller's or his vendor's: not one that is only shared with him."""
        run = self.run(caller, test_id)
        viewer = self.viewer(caller)
        if viewer is not None and run.owner_id not in viewer.owner_ids:
            raise no_run(test_id)
        return run

    def cloud(self, caller: Caller, cloud_id: int) -> CloudRecord:
        """Return a cloud. :raises NotFoundError: there is none, or it is somebody else's."""
        return self.ledger.clouds.get(number(cloud_id, "cloud_id", 1, MAX_ID), self.viewer(caller))

    def create(self, caller: Caller, body: Mapping[str, Any], key: str = "") -> Run:
        """Record a run.

        :param body: as ``POST /v1/runs`` takes it.
        :param key: idempotency key.
        """
        caller.need_writer()
        plain = {name: value for name, value in body.items() if name != "guideline"}
        choice, entries = self._guided(caller, body.get("guideline"))
        if entries and plain.get("testcases"):
            raise UsageError("guideline, testcases: give one of the two")
        new = new_run(plain)
        if entries:
            new = replace(new, spec=replace(new.spec, testcases=Testcases(names=entries)))
        self._check_testcases(new.spec.testcases)
        if new.test_id is not None and not caller.is_operator:
            raise UsageError("test_id: only an operator records a run of a test that is there already")
        return self._add(caller, new, key, choice)

    def rerun(self, caller: Caller, test_id: int, body: Mapping[str, Any], key: str = "") -> Run:
        """Run the same again, all of it or what failed. Passwords that no cloud keeps have to be given anew."""
        old = self.own_run(caller, test_id)
        wanted = new_run({name: value for name, value in body.items() if name != "only"})
        if not old.state.is_end:
            raise StateError(f"run {test_id} has not ended; cancel it first")
        only = body.get("only", "all")
        new = NewRun(
            spec=replace(old.spec, testcases=self._again(old, only)),
            conf_json=wanted.conf_json,
            cloud_id=old.cloud.id or None,
            label=wanted.label or old.label,
            owner_id=old.owner_id,
            rerun_of=test_id,
        )
        if new.cloud_id is None and not new.conf_json:
            raise UsageError(
                f"run {test_id} is of no recorded cloud, and its options were wiped when it ended; give them again: "
                "conf_json (refstack-queue run rerun: --conf-json)"
            )
        return self._add(caller, new, key, self.ledger.guidelines.choice(test_id) if only == "all" else None)

    def cancel(self, caller: Caller, test_id: int) -> Run:
        """Cancel a run."""
        self.own_run(caller, test_id)
        run = self.ledger.runs.cancel(test_id, caller.name)
        self.nudge()
        return run

    def delete(self, caller: Caller, test_id: int) -> None:
        """Remove a run that has ended, with all that is known of it."""
        self.own_run(caller, test_id)
        self.ledger.retention.delete(test_id)

    def exported(self, caller: Caller, test_id: int) -> ExportedRun:
        """Return a run with its result, to be given out. :raises NotFoundError: it has none."""
        run = self.run(caller, test_id)
        result = self.ledger.results.get(test_id)
        verdict = self.ledger.guidelines.verdict(test_id)
        return ExportedRun(
            run, result["seconds"], result["accepted_at"], lambda: all_tests(self.ledger, test_id), verdict
        )

    def check_cloud(self, caller: Caller, cloud_id: int, conf: Mapping[str, Any] | None = None) -> CloudRecord:
        """Look at a cloud and note what was found. :param conf: passwords; None or empty: those that it keeps."""
        known = self.cloud(caller, cloud_id)
        given = conf or self.ledger.clouds.saved_conf(cloud_id)
        self.ledger.clouds.note_check(
            cloud_id, cloud_check.check(known, given, self.ledger.settings.outbound.cloud_networks)
        )
        return self.cloud(caller, cloud_id)

    def add_guideline(self, caller: Caller, text_given: str, url: str) -> StoredGuideline:
        """Keep a guideline, given as text or fetched from where the operator allows it. An operator's is for all."""
        caller.need_writer()
        source = ""
        if url:
            self.check_url(url, "url")
            answer = ask(Question(url), self.ledger.settings.outbound.cloud_networks)
            if answer.status != 200:
                raise UsageError(f"url: {url} answers {answer.status}; the address of the file itself is needed")
            text_given, source = answer.body.decode("utf-8", "replace"), url
        owner = None if caller.is_operator else caller.token.user_id
        return self.ledger.guidelines.add(text_given, StoredGuideline(0, "", "", source, caller.name, owner))

    def check_url(self, url: str, what: str) -> None:
        """Raise :class:`UsageError` unless the operator allows lists to be fetched from there."""
        allowed = self.ledger.settings.outbound.list_urls
        # %2e is a dot to the server that is asked
        climbs = {".", ".."} & set(unquote(url).replace("\\", "/").partition("?")[0].split("/"))
        if climbs or "\\" in url or not any(_is_below(url, start) for start in allowed):
            raise UsageError(
                f"{what}: nothing is fetched from there; the operator allows: {', '.join(allowed) or 'none'}"
            )

    def _guided(self, caller: Caller, given: Any) -> tuple[Choice | None, tuple[str, ...]]:
        if given is None:
            return None, ()
        if not isinstance(given, dict) or set(given) - _GUIDELINE_FIELDS:
            raise UsageError(f"guideline: an object with {', '.join(sorted(_GUIDELINE_FIELDS))} is expected")
        advisory = given.get("advisory", False)
        if not isinstance(advisory, bool):
            raise UsageError("guideline: advisory: true or false is expected")
        wanted: int | str = text(given, "name", 60)
        if given.get("id") is not None:
            wanted = number(given["id"], "guideline: id", 1, MAX_ID)
        try:
            stored, guideline = self.ledger.guidelines.get(wanted, self.viewer(caller))
            program = guideline.program(text(given, "program", 200, needed=True))
        except NotFoundError as error:
            raise UsageError(f"guideline: {error}") from None
        kinds = (REQUIRED, ADVISORY) if advisory else (REQUIRED,)
        return Choice(stored.id, program.name, advisory), program.entries(kinds)

    def _check_testcases(self, testcases: Testcases | None) -> None:
        if testcases is not None and testcases.url:
            self.check_url(testcases.url, "testcases: url")

    def _add(self, caller: Caller, new: NewRun, key: str, choice: Choice | None) -> Run:
        conf = new.conf_json
        if not all(isinstance(section, dict) for section in conf.values()):
            raise UsageError("conf_json: an object of sections, each an object of options, is expected")
        if new.cloud_id is not None:
            self._need_cloud(caller, new.cloud_id)
            conf = mini_conf.merged(self.ledger.clouds.saved_conf(new.cloud_id), conf)
        if not caller.is_operator and caller.token.user_id is None:
            raise refused("scope", "this token belongs to no user, so its runs would be nobody's")
        owner = new.owner_id if caller.is_operator else caller.token.user_id
        # names of tokens are not unique: two people's keys must never be the same
        unique = f"{caller.token.id}:{key}" if key else ""
        made = replace(new, conf_json=conf, created_by=caller.name, owner_id=owner, idempotency_key=unique)
        run = self.ledger.runs.add(made)
        if choice is not None:
            self.ledger.guidelines.choose(run.test_id, choice)
        self.nudge()
        return run

    def _need_cloud(self, caller: Caller, cloud_id: int) -> None:
        try:
            self.cloud(caller, cloud_id)
        except NotFoundError as error:
            raise UsageError(f"cloud_id: {error}") from None

    def _again(self, old: Run, only: Any) -> Testcases | None:
        if only == "all":
            return old.spec.testcases
        if only != "failed":
            raise UsageError("only: all or failed is expected")
        failed = self.ledger.results.tests(old.test_id, ResultQuery("failed", limit=MAX_RERUN))
        if not failed:
            raise StateError(f"run {old.test_id} has no failed test to run again")
        return Testcases(names=tuple(dict.fromkeys(_selector(test) for test in failed)))


def all_tests(ledger: Ledger, test_id: int) -> Iterator[TestResult]:
    """Yield all the tests of a result, some at a time."""
    after = 0
    while tests := ledger.results.tests(test_id, ResultQuery(after=after, limit=_PIECE)):
        yield from tests
        after = tests[-1].position


def compare(ledger: Ledger, old: int, new: int) -> dict[str, list[TestResult]]:
    """Return the tests of ``new`` that came out differently in ``old``: ``mended``, ``broken``, ``other``, ``added``,
    and ``gone``: those of ``old`` that did not run in ``new``."""
    before = {_key(test): test for test in all_tests(ledger, old)}
    found: dict[str, list[TestResult]] = {name: [] for name in ("broken", "mended", "other", "added", "gone")}
    for test in all_tests(ledger, new):
        former = before.pop(_key(test), None)
        if former is None:
            found["added"].append(test)
        elif former.status != test.status:
            kind = {"failed": "broken", "passed": "mended"}.get(test.status, "other")
            found[kind if "failed" in (former.status, test.status) else "other"].append(test)
    found["gone"] = list(before.values())
    return found


def _selector(test: TestResult) -> str:
    """Return what picks a test again; where a class's fixture failed, which is no test, that is the class."""
    fixture = _FIXTURE.fullmatch(test.name)
    if fixture:
        return fixture[1]
    return f"id-{test.uuid}" if test.uuid else test.name


def _key(test: TestResult) -> tuple[str, str]:
    # an id may run in several scenarios, which differ in their names
    return (test.uuid, test.name.rpartition(".")[2]) if test.uuid else ("", test.name)


def _is_below(url: str, start: str) -> bool:
    return url.startswith(start if start.endswith("/") else f"{start}/") or url == start
