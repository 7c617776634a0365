"""What a run would find in a cloud, seen from the server: the code of the node looks, through the server's guard.

Nothing is changed in the cloud: whether it takes images of any content, and whether servers can be reached by SSH, only
the node finds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.cloud_needs import Gap, Need
from refstack_worker.contract.messages import clean_line
from refstack_worker.errors import RefstackError
from refstack_worker.execute_test.cloud.catalog import only_region, set_region
from refstack_worker.execute_test.cloud.keystone import Keystone, administrator, ordinary_users
from refstack_worker.execute_test.cloud.options import OptionFinder
from refstack_worker.execute_test.failures import CloudFailure, Failure
from refstack_worker.execute_test.http import Denied, HttpResponse
from refstack_worker.http.guard import Deadline, GuardedRequest, Network, OutboundGuard, ask_guarded
from refstack_worker.server.domain.clouds import Conf

LOOK_SECONDS = 10.0
"""For all questions together."""
UNAUTHORIZED = 401


@dataclass(frozen=True)
class CloudContents:
    """What a look into a cloud showed."""

    choices: tuple[str, ...] = ()
    """What a run would choose, for people."""
    gaps: tuple[Gap, ...] = ()
    problem: str = ""
    """Why the server could not look; a node may reach the cloud all the same."""


class GuardedKeystone(Keystone):
    """A cloud that is asked only as the operator allows, and not longer than the deadline."""

    def __init__(self, conf: Mapping[str, Mapping[str, Any]], guard: OutboundGuard) -> None:
        super().__init__(conf)
        self._guard = guard

    def request_url(self, method: str, url: str, token: str, body: Any = None, media_type: str = "") -> HttpResponse:
        """Send a request to any service of this cloud.

        :raises CloudFailure: there is no answer, or the operator does not allow the address.
        :raises Denied: the service refuses.
        """
        headers = {"X-Auth-Token": token} if token else {}
        try:
            answer = ask_guarded(GuardedRequest(url, method, headers, body), self._guard)
        except RefstackError as error:
            raise CloudFailure(str(error)) from error
        where = url.partition("?")[0]
        if answer.status >= 500:
            raise CloudFailure(f"{where}: response {answer.status}")
        if answer.status >= 301:
            raise Denied(answer.status, f"{where}: response {answer.status}", answer.headers)
        return HttpResponse(answer.status, _Headers(answer.headers), answer.body, where)


class _Headers(dict[str, str]):
    """Headers by their names in any spelling."""

    def __missing__(self, name: str) -> str:
        if name == name.lower():
            raise KeyError(name)
        return self[name.lower()]


def look_inside(conf: Conf, networks: Sequence[Network], tests: Sequence[str] = ()) -> CloudContents:
    """Look for what tests need. A cloud that cannot be looked at is a finding too.

    :param conf: the options of the run, with addresses and passwords.
    :param tests: what the run selects; without them, services of Tempest plugins are not missed.
    """
    try:
        return _look(conf, tests, OutboundGuard(networks, Deadline(LOOK_SECONDS)))
    except (Failure, Denied) as error:
        return CloudContents(problem=clean_line(str(error))[:300])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        # nothing in an answer is as it must be only because it is JSON
        return CloudContents(problem="a service's response does not conform to its API")


def _look(conf: Conf, tests: Sequence[str], guard: OutboundGuard) -> CloudContents:
    keystone = GuardedKeystone(conf, guard)
    admin = administrator(conf)
    users = [admin] if admin else ordinary_users(conf)
    if not users:
        return CloudContents(problem="no password is known")
    try:
        token = keystone.log_in(users[0])
    except CloudFailure as error:
        if isinstance(error.__cause__, Denied) and error.__cause__.status == UNAUTHORIZED:
            return CloudContents(gaps=(Gap(Need.OTHER, clean_line(str(error))),))
        raise
    region = set_region(conf) or only_region(token, keystone.url)
    role = str(conf.get("identity", {}).get("admin_role") or "admin")
    is_admin = bool(admin) or token.has_role(role)
    findings = OptionFinder(keystone, token, region, is_admin, changes_nothing=True).find(conf, tests=tests)
    return CloudContents(
        tuple(clean_line(choice) for choice in findings.choices),
        tuple(Gap(gap.need, clean_line(gap.text), gap.areas) for gap in findings.gaps),
    )
