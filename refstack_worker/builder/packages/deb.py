"""The recipe for a Debian package of one Tempest version: control fields, ``copyright``, and dpkg-deb."""

from __future__ import annotations

import gzip
import hashlib
import os
import textwrap
import time
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.packages.package import HOMEPAGE, MAINTAINER, VIRTUAL, TempestPackage, debian_version

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "": "all"}
COMMON = {"Apache-2.0", "GPL-2.0", "GPL-3.0", "LGPL-2.1", "MPL-1.1", "MPL-2.0"}
"""Licences whose text every Debian system has in ``/usr/share/common-licenses``."""

OVERRIDES = """# not meant for Debian's own archive, so no bug of it is closed
{name}: initial-upload-closes-no-bugs [usr/share/doc/{name}/changelog.Debian.gz:1]
# what people and programs must know before they install a version; apt and dpkg show and keep such fields
{name}: unknown-field Refstack-*
"""


def build(package: TempestPackage, tree: Path, out: Path) -> Path:
    """Make the ``.deb`` of the files below ``tree`` and return it."""
    write_documents(package, tree)
    control = tree / "DEBIAN"
    control.mkdir(mode=0o755)
    (control / "md5sums").write_text(checksums(tree))
    (control / "control").write_text(control_file(package, installed_size(tree)))
    for path in (control, control / "md5sums", control / "control"):
        path.chmod(0o755 if path == control else 0o644)
    target = out / f"{package.name}_{version_of(package)}_{ARCHITECTURES[package.machine]}.deb"
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(package.epoch)}
    # what is in it is packed already
    words = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build"]
    process.run([*words, tree, target], process.Options(env=env))
    return target


def version_of(package: TempestPackage) -> str:
    return f"{debian_version(package.tempest)}-{package.revision}"


def control_file(package: TempestPackage, size: int) -> str:
    """Return the control file. :param size: installed, in KiB."""
    fields = [
        ("Package", package.name),
        ("Version", version_of(package)),
        ("Architecture", ARCHITECTURES[package.machine]),
        ("Maintainer", MAINTAINER),
        ("Installed-Size", str(size)),
        ("Depends", depends(package)),
        ("Suggests", "refstack-worker"),
        ("Provides", provides(package)),
        ("Section", "python"),
        ("Priority", "optional"),
        ("Homepage", HOMEPAGE),
        *package.facts(),
        ("Description", description(package)),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields)


def provides(package: TempestPackage) -> str:
    """Return the virtual packages: Tempest's version, and each plugin's."""
    pairs = [(VIRTUAL, package.tempest), *package.provided_plugins]
    return ", ".join(f"{name} (= {debian_version(version)})" for name, version in pairs)


def depends(package: TempestPackage) -> str:
    """Return the relations: one of the interpreters, and an ``execute_test`` that can drive the version."""
    pythons = [package.interpreter_package(series) or f"python{series}" for series in package.pythons]
    return f"{' | '.join(pythons)}, refstack-execute-test (>= {package.execute_test}~)"


def description(package: TempestPackage) -> str:
    """Return the description as a control field has it."""
    blocks = ["\n".join(f" {line}" for line in textwrap.wrap(text, 78)) for text in package.description()]
    return f"{package.summary}\n" + "\n .\n".join(blocks)


def write_documents(package: TempestPackage, tree: Path) -> None:
    """Write what Debian wants below ``/usr/share/doc``."""
    folder = tree / "usr/share/doc" / package.name
    folder.mkdir(parents=True)
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(package.epoch))
    text = (
        f"{package.name} ({version_of(package)}) unstable; urgency=medium\n\n"
        f"  * Tempest {package.tempest}, locked for Python {', '.join(package.pythons)}.\n\n -- {MAINTAINER}  {date}\n"
    )
    (folder / "changelog.Debian.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    (folder / "copyright").write_text(copyright_file(package))
    overrides = tree / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    (overrides / package.name).write_text(OVERRIDES.format(name=package.name))
    for path in (folder / "changelog.Debian.gz", folder / "copyright", overrides / package.name):
        path.chmod(0o644)
    for made in (folder, folder.parent, overrides, overrides.parent):
        made.chmod(0o755)


def copyright_file(package: TempestPackage) -> str:
    """Return the ``copyright`` file in Debian's machine-readable format: a paragraph for each wheel."""
    lines = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        f"Upstream-Name: tempest {package.tempest} and what it needs",
        f"Source: {HOMEPAGE}",
        "Comment: The licence texts that the wheels carry are installed as they are in",
        f" /{package.folder}/licences.",
        "",
        "Files: *",
        "Copyright: 2026 RefStack developers",
        "License: Apache-2.0",
        "",
    ]
    licences = {"Apache-2.0": "Apache-2.0"}
    for filename, about in package.licences:
        short = short_name(about.licence)
        licences.setdefault(short, about.licence or "not stated in the wheel")
        lines += [
            f"Files: {package.folder}/wheels/{filename}",
            f"Copyright: {about.author or f'the authors of {about.name}'}",
            f"License: {short}",
            *([f"Comment: {about.homepage}"] if about.homepage else []),
            "",
        ]
    for short, written in sorted(licences.items()):
        lines += [f"License: {short}", *licence_text(package, short, written), ""]
    return "\n".join(lines)


def short_name(licence: str) -> str:
    """Return a licence as a word that the format allows."""
    return "-".join("".join(c if c.isalnum() or c in ".+-" else " " for c in licence).split()) or "unstated"


def licence_text(package: TempestPackage, short: str, written: str) -> list[str]:
    """Return the body of a licence paragraph: where the text is."""
    if short in COMMON:
        return [f" On Debian systems the text is in /usr/share/common-licenses/{short}."]
    which = sorted({f"{about.name}-{about.version}" for _, about in package.licences
                    if short_name(about.licence) == short and about.texts})  # fmt: skip
    texts = [f"  /{package.folder}/licences/{name}/" for name in which]
    return [f" As the authors write it: {written}", *([" The text is in"] if texts else []), *texts]


def checksums(tree: Path) -> str:
    """Return the content of ``md5sums``; dpkg's format knows nothing else, the repository signs SHA-256 and SHA-512."""
    lines = []
    for path in sorted(path for path in tree.rglob("*") if is_plain(path) and "DEBIAN" not in path.parts):
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        lines.append(f"{digest}  {path.relative_to(tree)}\n")
    return "".join(lines)


def installed_size(tree: Path) -> int:
    """Return the size in KiB as Debian's policy counts it: files rounded up, 1 for everything else."""
    return sum((path.stat().st_size + 1023) // 1024 if is_plain(path) else 1 for path in tree.rglob("*"))


def is_plain(path: Path) -> bool:
    """Tell files from folders and links."""
    return path.is_file() and not path.is_symlink()
