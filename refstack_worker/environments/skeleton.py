"""The virtualenv under an environment: made by virtualenv once for an interpreter, then laid out again and again.

What virtualenv makes differs from one folder to the next only in that folder's name, so it is asked once in a process
(100 ms) and its few files and links are written anew for each environment (under a millisecond).
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import virtualenv

from refstack_worker import process
from refstack_worker.environments.entries import Entries
from refstack_worker.environments.files import FOLDER_MODE
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.locking import work_folder
from refstack_worker.errors import EnvironmentBuildError, RefstackError

LOG = logging.getLogger(__name__)

_MADE: dict[tuple[Path, str], Skeleton] = {}
_MAKING = threading.Lock()


@dataclass(frozen=True)
class Skeleton:
    """A virtualenv without any package."""

    origin: bytes
    """The folder that it was made in; its name stands in some of the files."""
    folders: tuple[str, ...]
    files: tuple[tuple[str, bytes, int], ...]
    """Path, content, mode."""
    links: tuple[tuple[str, str], ...]
    """Path, target."""

    def lay_out(self, folder: Path) -> None:
        """Write it into ``folder``, which exists; everyone may read it, whatever the umask says."""
        own = os.fsencode(folder)
        os.chmod(folder, FOLDER_MODE)
        for path in self.folders:
            make_open_folder(f"{folder}/{path}")
        for path, content, mode in self.files:
            write_open_file(f"{folder}/{path}", content.replace(self.origin, own), mode)
        for path, target in self.links:
            os.symlink(target, f"{folder}/{path}")


def make_open_folder(path: str) -> None:
    """Make a folder that everyone may pass, unless it is there."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    os.chmod(path, FOLDER_MODE)


def write_open_file(path: str, content: bytes, mode: int) -> None:
    """Write a file with exactly that mode."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.write(number, content)
        os.fchmod(number, mode)
    finally:
        os.close(number)


def skeleton_of(interpreter: Interpreter, store: Entries) -> Skeleton:
    """Return the skeleton for an interpreter.

    :raises EnvironmentBuildError: neither virtualenv nor the interpreter's own ``venv`` can make one.
    """
    key = interpreter.path, interpreter.identity
    with _MAKING:
        if key not in _MADE:
            with work_folder(store.work) as work:
                make_virtualenv(work / "env", interpreter, store)
                _MADE[key] = _read(work / "env")
        return _MADE[key]


def make_virtualenv(folder: Path, interpreter: Interpreter, store: Entries) -> None:
    """Make a virtualenv without any package; by the interpreter's own ``venv`` where virtualenv is too new for it.

    :raises EnvironmentBuildError: neither can.
    """
    words = [
        "--python", str(interpreter.path), "--without-pip", "--activators", "bash", "--no-vcs-ignore",
        "--app-data", str(store.root / "virtualenv"), "--no-periodic-update", str(folder),
    ]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUALENV_")}
    env["VIRTUALENV_CONFIG_FILE"] = os.devnull
    try:
        virtualenv.cli_run(words, setup_logging=False, env=env)
    except (SystemExit, RuntimeError, ValueError) as error:
        LOG.debug("virtualenv cannot use %s (%s): its own venv", interpreter.path, error)
        try:
            process.run([interpreter.path, "-I", "-m", "venv", "--without-pip", "--clear", folder])
        except RefstackError as own:
            raise EnvironmentBuildError(f"{interpreter.path}: makes no virtualenv: {error}; {own}") from own


def _read(made: Path) -> Skeleton:
    folders, files, links = [], [], []
    for parent, names, others in os.walk(made):
        for name in [*names, *others]:
            path = Path(parent, name)
            shown = str(path.relative_to(made))
            if path.is_symlink():
                links.append((shown, os.readlink(path)))
            elif path.is_dir():
                folders.append(shown)
            else:
                executable = path.stat().st_mode & 0o100
                files.append((shown, path.read_bytes(), 0o755 if executable else 0o644))
    return Skeleton(os.fsencode(made), tuple(sorted(folders)), tuple(files), tuple(links))
