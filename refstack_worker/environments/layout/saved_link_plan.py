"""Plans as the store keeps them, each with its links ready made.

    plans/<key>/plan.json
    plans/<key>/links/<n>-<name>    → <store>/entries/<entry>/<path>
    plans/<key>/scripts/<n>-<name>  for bin/

An environment takes these by hard links: that is a name in a folder and nothing more, where a link of its own would
cost an inode and, with a target this long, a disk block, to be made and freed each time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.layout.link_plan import LinkPlan, make_link_plan
from refstack_worker.environments.store.file_locks import work_folder
from refstack_worker.environments.store.wheel_store import WheelStore
from refstack_worker.filesystem import make_folder, place, remove_tree, sync_file_system, sync_folder, write_plainly

LAYOUT = "3"
"""Counted up when a plan's folder holds something else, so that one made before is not taken for one of now."""

FILE = "plan.json"
LINKS = "links"
SCRIPTS = "scripts"

HEAD = (
    b'#!/usr/bin/env -S sh -c \'self=$0; [ -L "$self" ] && self=$(readlink -f -- "$self");'
    b' exec "${self%/*}/python" -x "$0" "$@"\'\n'
)
"""The first line of every script, see :func:`script_bytes`; at most 127 bytes, which is what older kernels read."""


@dataclass(frozen=True)
class SavedLinkPlan:
    """A plan in the store."""

    folder: Path
    entries_folder: Path
    plan: LinkPlan

    def link_into(self, environment: Path) -> None:
        """Put all the links and scripts of the plan into an environment, whose folders are there."""
        links, scripts, target = str(self.links), str(self.scripts), str(environment)
        for number, (path, _) in enumerate(self.plan.links):
            place(f"{links}/{link_name(number, path)}", f"{target}/{path}")
        for number, (name, _) in enumerate(self.plan.scripts):
            place(f"{scripts}/{link_name(number, name)}", f"{target}/bin/{name}")

    @property
    def links(self) -> Path:
        """Folder of the ready links."""
        return self.folder / LINKS

    @property
    def scripts(self) -> Path:
        return self.folder / SCRIPTS

    @property
    def entries(self) -> set[str]:
        """Names of the store entries that it joins."""
        return {target.partition("/")[0] for _, target in self.plan.links}

    @property
    def used(self) -> float:
        """When it was last used, in seconds since the epoch."""
        return (self.folder / FILE).stat().st_mtime

    def problem(self) -> str:
        """Say what is wrong with its links; empty when nothing is."""
        for number, (path, target) in enumerate(self.plan.links):
            link = self.links / link_name(number, path)
            if not link.is_symlink() or os.readlink(link) != f"{self.entries_folder}/{target}":
                return f"{LINKS}/{link.name} does not lead to {target}"
        for number, (name, content) in enumerate(self.plan.scripts):
            script = self.scripts / link_name(number, name)
            if not script.is_file() or script.read_bytes() != script_bytes(content):
                return f"{SCRIPTS}/{script.name} was changed"
        return ""


def script_bytes(body: str) -> bytes:
    """Return a whole script of what stands below its first line.

    It finds the interpreter beside itself, so that one file serves all environments. All of that is in the first line,
    which Python skips (``-x``), so that the script's encoding and ``from __future__`` stay where they were.
    """
    return HEAD + body.encode("utf-8", "surrogateescape")


def link_name(number: int, path: str) -> str:
    """Return the name of a plan's link: its number, and for people what it is."""
    return f"{number}-{path.rpartition('/')[2]}"[:40]


def saved_plan_of(store: WheelStore, names: Sequence[str], interpreter: Interpreter) -> SavedLinkPlan:
    """Return the plan of a set of entries, worked out the first time and kept in the store.

    :raises StoreError: an entry is damaged.
    :raises WheelError: the wheels do not go together.
    """
    about = "\n".join(
        [LAYOUT, *names, interpreter.series, str(store.entries)]
    )  # links name the store: one moved makes others
    key = hashlib.sha256(about.encode()).hexdigest()[:32]
    folder = store.plans / key
    kept = _read(store, folder)
    if kept is not None:
        os.utime(folder / FILE)  # says when these entries were last used
        return kept
    plan = make_link_plan({name: store.manifest(name) for name in names}, interpreter, store.entries)
    _keep(store, folder, plan)
    return SavedLinkPlan(folder, store.entries, plan)


def all_saved_plans(store: WheelStore) -> Iterator[SavedLinkPlan]:
    """Yield every plan; what is none is removed on the way."""
    for folder in sorted(store.plans.iterdir()) if store.plans.is_dir() else ():
        kept = _read(store, folder)
        if kept is not None:
            yield kept
        else:
            remove_tree(folder)


def _keep(store: WheelStore, folder: Path, plan: LinkPlan) -> None:
    with work_folder(store.work) as work:
        made = make_folder(work / folder.name)
        make_folder(made / LINKS)
        for number, (path, target) in enumerate(plan.links):
            os.symlink(f"{store.entries}/{target}", made / LINKS / link_name(number, path))
        make_folder(made / SCRIPTS)
        for number, (name, content) in enumerate(plan.scripts):
            write_plainly(made / SCRIPTS / link_name(number, name), script_bytes(content), 0o555)
        write_plainly(made / FILE, plan.to_json())
        sync_file_system(made)
        with suppress(FileExistsError, OSError):  # another was faster with the same
            made.rename(folder)
    sync_folder(store.plans)


def _read(store: WheelStore, folder: Path) -> SavedLinkPlan | None:
    try:
        return SavedLinkPlan(folder, store.entries, LinkPlan.from_json((folder / FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
