"""Where ``execute_test`` is: the modules of this software or, in a distribution's packages, the installed program."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path

import refstack_worker
from refstack_worker.errors import ConfigError
from refstack_worker.onefile import one_file

PACKAGE = Path(refstack_worker.__path__[0])
MAIN = "refstack_worker.execute_test.main"
NAME = "execute_test"


def command() -> tuple[str, ...]:
    """Return the start of its command line.

    :raises ConfigError: it is not installed.
    """
    if _has_modules():
        return (sys.executable, str(PACKAGE / NAME))
    return (str(_installed()),)


@functools.lru_cache(maxsize=1)
def script() -> str:
    """Return it as one file of text, as it is given to those who have nothing else.

    :raises ConfigError: it is not installed.
    """
    if _has_modules():
        return one_file(PACKAGE.parent, MAIN)
    return _installed().read_text("utf-8")


def _has_modules() -> bool:
    return os.access(PACKAGE / NAME / "main.py", os.R_OK)


def _installed() -> Path:
    program = shutil.which(NAME)
    if program is None:
        raise ConfigError(f"{NAME} is not installed")
    return Path(program)
