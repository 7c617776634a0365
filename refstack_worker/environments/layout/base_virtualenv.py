"""The virtualenv under an environment: made by virtualenv once for an interpreter, then laid out again and again.

What virtualenv makes differs from one folder to the next only in that folder's name. So it is asked once (100 ms),
what it made is kept in the store, and an environment takes it by hard links, but for the files that name their folder.
That spares inodes as much as time: a busy node makes and removes thousands of environments.

    skeletons/<key>/skeleton.json, tree/
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from refstack_worker import process
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.store.file_locks import work_folder
from refstack_worker.environments.store.wheel_store import WheelStore
from refstack_worker.errors import EnvironmentBuildError, RefstackError
from refstack_worker.filesystem import FOLDER_MODE, make_folder, place, remove_tree, sync_file_system, write_plainly

LOG = logging.getLogger(__name__)

FILE = "skeleton.json"
TREE = "tree"

_MADE: dict[Path, BaseVirtualenv] = {}
_MAKING = threading.Lock()


@dataclass(frozen=True)
class BaseVirtualenv:
    """A virtualenv without any package, kept in a folder of the store."""

    root: Path
    origin: str
    """The folder that it was made in; its name stands in some of the files."""
    folders: tuple[str, ...]
    links: dict[str, str]
    """Path to target."""
    files: dict[str, tuple[str, bool]]
    """Path to SHA-256, and whether the file names its folder and so cannot be shared."""

    def lay_out(self, folder: Path) -> None:
        """Put it into ``folder``, which exists; everyone may read it, whatever the umask says."""
        os.chmod(folder, FOLDER_MODE)
        for path in self.folders:
            make_open_folder(f"{folder}/{path}")
        tree, target = f"{self.root}/{TREE}", str(folder)
        for path in self.links:
            place(f"{tree}/{path}", f"{target}/{path}")
        for path, (_, own) in self.files.items():
            if own:
                content = Path(tree, path).read_bytes()
                own_content = content.replace(os.fsencode(self.origin), os.fsencode(folder))
                write_plainly(folder / path, own_content, 0o755 if path.startswith("bin/") else 0o644)
            else:
                place(f"{tree}/{path}", f"{target}/{path}")

    def problem(self) -> str:
        """Say what is wrong with what is kept; empty when nothing is."""
        tree = self.root / TREE
        for path, target in self.links.items():
            if not (tree / path).is_symlink() or os.readlink(tree / path) != target:
                return f"{path} does not lead to {target}"
        for path, (digest, _) in self.files.items():
            if not (tree / path).is_file() or hashlib.sha256((tree / path).read_bytes()).hexdigest() != digest:
                return f"{path} was changed"
        return ""


def make_open_folder(path: str) -> None:
    """Make a folder that everyone may pass, unless it is there."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    os.chmod(path, FOLDER_MODE)


def base_virtualenv_of(interpreter: Interpreter, store: WheelStore) -> BaseVirtualenv:
    """Return the base for an interpreter, made and kept the first time.

    :raises EnvironmentBuildError: neither virtualenv nor the interpreter's own ``venv`` can make one.
    """
    about = "\n".join([str(interpreter.path), interpreter.identity, _maker()])
    root = store.bases / hashlib.sha256(about.encode()).hexdigest()[:32]
    with _MAKING:
        if root not in _MADE or not root.is_dir():
            _MADE[root] = _read(root) or _make(root, interpreter, store)
        return _MADE[root]


def all_base_virtualenvs(store: WheelStore) -> Iterator[BaseVirtualenv]:
    """Yield every base; what is none is removed on the way."""
    for root in sorted(store.bases.iterdir()) if store.bases.is_dir() else ():
        kept = _read(root)
        if kept is not None:
            yield kept
        else:
            remove_tree(root)


def make_virtualenv(folder: Path, interpreter: Interpreter, store: WheelStore) -> None:
    """Make a virtualenv without any package.

    By the interpreter's own ``venv`` where virtualenv is too new for it, or is not there: the packages for Debian don't
    ask for virtualenv, since Debian's recommends a compiler, which nodes must not get.

    :raises EnvironmentBuildError: neither can.
    """
    reason = "virtualenv is not installed"
    if virtualenv := _imported():
        try:
            _by_virtualenv(virtualenv, folder, interpreter, store)
            return
        except (SystemExit, RuntimeError, ValueError) as error:
            reason = f"virtualenv: {error}"
            LOG.debug("virtualenv does not support %s (%s); using its venv module instead", interpreter.path, error)
    try:
        process.run([interpreter.path, "-I", "-m", "venv", "--without-pip", "--symlinks", "--clear", folder])
    except RefstackError as error:
        raise EnvironmentBuildError(f"{interpreter.path}: cannot create a virtualenv: {reason}; {error}") from error


def _by_virtualenv(virtualenv: ModuleType, folder: Path, interpreter: Interpreter, store: WheelStore) -> None:
    words = [
        "--python", str(interpreter.path), "--without-pip", "--activators", "bash", "--no-vcs-ignore",
        "--app-data", str(store.root / "virtualenv"), "--no-periodic-update", str(folder),
    ]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUALENV_")}
    env["VIRTUALENV_CONFIG_FILE"] = os.devnull
    virtualenv.cli_run(words, setup_logging=False, env=env)


def _imported() -> ModuleType | None:
    """Return virtualenv; only where one is made: to import it takes a tenth of each command."""
    with suppress(ImportError):
        return importlib.import_module("virtualenv")
    return None


def _maker() -> str:
    """Return what makes the virtualenvs here, with its version."""
    virtualenv = _imported()
    return str(virtualenv.__version__) if virtualenv else "venv"


def _make(root: Path, interpreter: Interpreter, store: WheelStore) -> BaseVirtualenv:
    with work_folder(store.work) as work:
        made = make_folder(work / root.name)
        make_virtualenv(made / TREE, interpreter, store)
        base = _seen(root, made / TREE)
        write_plainly(made / FILE, json.dumps({**vars(base), "root": ""}).encode())
        sync_file_system(made)
        with suppress(OSError):  # another process was faster, with the same
            made.rename(root)
    return _read(root) or base


def _seen(root: Path, tree: Path) -> BaseVirtualenv:
    folders, links, files = [], {}, {}
    for parent, names, others in os.walk(tree):
        for name in [*names, *others]:
            path = Path(parent, name)
            shown = str(path.relative_to(tree))
            if path.is_symlink():
                links[shown] = os.readlink(path)
            elif path.is_dir():
                folders.append(shown)
            else:
                content = path.read_bytes()
                path.chmod(0o555 if path.stat().st_mode & 0o100 else 0o444)
                files[shown] = hashlib.sha256(content).hexdigest(), os.fsencode(tree) in content
    return BaseVirtualenv(root, str(tree), tuple(sorted(folders)), links, files)


def _read(root: Path) -> BaseVirtualenv | None:
    try:
        data = json.loads((root / FILE).read_bytes())
        files = {path: (str(digest), bool(own)) for path, (digest, own) in data["files"].items()}
        return BaseVirtualenv(root, data["origin"], tuple(data["folders"]), dict(data["links"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
