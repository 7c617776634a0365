"""Finds and removes what a run left in the cloud."""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.execute_test.cloud.cleanup.object_storage import ObjectStorage
from refstack_worker.execute_test.cloud.cleanup.removal import Removal
from refstack_worker.execute_test.cloud.cleanup.resources import Ownership, ResourceRemoval
from refstack_worker.execute_test.cloud.cleanup.run_traces import (
    TEMPEST_PREFIX,
    CloudSnapshot,
    RunTraces,
    class_in_name,
    with_dash,
)
from refstack_worker.execute_test.cloud.keystone import CloudUser, Keystone
from refstack_worker.execute_test.failures import CloudFailure
from refstack_worker.execute_test.http import Denied
from refstack_worker.execute_test.log import LOG

MAX_NAMES = 20
"""Projects or users in one message; a status message has room for a thousand characters."""
ORPHAN_SECONDS = 3.0
"""A run that goes on gives a new project its first role within this time; a stopped run never does."""

Resource = dict[str, Any]


class Leftovers:
    """The projects, users, groups, roles, services and domains of one run.

    They are found by the run's prefix: in what its tests make by ``resource_name_prefix``, in projects and users by
    ``tempest/account_names.py``. A prefix too long for that, or none, leaves Tempest's own names: those are known by
    their ids in the log of the run.
    """

    def __init__(
        self, keystone: Keystone, user: CloudUser, prefix: str, removal: Removal, region: str, is_admin: bool
    ) -> None:
        self._keystone = keystone
        self._prefix = with_dash(prefix)
        self._removal = removal
        self._region, self._is_admin = region, is_admin
        self._token = keystone.log_in(user)
        self._storage = ObjectStorage(keystone, user, self._token, region, removal)

    def remove(self, folder: Path, logs: Sequence[Path]) -> None:
        """Empty and remove the projects of the run, then its users, roles and domains."""
        snapshot = CloudSnapshot.read(folder)
        if snapshot is not None and snapshot.prefix != self._prefix:
            # the folder is another attempt's, whose projects are not to be taken for this one's
            snapshot = None
        traces = RunTraces.read(logs if snapshot else [])
        projects = self._find("projects", traces.projects)
        orphans = self._orphans(snapshot, traces, _ids(projects)) if snapshot else []
        projects += orphans
        is_empty = self._remove_resources(snapshot, traces, _ids(projects))
        for project in projects:
            self._storage.empty_project(project["id"], project["name"])
        self._storage.remove_containers(self._token, self._token.project_id, "own project", self._prefix)
        users = self._find("users", traces.users)
        users += self._users_of(orphans, _ids(users))
        by_prefix = [(kind, self._find(kind, set())) for kind in ("groups", "roles", "services")]
        if not is_empty:
            # what is left would belong to no one, and no user could remove it
            users, projects = [], []
        for kind, resources in (("users", users), ("projects", projects), *by_prefix):
            for each in resources:
                self._delete(f"/{kind}/{each['id']}", f"{kind[:-1]} {each['name']}")
        for domain in self._find("domains", traces.domains):
            self._delete_domain(domain)
        self._report_unsure(snapshot, traces)

    def _remove_resources(self, snapshot: CloudSnapshot | None, traces: RunTraces, projects: set[str]) -> bool:
        """Remove servers, volumes, networks and the like; returns whether none is left."""
        before = snapshot.floating_ips if snapshot else None
        # where it is not known which were there, none is taken for the run's
        addresses = traces.floating_ips - before if before is not None else set()
        ownership = Ownership(self._prefix, frozenset(projects), frozenset(addresses))
        services = ResourceRemoval(self._keystone, self._token, self._region, self._is_admin, self._removal)
        return services.remove(ownership)

    def _find(self, kind: str, ids: set[str]) -> list[Resource]:
        """Return those that carry the prefix, and those with these ids that Tempest named."""
        matches: dict[str, Resource] = {}
        try:
            matches = {each["id"]: each for each in self._list_named(kind, self._prefix)}
        except Denied as error:
            LOG.warning("%s cannot be listed: %s", kind, error)
        for one in ids:
            with contextlib.suppress(Denied):
                each = (self._request("GET", f"/{kind}/{one}") or {}).get(kind[:-1], {})
                if class_in_name(str(each.get("name", ""))):
                    matches[one] = each
        return list(matches.values())

    def _orphans(self, snapshot: CloudSnapshot, traces: RunTraces, known: set[str]) -> list[Resource]:
        """Return projects that the run had made, but not yet given to a user, when it was stopped.

        Their ids are not in the log. A new project is the run's if it is named for a class that the run made projects
        for, and has no role assignment, not even a while later.
        """
        orphans = [
            each
            for each in self._list_named("projects", TEMPEST_PREFIX)
            if each["id"] not in snapshot.projects | known
            and class_in_name(each["name"]) in traces.classes
            and not self._is_assigned(each["id"])
        ]
        if orphans:
            time.sleep(ORPHAN_SECONDS)
        return [each for each in orphans if not self._is_assigned(each["id"])]

    def _is_assigned(self, project_id: str) -> bool:
        try:
            query = urllib.parse.urlencode({"scope.project.id": project_id})
            listed = self._request("GET", f"/role_assignments?{query}")
            return bool((listed or {}).get("role_assignments", True))
        except Denied:
            return True

    def _users_of(self, projects: Sequence[Mapping[str, Any]], known: set[str]) -> list[Resource]:
        """Return users that Tempest named after these projects."""
        users = [user for each in projects for user in self._list_named("users", f"{each['name']}-project")]
        return [user for user in users if user["id"] not in known]

    def _report_unsure(self, snapshot: CloudSnapshot | None, traces: RunTraces) -> None:
        """Report projects and users that may belong to this run, or to another of the same tests.

        Without a snapshot (its node is lost) these are all that Tempest named.
        """
        listed: list[str] = []
        for kind in ("projects", "users"):
            with contextlib.suppress(Denied):
                unsure = [each for each in self._list_named(kind, TEMPEST_PREFIX) if class_in_name(each["name"])]
                if snapshot is not None:
                    unsure = [each for each in unsure if each["id"] not in getattr(snapshot, kind)]
                    unsure = [each for each in unsure if class_in_name(each["name"]) in traces.classes]
                # most users are named after their project, and go with it
                names = [str(each["name"]) for each in unsure]
                names = sorted(name for name in names if not any(name.startswith(f"{one}-") for one in listed))
                listed += names
                self._report_names(kind, names)

    def _report_names(self, kind: str, names: Sequence[str]) -> None:
        for start in range(0, len(names), MAX_NAMES):
            some = ", ".join(names[start : start + MAX_NAMES])
            why = "because they may belong to another run of the same tests"
            self._removal.events.message(f"left in place, {why}: {kind} {some}")

    def _delete_domain(self, domain: Resource) -> None:
        with contextlib.suppress(Denied):
            self._request("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
        self._delete(f"/domains/{domain['id']}", f"domain {domain['name']}")

    def _delete(self, path: str, what: str) -> None:
        try:
            self._request("DELETE", path)
            self._removal.done(what)
        except (Denied, CloudFailure) as error:
            if getattr(error, "status", 0) != 404:
                self._removal.failed(what, error)

    def _list_named(self, kind: str, prefix: str) -> list[Resource]:
        return self._keystone.list_named(self._token, kind, prefix)

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        return self._keystone.request(method, path, self._token.value, body)


def _ids(resources: Sequence[Resource]) -> set[str]:
    return {str(each["id"]) for each in resources}
