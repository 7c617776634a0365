"""Writing a lock: a ``pylock.toml`` (PEP 751) that names files, never the machines that they came from."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from refstack_worker.builder.locks.resolve import ResolveRequest
from refstack_worker.builder.locks.wheels import Gathered
from refstack_worker.environments.interpreters import Interpreter

CREATED_BY = "refstack-package"


@dataclass(frozen=True)
class Facts:
    """What stands in ``[tool.refstack]`` beside what the question says."""

    releases: tuple[str, ...]
    constraints_sha256: str
    tests: int
    """0 while it is not known yet."""


def lock_name(question: ResolveRequest) -> str:
    """Return the name of a lock's file: PEP 751 allows no dot between ``pylock.`` and ``.toml``.

    Plugins are in the name of its folder (:func:`refstack_worker.environments.lock.set_name`).
    """
    interpreter = question.interpreter
    word = f"py{interpreter.series.replace('.', '')}-{interpreter.fact('platform_machine')}"
    return f"pylock.{re.sub(r'[^A-Za-z0-9_-]', '_', word)}.toml"


def lock_text(question: ResolveRequest, gathered: Sequence[Gathered], facts: Facts) -> str:
    """Return the content of a lock. The same inputs give the same bytes."""
    interpreter = question.interpreter
    lines = [
        'lock-version = "1.0"',
        f"environments = [{quoted(environment_marker(interpreter))}]",
        f"requires-python = {quoted(f'=={interpreter.series}.*')}",
        f"created-by = {quoted(CREATED_BY)}",
    ]
    for item in sorted(gathered, key=lambda item: item.wheel.name):
        lines += ["", *_package(item)]
    return "\n".join([*lines, "", *_refstack(question, gathered, facts)]) + "\n"


def environment_marker(interpreter: Interpreter) -> str:
    """Return the marker (PEP 508) of the kind of interpreter that a lock is for."""
    names = ("implementation_name", "sys_platform", "platform_machine", "python_version")
    return " and ".join(f"{name} == '{interpreter.fact(name)}'" for name in names)


def quoted(text: str) -> str:
    """Return a TOML basic string; its escapes are those of JSON."""
    return json.dumps(text)


def _package(item: Gathered) -> list[str]:
    wheel = item.wheel
    table = (
        f"name = {quoted(wheel.filename)}, path = {quoted(wheel.path)}, size = {wheel.size}, "
        f"hashes = {{ sha256 = {quoted(wheel.sha256)} }}"
    )
    lines = [
        "[[packages]]",
        f"name = {quoted(wheel.name)}",
        f"version = {quoted(wheel.version)}",
        f"wheels = [{{ {table} }}]",
    ]
    if item.sdist is not None:
        source = f"name = {quoted(item.sdist.filename)}, sha256 = {quoted(item.sdist.sha256)}"
        source += f", commit = {quoted(item.sdist.commit)}" if item.sdist.commit else ""
        lines += ["[packages.tool.refstack]", f"built-from = {{ {source} }}"]
    return lines


def _refstack(question: ResolveRequest, gathered: Sequence[Gathered], facts: Facts) -> list[str]:
    lines = [
        "[tool.refstack]",
        f"tempest = {quoted(question.version)}",
        f"interpreter = {quoted(question.interpreter.name)}",
        f"openstack-releases = [{', '.join(quoted(release) for release in facts.releases)}]",
        f"exclude-newer = {quoted(question.exclude_newer)}",
        f"tests = {facts.tests}",
        f"size = {sum(item.wheel.size for item in gathered)}",
    ]
    if question.constraints is not None:
        name, digest = quoted(question.constraints_name), quoted(facts.constraints_sha256)
        lines.append(f"constraints = {{ name = {name}, sha256 = {digest} }}")
    if question.plugins:
        lines.append("plugins = { " + ", ".join(f"{quoted(name)} = {quoted(v)}" for name, v in question.plugins) + " }")
    return lines
