"""Small wheels and locks for the tests of the builder."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

METADATA = """Metadata-Version: 2.1
Name: {name}
Version: {version}
Summary: The {name} of the tests
License-Expression: {licence}
Author: A. Nobody
Project-URL: Source, https://example.org/{name}
Requires-Dist: {requires}
Requires-Dist: unneeded; extra == 'more'
"""


def make_wheel(
    folder: Path, name: str, licence: str = "Apache-2.0", requires: str = "other", text: str = "words"
) -> Path:
    """Write a wheel with metadata and a licence text."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    metadata = METADATA.format(name=name, version="1.0", licence=licence, requires=requires)
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in (("METADATA", metadata), ("licenses/LICENSE", text), ("RECORD", "")):
            archive.writestr(zipfile.ZipInfo(f"{name}-1.0.dist-info/{inside}", (2020, 1, 1, 0, 0, 0)), content)
    return path


def lock_of(wheels: list[Path], python: str = "3.11", tests: int = 7, tempest: str = "43.0.0") -> str:
    """Return the text of a lock for these wheels."""
    lines = [
        'lock-version = "1.0"',
        f"environments = [\"platform_machine == 'x86_64' and python_version == '{python}'\"]",
        f'requires-python = "=={python}.*"',
        'created-by = "test"',
    ]
    for path in wheels:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.name.partition("-")[0]
        lines += ["[[packages]]", f'name = "{name}"', 'version = "1.0"']
        lines += [f'wheels = [{{ name = "{path.name}", path = "wheels/{path.name}", size = {path.stat().st_size}, '
                  f'hashes = {{ sha256 = "{digest}" }} }}]']  # fmt: skip
    lines += ["[tool.refstack]", f'tempest = "{tempest}"', f'interpreter = "cpython-{python}"', f"tests = {tests}"]
    lines += ['exclude-newer = "2026-11-20T00:00:00Z"', 'openstack-releases = ["2025.1", "2024.2"]']
    return "\n".join([*lines, 'constraints = { name = "2025.1.txt", sha256 = "0" }']) + "\n"


@pytest.fixture
def version_folder(tmp_path: Path) -> Path:
    """A locked version, as ``refstack-package lock`` leaves it: two interpreters, three wheels."""
    folder = tmp_path / "43.0.0"
    wheels = [
        make_wheel(folder / "wheels", "tempest", requires="beta>=1"),
        make_wheel(folder / "wheels", "beta", licence="MIT OR BSD-3-Clause"),
        make_wheel(folder / "wheels", "gamma", licence="LicenseRef-Own", text="other words"),
    ]
    (folder / "pylock.py311-x86_64.toml").write_text(lock_of(wheels))
    (folder / "pylock.py313-x86_64.toml").write_text(lock_of(wheels[:2], "3.13", 8))
    return folder
