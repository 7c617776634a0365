"""The version of a commit: the one place that decides it, for the wheel, the Debian packages and the RPMs.

    python3 packaging/source_version.py [COMMIT]

``setup.cfg`` states the version under way, ``[metadata] version``. The commit that carries the tag of that name is the
release. Every other commit is a development version, ``0.2.0.dev17``: 17 commits after the last release (or after the
beginning), so it sorts above that release and above its own ancestors, and below the release that it leads to. Where
``setup.cfg`` still states a version that is released already, the next patch release is the one under way.

Standard library and git alone: ``setup.py`` runs it in an empty build environment.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)\Z")

Numbers = tuple[int, int, int]


class VersionError(Exception):
    """The version cannot be determined; the message says why."""


def version_of(commit: str = "HEAD", top: Path = TOP) -> str:
    """Return the version of a commit as Python writes it (PEP 440).

    :raises VersionError: not a git checkout, or ``setup.cfg`` of that commit states no version.
    """
    stated = stated_version(commit, top)
    if stated in releases(top, "--points-at", commit):
        return text_of(stated)
    last = max(releases(top, "--merged", commit), default=None)
    since = commit if last is None else f"{text_of(last)}..{commit}"
    distance = git(top, "rev-list", "--count", since)
    target = stated if last is None or stated > last else (last[0], last[1], last[2] + 1)
    return f"{text_of(target)}.dev{distance}"


def stated_version(commit: str, top: Path = TOP) -> Numbers:
    """Return the version under way, as ``setup.cfg`` of a commit states it."""
    settings = configparser.ConfigParser()
    settings.read_string(git(top, "show", f"{commit}:setup.cfg"))
    text = settings.get("metadata", "version", fallback="")
    numbers = numbers_of(text)
    if numbers is None:
        raise VersionError(f"setup.cfg: [metadata] version is {text!r}; write three numbers, such as 0.1.0")
    return numbers


def releases(top: Path, *which: str) -> set[Numbers]:
    """Return the versions that ``git tag`` lists, other tags left out."""
    found = (numbers_of(tag) for tag in git(top, "tag", *which).split())
    return {numbers for numbers in found if numbers is not None}


def distribution_version(version: str) -> str:
    """Return a version as dpkg and rpm sort it rightly: ``0.2.0~dev17`` comes before ``0.2.0``."""
    return version.replace(".dev", "~dev")


def numbers_of(text: str) -> Numbers | None:
    match = RELEASE.match(text)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def text_of(numbers: Numbers) -> str:
    return ".".join(map(str, numbers))


def git(top: Path, *arguments: str) -> str:
    try:
        words = ["git", *arguments]
        done = subprocess.run(words, cwd=top, check=True, capture_output=True, text=True)  # noqa: S603 - no shell
    except FileNotFoundError:
        raise VersionError("git is not installed; set PBR_VERSION instead") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().partition("\n")[0]
        raise VersionError(f"git {' '.join(arguments)}: {reason}") from None
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    try:
        print(version_of(*arguments[:1]))
    except VersionError as error:
        print(f"source_version: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
