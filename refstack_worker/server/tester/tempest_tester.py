"""``TempestTester``: how RefStack itself starts an official run, and what it tells of it.

An existing RefStack imports this in the place of its own; the settings come from its ``refstack.cfg``::

    tester = TempestTester(test_id)
    tester.execute_test({"identity": {"password": …, "alt_password": …, "admin_password": …}})
"""

from __future__ import annotations

import functools
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Union

from refstack_worker.config import server as config
from refstack_worker.contract import payload as payloads
from refstack_worker.contract import strict_json
from refstack_worker.errors import ConfigError, NotFoundError, PayloadError
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import NewRun, Run, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.services import mini_conf
from refstack_worker.server.tester.local_run import NAME, LocalRun

_RELEASE = re.compile(payloads.SCHEMA["properties"]["openstack_release"]["pattern"])
_PAGE = 1000

ExtraConf = Union[str, Mapping[str, Mapping[str, Any]], None]
"""Options as JSON text or as section → option → value; the passwords are among them."""


class TempestTester:
    """One test of RefStack's database, to be run with Tempest."""

    def __init__(self, test_id: int | str, ledger: Ledger | None = None) -> None:
        """:raises ValueError: there is no test of that id.

        :param ledger: the ledger; None: that of ``refstack.cfg`` (``REFSTACK_CFG``).
        """
        self.ledger = ledger or _usual_ledger()
        try:
            self.test_id = int(test_id)
        except (TypeError, ValueError):
            raise ValueError(f"Invalid test ID: {str(test_id)[:40]!r}") from None
        cloud = self.ledger.clouds.of_test(self.test_id) if 0 < self.test_id < 2**31 else None
        if cloud is None:
            raise ValueError(f"Invalid test ID: there is no test {self.test_id}")
        self.cloud = cloud

    def generate_miniconf(self) -> str:
        """Return the Tempest options that are known of the cloud, as JSON text."""
        return json.dumps(mini_conf.mini_conf(self.ledger.settings.tempest, self.cloud))

    def generate_testcases(self) -> str:
        """Return which tests are to be run, as JSON text: ``{"testcases": […]}``."""
        cases = mini_conf.testcases(self.ledger.settings.tempest, self._spec_of_run())
        return json.dumps({"testcases": cases})

    def get_result(self) -> str:
        """Return what came of the test, as JSON text: state, counts, and each test's name and status."""
        run = self._run()
        found: dict[str, Any] = {"test_id": self.test_id, "state": run.state.value if run else "", "finished": False}
        try:
            result = self.ledger.results.get(self.test_id)
        except NotFoundError:
            return json.dumps(found)
        counts = {name: result[name] for name in ("passed", "failed", "skipped")}
        return json.dumps({**found, "finished": True, **counts, "tests": self._tests()})

    def execute_test(self, extra_conf_json: ExtraConf = None, spec: RunSpec | None = None) -> Run:
        """Start the run in the way that ``TEST_METHOD`` names, and return without waiting for its end.

        :param spec: what to run; None: ``TEMPEST_VERSION``, or the OpenStack release of the cloud.
        :raises PayloadError: options or spec that no worker would take.
        :raises StateError: the test was run already.
        :raises ConfigError: the settings lack what the method needs.
        """
        new = NewRun(spec or self._usual_spec(), _conf(extra_conf_json), test_id=self.test_id)
        if self.ledger.settings.queue.method == "local":
            return self.run_local(new)
        return self.run_gearman(new)

    def run_gearman(self, new: NewRun) -> Run:
        """Record the run and give it to the queue. If the queue is away, the monitor gives it later."""
        run = self.ledger.runs.add(new)
        client = QueueClient(self.ledger.settings)
        try:
            client.submit_pending(self.ledger, run.test_id)
        finally:
            client.close()
        return run

    def run_local(self, new: NewRun) -> Run:
        """Run ``execute_test`` on this machine."""
        claim = Claim(secrets.token_hex(16), NAME)
        LocalRun(self.ledger, self.ledger.runs.add_held(new, claim), claim.claim_id).start()
        return self.ledger.runs.get(self.test_id)

    def _usual_spec(self) -> RunSpec:
        version = self.ledger.settings.tempest.version
        if version:
            return RunSpec(tempest_version=version)
        if _RELEASE.match(self.cloud.version.lower()):
            return RunSpec(openstack_release=self.cloud.version.lower())
        raise ConfigError("set TEMPEST_VERSION in refstack.cfg, or give the cloud's OpenStack release as its version")

    def _run(self) -> Run | None:
        return self.ledger.runs.get(self.test_id) if self.ledger.runs.exists(self.test_id) else None

    def _spec_of_run(self) -> RunSpec | None:
        run = self._run()
        return run.spec if run else None

    def _tests(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        after = 0
        while page := self.ledger.results.tests(self.test_id, ResultQuery(after=after, limit=_PAGE)):
            found += [{"name": test.name, "id": test.uuid, "status": test.status} for test in page]
            after = page[-1].position
        return found


def _conf(given: ExtraConf) -> dict[str, dict[str, Any]]:
    value = strict_json.loads(given, "extra_conf_json") if isinstance(given, str) and given.strip() else given or {}
    if not isinstance(value, Mapping):
        raise PayloadError("extra_conf_json: must be an object of sections")
    return dict(value)


@functools.lru_cache(maxsize=1)
def _usual_ledger() -> Ledger:
    return Ledger(config.load())
