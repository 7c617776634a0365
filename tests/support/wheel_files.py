"""Small real wheels and locks, made on the spot: what the tests of the environments install."""

from __future__ import annotations

import hashlib
import platform
import stat
import sys
import zipfile
from pathlib import Path

TEMPEST = """
import os, sys
def main():
    words = sys.argv[1:]
    if words == ["--version"]:
        print("tempest {version}")
    elif words[0] == "init":
        os.makedirs(os.path.join(words[-1], "etc"))
    elif words[:2] == ["run", "--list-tests"]:
        for number in range({tests}):
            print("tempest.api.test_it.TestIt.test_%d[id-1]" % number)
"""
"""A stand-in that answers the three calls which the environments make."""


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str], **parts: str) -> Path:
    """Write a wheel; ``files`` are its content, ``entry_points`` and ``root_is_purelib`` its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if "entry_points" in parts:
        content[f"{info}/entry_points.txt"] = parts["entry_points"]
    content[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text, zipfile.ZIP_DEFLATED)
    return path


def add_member(wheel: Path, name: str, text: str | bytes, mode: int = stat.S_IFREG | 0o644) -> None:
    """Add a member to a wheel, whatever its name, and name it in RECORD as a bad wheel would."""
    with zipfile.ZipFile(wheel) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(wheel, "w") as archive:
        for info, content in members:
            if info.filename.endswith("/RECORD"):
                content += f"{name},,\n".encode()
            archive.writestr(info, content)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, text)


def make_tempest(folder: Path, version: str, tests: int = 3) -> Path:
    """Write the wheel of a stand-in for Tempest that lists ``tests`` tests."""
    files = {"tempest/__init__.py": "", "tempest/main.py": TEMPEST.format(version=version, tests=tests)}
    return make_wheel(
        folder, "tempest", version, files, entry_points="[console_scripts]\ntempest = tempest.main:main\n"
    )


def make_lock(folder: Path, version: str, wheels: list[Path], **about: str) -> Path:
    """Write a version's folder with a lock of ``wheels``; ``about`` is TOML of the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    series = "{}.{}".format(*sys.version_info)
    lines = [
        'lock-version = "1.0"',
        'created-by = "test"',
        f'requires-python = "{about.get("requires_python", f"=={series}.*")}"',
        f"""environments = ["platform_machine == '{platform.machine()}'"]""",
    ]
    for wheel in sorted(wheels):
        name, of_version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines += [
            "[[packages]]",
            f'name = "{name}"\nversion = "{of_version}"',
            f'wheels = [{{ name = "{wheel.name}", path = "wheels/{wheel.name}", size = {wheel.stat().st_size}, '
            f'hashes = {{ sha256 = "{digest}" }} }}]',
        ]
    lines += ["[tool.refstack]", f'tempest = "{version}"', about.get("refstack", "")]
    path = folder / about.get("name", "pylock.test.toml")
    path.write_text("\n".join(lines) + "\n")
    return path


def make_version(parent: Path, version: str, tests: int = 3, **about: str) -> Path:
    """Write the folder of a version as a package installs it, and return its lock."""
    folder = parent / version
    wheels = [make_tempest(folder / "wheels", version, tests)]
    wheels.append(make_wheel(folder / "wheels", "shared_one", "1.0", {"shared/one.py": "ONE = 1\n", "six.py": ""}))
    wheels.append(make_wheel(folder / "wheels", "shared_two", "2.0", {"shared/two.py": "TWO = 2\n", "seven.py": ""}))
    return make_lock(folder, version, wheels, **about)
