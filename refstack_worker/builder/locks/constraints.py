"""Constraints files as pip reads them: markers, comments, continued lines, files that include others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

COMMENT = re.compile(r"(^|\s)#.*$")
INCLUDE = re.compile(r"(?:-c|--constraint|-r|--requirement)(?:\s+|=)(\S.*)")
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
HASHES = re.compile(r"\s--hash[= ]\S+")
MAX_INCLUDES = 20
"""Files below one another; more are a circle."""


def logical_lines(text: str) -> Iterator[str]:
    """Yield a file's lines as pip takes them: continued lines joined, without comments, variables filled in."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for line in re.sub(r"\\\n", "", text).split("\n"):
        line = COMMENT.sub("", line).strip()
        if line:
            yield VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), line)


def requirements(path: Path, facts: Mapping[str, str], depth: int = 0) -> Iterator[Requirement]:
    """Yield the constraints in a file that apply to an interpreter, those of included files too.

    :param facts: the interpreter's environment for markers (PEP 508).
    """
    for line in logical_lines(path.read_text(encoding="utf-8", errors="replace")):
        include = INCLUDE.fullmatch(line)
        if include and depth < MAX_INCLUDES and (path.parent / include[1]).is_file():
            yield from requirements(path.parent / include[1], facts, depth + 1)
            continue
        parsed = _parsed(line)
        if parsed is not None and (parsed.marker is None or parsed.marker.evaluate({**facts, "extra": ""})):
            yield parsed


def conflicting(path: Path, facts: Mapping[str, str], name: str, version: str) -> str:
    """Return what a file says about a distribution that does not allow this version; empty: it allows it."""
    for requirement in requirements(path, facts):
        if canonicalize_name(requirement.name) == canonicalize_name(name) and not requirement.url:
            if not requirement.specifier.contains(version, prereleases=True):
                return str(requirement.specifier)
    return ""


def without(path: Path, name: str, target: Path) -> Path:
    """Write a file's constraints without those of one distribution, whose version is given another way."""
    kept = []
    for line in logical_lines(path.read_text(encoding="utf-8", errors="replace")):
        include, parsed = INCLUDE.fullmatch(line), _parsed(line)
        if include and "://" not in include[1]:
            line = f"-c {path.parent.absolute() / include[1]}"
        if parsed is None or canonicalize_name(parsed.name) != canonicalize_name(name):
            kept.append(line)
    target.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return target


def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(HASHES.sub("", line))
    except InvalidRequirement:
        return None  # an option, or something that the resolver will refuse
