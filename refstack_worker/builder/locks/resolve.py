"""Asking a resolver what belongs to a Tempest version. The resolver is uv; none is written here.

uv answers with a ``pylock.toml``; of the files in it the one wheel is chosen that fits the interpreter best, or, where
none does, the source distribution that a wheel has to be built from.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import virtualenv
from packaging.markers import Marker
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from refstack_worker import process
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import tomllib
from refstack_worker.errors import BuildError, ProcessError

SECONDS = 1800
"""A resolver that has not answered in that time will not."""

SAID = 1500
"""Characters of the resolver's output in a message when the output names no conflict."""

PIN = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*={2,3}\s*([^\s;#]+)", re.MULTILINE)
"""A line of a constraints file that pins one distribution."""


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

    @property
    def requirements(self) -> tuple[tuple[str, str], ...]:
        """All that was asked for by name: distribution and version."""
        return (("tempest", self.version), *self.plugins)


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


def resolve(question: ResolveRequest, uv: Path, work: Path) -> list[Artefact]:
    """Return one file for each distribution of the environment, sorted by name.

    :raises BuildError: there is no answer; the message names what conflicts.
    """
    _check_pins(question)
    asked = work / "requirements.in"
    asked.write_text("".join(f"{name}=={version}\n" for name, version in question.requirements))
    answer = work / "pylock.resolved.toml"
    words: list[str | Path] = [
        uv, "pip", "compile", "--quiet", "--format", "pylock.toml", "--no-header", "--no-python-downloads",
        "--python", question.interpreter.path, "--python-version", question.interpreter.series,
        "--exclude-newer", question.exclude_newer, "--output-file", answer, asked,
    ]  # fmt: skip
    if question.constraints is not None:
        words += ["--constraint", question.constraints]
    if question.index:
        words += ["--default-index", question.index]
    done = process.run(words, process.Options(timeout=SECONDS, check=False))
    if done.returncode != 0:
        raise BuildError(_no_answer(question, done.stderr))
    packages = tomllib.loads(answer.read_text())["packages"]
    chosen = [choose(package, question.interpreter) for package in packages if _applies(package, question.interpreter)]
    return sorted(chosen, key=lambda artefact: artefact.name)


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
        raise BuildError(f"{name} {version}: has no wheel for {interpreter.name} and no source distribution")
    size = table.get("size", 0)
    return Artefact(name, version, _filename(table), table["url"], table["hashes"]["sha256"], size, best is not None)


def _applies(package: Mapping[str, Any], interpreter: Interpreter) -> bool:
    marker = package.get("marker")
    return marker is None or Marker(marker).evaluate(dict(interpreter.facts))


def _filename(table: Mapping[str, Any]) -> str:
    return str(table.get("name") or table["url"].rsplit("/", 1)[-1].partition("#")[0])


def _tags(filename: str) -> frozenset[Any]:
    try:
        return parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return frozenset()


def _check_pins(question: ResolveRequest) -> None:
    if question.constraints is None:
        return
    pins = {canonicalize_name(name): version for name, version in PIN.findall(question.constraints.read_text())}
    for name, version in question.requirements:
        pinned = pins.get(canonicalize_name(name), version)
        if pinned != version:
            raise BuildError(
                f"{name} {version}, which was requested, conflicts with {question.constraints_name}, "
                f"which pins {name} {pinned}; take the constraints of the release that {version} belongs to"
            )


def _no_answer(question: ResolveRequest, output: str) -> str:
    under = f" under {question.constraints_name}" if question.constraints is not None else ""
    text = " ".join(output.split())
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


def find_uv(cache: Path) -> Path:
    """Return uv: the one beside this interpreter, the one on the path, or one put in a virtualenv in ``cache``.

    :raises BuildError: it cannot be installed either.
    """
    own = cache / "uv" / "bin" / "uv"
    for found in (Path(sysconfig.get_path("scripts")) / "uv", shutil.which("uv"), own):
        if found and os.access(found, os.X_OK):
            return Path(found)
    try:
        virtualenv.cli_run(["--python", sys.executable, "--no-periodic-update", str(own.parent.parent)])
        process.run([own.parent / "python", "-m", "pip", "install", "--quiet", "uv"])
    except (ProcessError, SystemExit, RuntimeError) as error:
        hint = "install uv, or give this machine a package index"
        raise BuildError(f"uv is missing and cannot be installed: {error}; {hint}") from error
    return own
