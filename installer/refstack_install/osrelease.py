"""/etc/os-release: what distribution this is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from refstack_install import files
from refstack_install.errors import PreflightError
from refstack_install.system import System


@dataclass(frozen=True)
class OsRelease:
    """The distribution, as os-release(5) names it."""

    id: str
    like: tuple[str, ...]
    version: str
    codename: str
    pretty: str


def read(system: System) -> OsRelease:
    """Return what the machine says it is. :raises PreflightError: it does not."""
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        content = files.read(system.path(place))
        if content is not None:
            return parse(content.decode("utf-8", "replace"))
    raise PreflightError("there is no /etc/os-release", todo="install on a distribution that has one")


def parse(text: str) -> OsRelease:
    """Return the fields of an os-release text; what is missing is empty."""
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
