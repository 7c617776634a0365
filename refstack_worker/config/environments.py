"""Settings of what makes environments: where locks, wheels and interpreters are; the store's limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCK_FOLDERS = (Path("/usr/share/refstack-tempest"),)
"""Where the per-version packages (``refstack-tempest-<version>``) put their locks and wheels."""


@dataclass(frozen=True)
class EnvironmentSettings:
    """What a node, or a release engineer's machine, says about environments."""

    store: Path
    """Folder of unpacked wheels; made when missing. On a local file system: locks and renames must hold."""

    lock_folders: tuple[Path, ...] = LOCK_FOLDERS
    """Folders with one folder per Tempest version, in each its locks and ``wheels/``."""

    wheelhouses: tuple[str, ...] = ()
    """Folders or ``http(s)`` URLs of sites that ``refstack-package publish-wheelhouse`` made, best first."""

    index: str = ""
    """URL of a simple package index (PEP 503) to take wheels from as a last resort; empty: none."""

    interpreters: tuple[Path, ...] = ()
    """Executables beside those that are found on the system, such as ``/opt/python3.8/bin/python3.8``."""

    store_limit_mb: int = 4096
    """Size in MiB to which the store is cut back by ``env gc``; what is in use always stays."""

    keep_failed: bool = False
    """Leave an environment that could not be made where it is, to look at."""

    ca_file: str = ""
    """PEM file of the certificate authorities to trust for wheelhouses and the index; empty: the system's."""
