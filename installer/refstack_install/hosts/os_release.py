"""Reads /etc/os-release: which distribution and release this machine runs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from refstack_install import files
from refstack_install.errors import PreflightError
from refstack_install.system import System


@dataclass(frozen=True)
class OsRelease:
    """The distribution, in the terms of os-release(5)."""

    id: str
    like: tuple[str, ...]
    version: str
    codename: str
    pretty: str


def read(system: System) -> OsRelease:
    """Return the machine's distribution. :raises PreflightError: there is no os-release file."""
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        content = files.read(system.path(place))
        if content is not None:
            return parse(content.decode("utf-8", "replace"))
    raise PreflightError("/etc/os-release is missing", todo="use a distribution that has one")


def parse(text: str) -> OsRelease:
    """Return the fields of an os-release file; missing fields are empty."""
    fields = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            fields[name.strip()] = " ".join(shlex.split(value))
    return OsRelease(
        id=fields.get("ID", "linux"),
        like=tuple(fields.get("ID_LIKE", "").split()),
        version=fields.get("VERSION_ID", ""),
        codename=fields.get("VERSION_CODENAME", ""),
        pretty=fields.get("PRETTY_NAME", fields.get("ID", "this system")),
    )
