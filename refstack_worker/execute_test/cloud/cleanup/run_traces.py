"""What a run made in the cloud: known by its log, and by what was in the cloud before it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.execute_test.cloud.keystone import Keystone, KeystoneToken
from refstack_worker.execute_test.http import Denied

SNAPSHOT_FILE = "before.json"
TEMPEST_PREFIX = "tempest-"
"""Start of the names of the projects and users that Tempest makes for its tests, in every version."""

_REQUEST = re.compile(r"(?:[^\s{(][^{(]*\b)?Request \([^){]*\): ")
"""Start of the lines in which Tempest names its own requests.

Headers and bodies follow on lines of their own: there may stand what anyone else wrote into the cloud.
"""
_CREDENTIALS = re.compile(r"(?:PUT|DELETE) \S*/v3/projects/([0-9a-f]{32})/users/([0-9a-f]{32})/roles/")
_WITHOUT_PROJECT = re.compile(r"(?:PUT|DELETE) \S*/v3/(?:system|domains/([0-9a-f]{32}))/users/([0-9a-f]{32})/roles/")
_CREATED = re.compile(r"Request \((\w+):[^)]*\): 201 POST \S*/v3/(?:projects|users|domains) ")
_FLOATING_IP = re.compile(r"(?:PUT|DELETE) \S*/floatingips/([0-9a-f-]{36})")
_TEMPEST_NAME = re.compile(r"tempest-(\w+)-\d+")


def class_in_name(name: str) -> str:
    """Return the test class that Tempest named a project or user for; empty for any other name."""
    match = _TEMPEST_NAME.match(name)
    return match.group(1) if match else ""


def with_dash(prefix: str) -> str:
    """Return the prefix with the dash that Tempest adds: ``refstack-1-1`` must not match ``refstack-1-10``."""
    return prefix if prefix.endswith("-") else f"{prefix}-"


@dataclass(frozen=True)
class CloudSnapshot:
    """Tempest's projects and users in the cloud before a run, which are therefore not the run's."""

    prefix: str
    """Of the run that the folder belongs to, with its last dash."""
    projects: frozenset[str]
    """Ids."""
    users: frozenset[str] = frozenset()
    """Ids."""
    floating_ips: frozenset[str] | None = frozenset()
    """Ids; floating IPs have no names that would mark a run's. None: they could not be listed."""

    @classmethod
    def take(
        cls, folder: Path, prefix: str, keystone: Keystone, token: KeystoneToken, floating_ips: Sequence[str] | None
    ) -> None:
        """Look, and keep the result in the work folder; ordinary users see no projects and users but their own."""
        ids: dict[str, list[str] | None] = {"projects": [], "users": []}
        ids["floating_ips"] = None if floating_ips is None else list(floating_ips)
        for kind in ("projects", "users"):
            with contextlib.suppress(Denied):
                ids[kind] = [each["id"] for each in keystone.list_named(token, kind, TEMPEST_PREFIX)]
        (folder / SNAPSHOT_FILE).write_text(json.dumps({"prefix": with_dash(prefix), **ids}))

    @classmethod
    def read(cls, folder: Path) -> CloudSnapshot | None:
        """Return what was kept; None if nothing was."""
        try:
            content = json.loads((folder / SNAPSHOT_FILE).read_text())
            projects, users = (frozenset(content.get(kind, ())) for kind in ("projects", "users"))
            addresses = content.get("floating_ips", ())
            return cls(str(content["prefix"]), projects, users, None if addresses is None else frozenset(addresses))
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class RunTraces:
    """What a run's log shows of the projects, users and domains that it made for its tests."""

    projects: set[str]
    users: set[str]
    domains: set[str]
    classes: set[str]
    """Test classes that projects or users were made for."""
    floating_ips: set[str]
    """Floating IPs that the run changed."""

    @classmethod
    def read(cls, logs: Sequence[Path]) -> RunTraces:
        """Read those of Tempest's logs that exist."""
        traces = cls(set(), set(), set(), set(), set())
        for path in logs:
            with contextlib.suppress(FileNotFoundError), open(path, errors="replace") as log:
                for line in log:
                    traces._take(line)
        return traces

    def _take(self, line: str) -> None:
        if not _REQUEST.match(line):
            return
        for project, user in _CREDENTIALS.findall(line):
            self.projects.add(project)
            self.users.add(user)
        for domain, user in _WITHOUT_PROJECT.findall(line):
            self.domains.update({domain} - {""})
            self.users.add(user)
        self.classes.update(_CREATED.findall(line))
        self.floating_ips.update(_FLOATING_IP.findall(line))
