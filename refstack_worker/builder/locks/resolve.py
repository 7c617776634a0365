"""Asking a resolver what belongs to a Tempest version. The resolver is uv; none is written here.

uv answers with a ``pylock.toml``; of the files in it the one wheel is chosen that fits the interpreter best, or, where
none does, the source distribution that a wheel has to be built from.
"""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from refstack_worker import process
from refstack_worker.builder.locks import constraints
from refstack_worker.builder.locks.tempest_source import BuiltSource
from refstack_worker.builder.locks.uv import Uv
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import tomllib
from refstack_worker.errors import BuildError

LOG = logging.getLogger(__name__)

NO_VERSION = re.compile(r"there is no version of (\S+?),? and you require")
"""What uv says when what was asked for by name is not there."""

UNREACHABLE = re.compile(r"Request failed after \d+ retries|Failed to fetch: |error sending request for url")
"""What uv says when the index does not answer."""

SAID = 1500
"""Characters of the resolver's output in a message when the output names no conflict."""

MAX_NAMED = 5
"""Distributions that a message names."""


@dataclass(frozen=True)
class ResolveRequest:
    """What the resolver is asked."""

    version: str
    """Of Tempest."""
    plugins: tuple[tuple[str, str], ...]
    interpreter: Interpreter
    constraints: Path | None
    constraints_name: str
    exclude_newer: str
    """RFC 3339; what the index got later does not exist."""
    index: str = ""
    """A package index other than the resolver's own."""
    source: BuiltSource | None = None
    """Tempest, built here, where it is not from the index."""

    @property
    def requirements(self) -> tuple[tuple[str, str], ...]:
        """All that was asked for by name: distribution and version."""
        return (("tempest", self.version), *self.plugins)

    @property
    def lines(self) -> list[str]:
        """The same as a requirements file has it."""
        lines = [f"{name}=={version}" for name, version in self.requirements]
        if self.source is not None:
            lines[0] = f"tempest @ {self.source.wheel.absolute().as_uri()}"
        return lines


@dataclass(frozen=True)
class Artefact:
    """One file of the answer."""

    name: str
    version: str
    filename: str
    url: str
    sha256: str
    size: int
    is_wheel: bool


def resolve(question: ResolveRequest, uv: Uv) -> list[Artefact]:
    """Return one file for each distribution of the environment, sorted by name; of a Tempest that was built here, none.

    :raises BuildError: there is no answer; the message names what conflicts.
    """
    _check_pins(question)
    asked = uv.work / "requirements.in"
    asked.write_text("".join(f"{line}\n" for line in question.lines))
    answer = uv.work / "pylock.resolved.toml"
    answer.unlink(missing_ok=True)  # uv would prefer what an earlier answer has
    words: list[str | Path] = [
        "pip", "compile", "--quiet", "--format", "pylock.toml", "--no-header", "--no-python-downloads",
        "--python", question.interpreter.path, "--python-version", question.interpreter.series,
        "--output-file", answer, asked,
    ]  # fmt: skip
    machine = question.interpreter.fact("platform_machine")
    if machine != platform.machine():
        words += ["--python-platform", f"{machine}-manylinux_2_28"]
    if question.constraints is not None:
        words += ["--constraint", _constraints(question, question.constraints, uv.work)]
    done = _asked(question, uv, words, answer)
    if done.returncode != 0:
        raise BuildError(_no_answer(question, done.stderr))
    built = {"tempest"} if question.source is not None else set()
    chosen = [
        choose(package, question.interpreter)
        for package in _packages(answer)
        if _applies(package, question.interpreter) and canonicalize_name(package["name"]) not in built
    ]
    return sorted(chosen, key=lambda artefact: artefact.name)


def _asked(question: ResolveRequest, uv: Uv, words: Sequence[str | Path], answer: Path) -> process.Completed:
    """Ask for the index as it was at the date; what has no date there is taken as it is now, with a warning.

    A folder, and many a private index, do not say when a file was uploaded; uv then leaves all of it out.
    """
    until = ["--exclude-newer", question.exclude_newer]
    done = uv.run([*words, *until])
    if done.returncode == 0 or "exclude-newer" not in done.stderr:
        return done
    now = uv.run(words)
    if now.returncode != 0:
        return now  # the date is not what is wrong
    undated = [package["name"] for package in _packages(answer) if not _dates(package)]
    answer.unlink()
    if not undated:
        return done
    more = "" if len(undated) <= MAX_NAMED else f" and {len(undated) - MAX_NAMED} more"
    names = ", ".join(undated[:MAX_NAMED]) + more
    LOG.warning(
        "the index gives no upload time for %s: using their newest versions, without regard to --exclude-newer", names
    )
    exempt = [word for name in undated for word in ("--exclude-newer-package", f"{name}=false")]
    return uv.run([*words, *until, *exempt])


def _packages(answer: Path) -> list[Mapping[str, Any]]:
    return list(tomllib.loads(answer.read_text(encoding="utf-8")).get("packages", []))


def _dates(package: Mapping[str, Any]) -> bool:
    """Tell whether a package's files have the times of their upload; one that was given as a file needs none."""
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    return not files or any("upload-time" in file for file in files)


def _constraints(question: ResolveRequest, path: Path, work: Path) -> Path:
    if question.source is None:
        return path
    return constraints.without(path, "tempest", work / "constraints.txt")  # as OpenStack's edit-constraints does


def choose(package: Mapping[str, Any], interpreter: Interpreter) -> Artefact:
    """Return the wheel of a package that fits the interpreter best, else its source distribution.

    :raises BuildError: it has neither.
    """
    ranks = interpreter.ranks()
    best: tuple[int, Mapping[str, Any]] | None = None
    for wheel in package.get("wheels", []):
        rank = min((ranks[tag] for tag in _tags(_filename(wheel)) if tag in ranks), default=None)
        if rank is not None and (best is None or rank < best[0]):
            best = rank, wheel
    table = best[1] if best else package.get("sdist")
    name, version = canonicalize_name(package["name"]), package.get("version", "")
    if table is None:
        raise BuildError(f"{name} {version}: has no wheel for {interpreter.tag} and no source distribution")
    digest = table.get("hashes", {}).get("sha256", "")
    if not digest:
        raise BuildError(f"{_filename(table)}: the index gives no SHA-256 for it")
    return Artefact(name, version, _filename(table), table["url"], digest, table.get("size", 0), best is not None)


def _applies(package: Mapping[str, Any], interpreter: Interpreter) -> bool:
    marker = package.get("marker")
    return marker is None or Marker(marker).evaluate(dict(interpreter.facts))


def _filename(table: Mapping[str, Any]) -> str:
    return str(table.get("name") or unquote(table["url"].partition("#")[0].rsplit("/", 1)[-1]))


def _tags(filename: str) -> frozenset[Any]:
    try:
        return parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return frozenset()


def _check_pins(question: ResolveRequest) -> None:
    if question.constraints is None:
        return
    named = question.requirements[1:] if question.source is not None else question.requirements
    facts = {name: value for name, value in question.interpreter.facts if not name.startswith("_")}
    for name, version in named:
        pinned = constraints.conflicting(question.constraints, facts, name, version)
        if pinned:
            raise BuildError(
                f"{name} {version}, which was requested, conflicts with {question.constraints_name}, "
                f"which pins {name} {pinned.lstrip('=')}; take the constraints of the release that {version} belongs to"
            )


def _no_answer(question: ResolveRequest, output: str) -> str:
    under = f" under {question.constraints_name}" if question.constraints is not None else ""
    text = " ".join(output.split())
    missing = NO_VERSION.search(text)
    if missing:
        return (
            f"{missing[1]}: the index has no such version{' for a date so early' if 'exclude-newer' in text else ''}; "
            "check the version, and --exclude-newer and --index if you gave them"
        )
    if UNREACHABLE.search(text):
        return (
            f"the package index cannot be reached: {text[-SAID:]}; "
            "check the network, https_proxy, and --index and --ca-file if you gave them"
        )
    return (
        f"Tempest {question.version}{under} on {question.interpreter.name} cannot be resolved: {_conflict(text)}; "
        "choose other constraints (the release's own), another --python, or a later --exclude-newer"
    )


def _conflict(text: str) -> str:
    """Return the two packages that conflict, or all of uv's output when it names none."""
    needs = re.search(r"Because (\S+) depends on (\S+) and (?:you require )?(\S+?),? ", text)
    if needs:
        return f"{needs.group(1)} needs {needs.group(2)}, which conflicts with {needs.group(3)}"
    return text[-SAID:]
