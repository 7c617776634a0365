"""Which OpenStack releases a Tempest version supports, and which Pythons it was made for."""

from __future__ import annotations

import re
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from refstack_worker.environments.lock import tomllib

TABLE = Path(__file__).with_name("releases.toml")
"""What Tempest's release notes say; a newer version's releases are given on the command line."""

RELEASE = re.compile(r"20\d\d\.[12]|[a-z]{3,10}")
"""How an OpenStack release is called: ``2025.1``, before 2023 ``zed``."""


def of(version: str, constraints_name: str = "") -> tuple[str, ...]:
    """Return the releases that a version supports, newest first.

    One that the table does not know supports at least the release that its constraints are called after.
    """
    known = tomllib.loads(TABLE.read_text()).get(version)
    if known is not None:
        return tuple(known)
    stem = Path(constraints_name).stem
    return (stem,) if RELEASE.fullmatch(stem) else ()


def pythons(folder: Path) -> str:
    """Return the Pythons that the Tempest wheel somewhere in a folder names in its classifiers: ``3.6, 3.7``."""
    for wheel in folder.rglob("tempest-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(name).decode())
        found = [line.rpartition(" ")[2] for line in metadata.get_all("Classifier", []) if ":: 3." in line]
        return ", ".join(found)
    return ""
