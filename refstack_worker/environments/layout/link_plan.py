"""The plan of an environment: which links and scripts make one of a set of store entries.

It depends on the entries alone, so it is worked out once for a lock and kept; making an environment is then a hundred
or two links. What only one wheel provides is linked as high up as can be; a folder that several provide is made, and
what is in it linked: that is how packages that share a top-level folder (and all the single modules, whose byte-code
shares ``__pycache__``) come together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from installer.scripts import Script

from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.wheels.unpack import Manifest
from refstack_worker.errors import WheelError


@dataclass(frozen=True)
class LinkPlan:
    """What is in an environment beside what virtualenv makes. Paths are relative to the environment."""

    folders: tuple[str, ...]
    """To be made, parents first."""
    links: tuple[tuple[str, str], ...]
    """Path in the environment, path below the store's entries."""
    scripts: tuple[tuple[str, str], ...]
    """Python scripts: name, content below the first line."""

    def to_json(self) -> bytes:
        """Return the plan as it is kept."""
        return json.dumps(vars(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> LinkPlan:
        """Read a plan that was kept.

        :raises ValueError: it is not one (also ``KeyError`` and ``TypeError``).
        """
        data = json.loads(content)
        links = tuple((path, target) for path, target in data["links"])
        scripts = tuple((name, content) for name, content in data["scripts"])
        return cls(tuple(data["folders"]), links, scripts)


@dataclass
class _Node:
    """A folder or file of the environment to be, with all the entries that provide it."""

    sources: list[str] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)
    is_file: bool = False
    own: bool = False
    """A folder that is the environment's own in any case."""


def make_link_plan(entries: Mapping[str, Manifest], interpreter: Interpreter, root_folder: Path) -> LinkPlan:
    """Work out the plan of an environment of ``entries`` (name to manifest, in the lock's order).

    :param root_folder: where the entries are; scripts of wheels are read there.

    Where two wheels bring the same file the later in the lock wins, as with pip the later installed.

    :raises WheelError: one wheel has a file where another has a folder.
    """
    root = _Node()
    for path in base(interpreter):
        _own_folder(root, path)
    scripts = _scripts(entries, root_folder)
    for name, manifest in entries.items():
        parts = _parts(manifest, interpreter)
        for path in manifest.files:
            part, _, rest = path.partition("/")
            if part in parts:
                where = f"{parts[part]}/{rest}".lstrip("/")
                if where.startswith("bin/") and where[4:] in scripts:
                    continue
                _insert(_own_folder(root, parts[part]), rest, f"{name}/{path}", manifest.wheel)
    folders: list[str] = []
    links: list[tuple[str, str]] = []
    _collect(root, "", folders, links)
    folders += sorted({f"bin/{name.rpartition('/')[0]}" for name in scripts if "/" in name} - set(folders))
    return LinkPlan(tuple(folders), tuple(links), tuple(sorted(scripts.items())))


def base(interpreter: Interpreter) -> tuple[str, ...]:
    """Return the folders that are the environment's own, never links: what virtualenv makes, and ``__pycache__``.

    The last so that what Python compiles for virtualenv's own module does not go to some wheel's entry.
    """
    return ("bin", "include", f"lib/python{interpreter.series}/site-packages/__pycache__")


def _parts(manifest: Manifest, interpreter: Interpreter) -> dict[str, str]:
    """Say where the parts of an entry go in an environment."""
    return {
        "scripts": "bin",
        "site": f"lib/python{interpreter.series}/site-packages",
        "data": "",
        "headers": f"include/site/python{interpreter.series}/{manifest.distribution}",
    }


def _own_folder(root: _Node, path: str) -> _Node:
    node = root
    for part in path.split("/") if path else ():
        node = node.children.setdefault(part, _Node())
        node.own = True
    return node


def _insert(base: _Node, where: str, source: str, wheel: str) -> None:
    parts = where.split("/")
    last = len(parts)
    node = base
    for depth, part in enumerate(parts, 1):
        node = node.children.setdefault(part, _Node(is_file=depth == last))
        if node.is_file != (depth == last):
            what = "/".join(parts[:depth])
            raise WheelError(f"{wheel}: {what} is a file in one wheel and a folder in another")
        provided = source.rsplit("/", last - depth)[0]
        if provided not in node.sources:
            node.sources.append(provided)


def _collect(node: _Node, where: str, folders: list[str], links: list[tuple[str, str]]) -> None:
    for name, child in sorted(node.children.items()):
        path = f"{where}/{name}" if where else name
        if not child.own and (child.is_file or len(child.sources) == 1):
            links.append((path, child.sources[-1]))
        else:
            folders.append(path)
            _collect(child, path, folders, links)


def _scripts(entries: Mapping[str, Manifest], root_folder: Path) -> dict[str, str]:
    """Return the Python scripts by name. A wheel's entry point comes before its file of that name, as with pip."""
    found: dict[str, str] = {}
    for name, manifest in entries.items():
        found.update({**_raw_scripts({name: manifest}, root_folder), **_console_scripts([manifest])})
    return found


def _console_scripts(manifests: Iterable[Manifest]) -> dict[str, str]:
    found = {}
    for manifest in manifests:
        for name, module, attr, section in manifest.entry_points:
            _, content = Script(name, module, attr, section).generate("/python", "posix")  # type: ignore[arg-type]
            found[name] = content.decode().partition("\n")[2]
    return found


def _raw_scripts(entries: Mapping[str, Manifest], root_folder: Path) -> dict[str, str]:
    """Read the Python scripts of wheels; scripts in other languages are linked, see :func:`_parts`."""
    found = {}
    for name, manifest in entries.items():
        for path in manifest.files:
            if path.startswith("scripts/") and is_python(root_folder / name / path):
                content = (root_folder / name / path).read_bytes()
                found[path.partition("/")[2]] = content.decode("utf-8", "surrogateescape").partition("\n")[2]
    return found


def is_python(script: Path) -> bool:
    """Tell whether a wheel's script asks for the environment's interpreter (``#!python``, as the format has it)."""
    with script.open("rb") as stream:
        return stream.read(len(b"#!python")) == b"#!python"
