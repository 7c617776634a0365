"""What there is in a cloud, counted by its own administrator: before a run and after it."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "installer"))

from democloud.cloud import Cloud  # noqa: E402 - the installer is no package of the project

KINDS = ("projects", "users", "roles", "domains", "groups", "services")


def census(cloud: Cloud) -> dict[str, list[str]]:
    """All that Keystone knows by name, and every container that Swift has, in whatever project."""
    session = cloud.session()
    found = {kind: sorted(each["name"] for each in session.keystone("GET", f"/{kind}")[kind]) for kind in KINDS}
    return {**found, "containers": containers_on_disk(cloud)}


def added(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """What there is now and was not before, kind by kind."""
    return {kind: sorted(set(after[kind]) - set(before[kind])) for kind in before}


def project_names(cloud: Cloud) -> dict[str, str]:
    """Id of each project that Keystone has to its name."""
    return {each["id"]: each["name"] for each in cloud.session().keystone("GET", "/projects")["projects"]}


def containers_on_disk(cloud: Cloud) -> list[str]:
    """``account/container`` of all containers that there are, also of projects that are gone.

    From the container server's own files: the account's listing is brought up to date later, after the answer.
    """
    names = []
    for path in (cloud.folder / "swift" / "devices").glob("d1/containers/*/*/*/*.db"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            question = "SELECT account, container FROM container_info WHERE put_timestamp > delete_timestamp"
            names += [f"{account}/{container}" for account, container in database.execute(question)]
    return sorted(names)
