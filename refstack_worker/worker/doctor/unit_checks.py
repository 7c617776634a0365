"""Checks whether the systemd units let the worker read and write where the settings say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from refstack_worker import process
from refstack_worker.config.worker import CACHE, FILE, RUNTIME, STATE, WorkerSettings
from refstack_worker.errors import ProcessError
from refstack_worker.worker.admission.folders import UNIT, drop_in, written_folders
from refstack_worker.worker.doctor.finding import BAD, GOOD, Finding

UNITS = (UNIT, "refstack-env-warm.service", "refstack-store-gc.service")
"""Units that write to the store; each needs the drop-in."""
WRITABLE = (STATE, CACHE, RUNTIME)
"""Folders that the units make writable by themselves."""
HIDDEN = (Path("/home"), Path("/root"))
"""Folders in which the units see nothing (``ProtectHome=``)."""
SECONDS = 10.0


def check_units(settings: WorkerSettings) -> Iterator[Finding]:
    """Folders outside the usual places are writable for the units, which see all other folders read-only."""
    elsewhere = _elsewhere(written_folders(settings))
    if not elsewhere or settings.file != FILE:
        return  # the units read no other file: this is of a second worker, with units of its own
    for unit in UNITS:
        allowed = _read_write_paths(unit)
        if allowed is None:
            return  # no systemd, or the unit is not installed
        missing = [path for path in elsewhere if not _is_below(path, allowed)]
        if missing:
            found = f"{unit} cannot write to {', '.join(map(str, missing))}"
            yield Finding(f"unit {unit}", BAD, found, drop_in(unit, missing))
        else:
            yield Finding(f"unit {unit}", GOOD, f"can write to {', '.join(map(str, elsewhere))}")


def check_authorities(settings: WorkerSettings) -> Iterator[Finding]:
    """The files of authorities are there, and not where the units see nothing."""
    for section, place in (("server", settings.server.ca_file), ("environments", settings.environments.ca_file)):
        if not place:
            continue
        if settings.file == FILE and _is_below(Path(place), HIDDEN):
            todo = "move it, for example to /etc/refstack-worker"
            yield Finding(f"{section}.ca_file", BAD, f"{place}: the units cannot see /home and /root", todo)
        elif not Path(place).exists():
            yield Finding(
                f"{section}.ca_file", BAD, f"{place}: no such file", f"copy it there, or fix {section}.ca_file"
            )


def _elsewhere(folders: Iterable[Path]) -> list[Path]:
    return [path for path in folders if not _is_below(path, WRITABLE)]


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder == path or folder in path.parents for folder in folders)


def _read_write_paths(unit: str) -> list[Path] | None:
    """Return the writable folders of an installed unit; None if it is not installed or systemd is not here."""
    command = ["systemctl", "show", "--property=LoadState", "--property=ReadWritePaths", unit]
    try:
        output = process.run(command, process.Options(timeout=SECONDS)).stdout
    except ProcessError:
        return None
    values = dict(line.partition("=")[::2] for line in output.splitlines())
    if values.get("LoadState") != "loaded":
        return None
    return [Path(word.lstrip("-+")) for word in values.get("ReadWritePaths", "").split()]
