"""Small Debian packages with the names and dependencies of the project's own, built in a moment."""

from __future__ import annotations

import subprocess
from pathlib import Path

CONTROL = """Package: {name}
Version: {version}
Architecture: all
Maintainer: tests <tests@example.invalid>
Depends: {depends}
Description: stands in for the package of that name
"""
FAMILY = {
    "refstack-worker": "python3, python3-refstack-worker (= {version}), refstack-execute-test (= {version})",
    "python3-refstack-worker": "python3",
    "refstack-execute-test": "python3",
}
"""The packages of one build and what they depend on, as in ``packaging/debian/control``."""


def deb(folder: Path, name: str, version: str, depends: str = "python3", files: dict[str, bytes] | None = None) -> Path:
    """Build one package and return its file."""
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(CONTROL.format(name=name, version=version, depends=depends))
    for path, content in (files or {}).items():
        (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tree / path.lstrip("/")).write_bytes(content)
    file = folder / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, file], check=True, capture_output=True)
    return file


def family(folder: Path, version: str) -> list[Path]:
    """Build the worker's packages in one version."""
    return [deb(folder, name, version, depends.format(version=version)) for name, depends in FAMILY.items()]
