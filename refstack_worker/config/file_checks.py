"""Checks of the files that settings name; an error names the setting, the file, and what to do."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from refstack_worker.errors import ConfigError


def check_text(setting: str, path: Path, what: str) -> None:
    """See that a file with a secret can be read and is not empty.

    :param what: what it holds, e.g. "the password".
    :raises ConfigError: it cannot be used.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise _unreadable(setting, path, error, f"put {what} into this file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path} is not UTF-8; put {what} into this file as plain text") from None
    if not text.strip():
        raise ConfigError(f"{setting}: {path} is empty; put {what} into this file")


def check_authorities(setting: str, path: Path) -> None:
    """See that a file of certificate authorities can be used. :raises ConfigError: it cannot."""
    todo = "put the authorities' certificates (PEM) into this file"
    try:
        path.read_bytes()
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:  # an OSError, too
        raise ConfigError(f"{setting}: {path} contains no certificate in PEM form; {todo}") from None
    except OSError as error:
        raise _unreadable(setting, path, error, todo) from None


def check_program(setting: str, path: Path) -> None:
    """See that a file is a program. :raises ConfigError: it is missing or cannot be executed."""
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ConfigError(f"{setting}: {path} does not exist or is not executable; install it, or fix the setting")


def check_folder(setting: str, path: Path) -> None:
    """See that a folder is there. :raises ConfigError: it is missing, or no absolute path."""
    if not path.is_absolute():
        raise ConfigError(f"{setting}: {path} must be an absolute path")
    if not path.is_dir():
        raise ConfigError(f"{setting}: {path} is not a folder; create it, or fix the setting")


def _unreadable(setting: str, path: Path, error: OSError, todo: str) -> ConfigError:
    if isinstance(error, PermissionError):
        todo = "run this as root or as the user of the services"
    elif isinstance(error, FileNotFoundError):
        todo = f"{todo}, or remove the setting"
    return ConfigError(f"{setting}: {path}: {error.strerror}; {todo}")
