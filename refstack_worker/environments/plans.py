"""Plans as the store keeps them, each with its links ready made.

    plans/<key>/plan.json
    plans/<key>/links/<n>-<name>    → ../../../entries/<entry>/<path>

An environment links into ``links/`` by a short relative path. Short links live in their inode: removing one with a
long target costs ten times as much, and a disk block.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.environments.entries import Entries
from refstack_worker.environments.files import make_folder, remove_tree, sync_file_system, sync_folder, write_plainly
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.locking import work_folder
from refstack_worker.environments.plan import Plan, make_plan

FILE = "plan.json"
LINKS = "links"


@dataclass(frozen=True)
class KeptPlan:
    """A plan in the store."""

    folder: Path
    plan: Plan

    @property
    def links(self) -> Path:
        """Folder of the ready links."""
        return self.folder / LINKS

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
            if not link.is_symlink() or os.readlink(link) != _into_entries(target):
                return f"{LINKS}/{link.name} does not lead to {target}"
        return ""


def link_name(number: int, path: str) -> str:
    """Return the name of a plan's link: its number, and for people what it is."""
    return f"{number}-{path.rpartition('/')[2]}"[:40]


def kept_plan(store: Entries, names: Sequence[str], interpreter: Interpreter) -> KeptPlan:
    """Return the plan of a set of entries, worked out the first time and kept in the store.

    :raises StoreError: an entry is damaged.
    :raises WheelError: the wheels do not go together.
    """
    key = hashlib.sha256("\n".join([*names, interpreter.series]).encode()).hexdigest()[:32]
    folder = store.plans / key
    kept = _read(folder)
    if kept is not None:
        os.utime(folder / FILE)  # says when these entries were last used
        return kept
    plan = make_plan({name: store.manifest(name) for name in names}, interpreter, store.entries)
    _keep(store, folder, plan)
    return KeptPlan(folder, plan)


def all_plans(store: Entries) -> Iterator[KeptPlan]:
    """Yield every plan; what is none is removed on the way."""
    for folder in sorted(store.plans.iterdir()) if store.plans.is_dir() else ():
        kept = _read(folder)
        if kept is not None:
            yield kept
        else:
            remove_tree(folder)


def _keep(store: Entries, folder: Path, plan: Plan) -> None:
    with work_folder(store.work) as work:
        made = make_folder(work / folder.name)
        make_folder(made / LINKS)
        for number, (path, target) in enumerate(plan.links):
            os.symlink(_into_entries(target), made / LINKS / link_name(number, path))
        write_plainly(made / FILE, plan.to_json())
        sync_file_system(made)
        with suppress(FileExistsError, OSError):  # another was faster with the same
            made.rename(folder)
    sync_folder(store.plans)


def _into_entries(target: str) -> str:
    return f"../../../entries/{target}"


def _read(folder: Path) -> KeptPlan | None:
    try:
        return KeptPlan(folder, Plan.from_json((folder / FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
