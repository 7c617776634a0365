"""What a wheel says about its licence, and the licence texts in it."""

from __future__ import annotations

import email.parser
import email.policy
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from refstack_worker.errors import BuildError

TEXT = re.compile(r"(?:^|/)(licen[cs]e|copying|copyright|notice|authors|patents)[^/]*$", re.IGNORECASE)
"""Names of files that hold a licence text or belong to one."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Zope Public License": "ZPL-2.1",
    "The Unlicense (Unlicense)": "Unlicense",
    "Academic Free License (AFL)": "AFL-2.1",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
}
"""The end of a licence classifier to its SPDX identifier, where there is exactly one that people mean by it."""

SHORT = 60
"""Characters of a ``License`` field that is a name; longer ones are a whole text."""


@dataclass(frozen=True)
class WheelFacts:
    """What the metadata of one wheel say."""

    name: str
    version: str
    licence: str
    """An SPDX expression where one is given or clear, else what the author wrote; empty: nothing."""
    is_spdx: bool
    author: str
    homepage: str
    summary: str
    requires: tuple[str, ...]
    """Normalised names of what it needs without extras, whatever the environment."""
    texts: tuple[tuple[str, bytes], ...]
    """File name (without folders, unique) and content of the licence texts in it."""


def read_wheel(path: Path) -> WheelFacts:
    """Read a wheel's metadata.

    :raises BuildError: the file is not a wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inside = next(name for name in names if name.count("/") == 1 and name.endswith(".dist-info/METADATA"))
            metadata = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(archive.read(inside))
            folder = inside.partition("/")[0] + "/"
            texts = [name for name in names if name.startswith(folder) and _is_text(name, folder)]
            found = {name: archive.read(name) for name in sorted(texts)}
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise BuildError(f"{path}: not a wheel ({error or 'no METADATA in it'}); lock the version again") from error

    def one(field: str) -> str:
        return " ".join(str(metadata.get(field, "")).split())

    licence, is_spdx = _licence(one("License-Expression"), one("License"), metadata.get_all("Classifier", []))
    return WheelFacts(
        name=str(canonicalize_name(one("Name"))),
        version=one("Version"),
        licence=licence,
        is_spdx=is_spdx,
        author=one("Author") or one("Author-email") or one("Maintainer") or one("Maintainer-email"),
        homepage=one("Home-page") or _homepage(metadata.get_all("Project-URL", [])),
        summary=one("Summary"),
        requires=_requires(metadata.get_all("Requires-Dist", [])),
        texts=_unique(found),
    )


def _is_text(name: str, folder: str) -> bool:
    return not name.endswith("/") and (name.startswith((f"{folder}licenses/", f"{folder}license_files/"))
                                       or bool(TEXT.search(name)))  # fmt: skip


def _licence(expression: str, free: str, classifiers: list[str]) -> tuple[str, bool]:
    if expression:
        return expression, True
    ends = [str(c).rpartition(" :: ")[2] for c in classifiers if str(c).startswith("License :: OSI Approved :: ")]
    known = sorted({CLASSIFIERS[end] for end in ends if end in CLASSIFIERS})
    if len(known) == 1 and len(ends) == 1:
        return known[0], True
    if 0 < len(free) <= SHORT and free.upper() != "UNKNOWN":
        return free, False
    return " or ".join(ends), False


def _homepage(urls: list[str]) -> str:
    named = dict(str(url).split(", ", 1) for url in urls if ", " in str(url))
    lowered = {name.lower(): url for name, url in named.items()}
    for name in ("homepage", "source", "source code", "repository"):
        if name in lowered:
            return lowered[name].strip()
    return next(iter(named.values()), "").strip()


def _requires(lines: list[str]) -> tuple[str, ...]:
    found = set()
    for line in lines:
        try:
            requirement = Requirement(str(line))
        except InvalidRequirement:
            continue
        if requirement.marker is None or "extra" not in str(requirement.marker):
            found.add(str(canonicalize_name(requirement.name)))
    return tuple(sorted(found))


def _unique(found: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    result: dict[str, bytes] = {}
    for path, content in found.items():
        base = path.rpartition("/")[2]
        name, number = base, 2
        while name in result:
            name, number = f"{base}.{number}", number + 1
        if content not in result.values():
            result[name] = content
    return tuple(sorted(result.items()))
