"""The Tempest that runs the tests, and what its version can do."""

from __future__ import annotations

import difflib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.execute_test.failures import TempestFailure
from refstack_worker.execute_test.tempest.conf import Conf

_INSPECT = """
import importlib.util, json, os, re, sys
from importlib import metadata
spec = importlib.util.find_spec("tempest")
home = os.path.dirname(spec.origin) if spec and spec.origin else ""
def text(path):
    try:
        with open(os.path.join(home, path), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
try:
    version = metadata.version("tempest")
except metadata.PackageNotFoundError:
    version = ""
print(json.dumps({"home": home, "version": version,
    "include_list": "--include-list" in text("cmd/run.py"),
    "load_list": "--load-list" in text("cmd/run.py"),
    "reads_conf_late": not re.search(r"\\bCONF\\.(?!set_config_path\\b)", text("cmd/run.py")),
    "name_prefix": "resource_name_prefix" in text("config.py"),
    "names": sorted(set(re.findall("[\\\"']([a-z0-9][A-Za-z0-9_-]*)[\\\"']", text("config.py"))))}))
"""
# reading the three files takes 60 ms; asking each command for its help takes seconds


@dataclass(frozen=True)
class Tempest:
    program: Path
    version: str
    include_list: bool
    """``tempest run`` has ``--include-list``."""
    name_prefix: bool
    """It has the option ``resource_name_prefix``."""
    names: frozenset[str] = frozenset()
    """Names in its ``config.py``: sections, options, their former names, and some other words."""
    load_list: bool = False
    """``tempest run`` has ``--load-list``, which takes the exact tests."""
    package: str = ""
    """Folder of the package ``tempest``."""
    reads_conf_late: bool = False
    """``tempest run`` itself reads no option: it can be started before its configuration is written."""

    def unknown_options(self, conf: Conf) -> list[str]:
        """Return the options that this Tempest will not read, each with a similar one.

        A section that it does not name may belong to a plugin, and ``DEFAULT`` to its libraries.
        """
        unknown = []
        for section, options in conf.items():
            for option in options if section in self.names else ():
                if option.replace("-", "_") not in self.names and option not in self.names:
                    near = difflib.get_close_matches(option, self.names, 1)
                    unknown.append(f"[{section}] {option}" + (f" (did you mean {near[0]}?)" if near else ""))
        return unknown

    @classmethod
    def find(cls, home: Path) -> Tempest:
        """Return the Tempest in a virtualenv, or in a checkout's ``.venv``.

        :raises TempestFailure: there is none that starts.
        """
        for folder in (home, home / ".venv", home / "venv"):
            program = folder.absolute() / "bin" / "tempest"
            if program.is_file():
                return cls._inspect(program)
        raise TempestFailure(f"{home}: no bin/tempest here, nor in a .venv below; is this where Tempest is installed?")

    @classmethod
    def _inspect(cls, program: Path) -> Tempest:
        python = program.with_name("python")
        try:
            done = subprocess.run([str(python), "-I", "-c", _INSPECT], capture_output=True, timeout=120)  # noqa: S603
            seen = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise TempestFailure(f"{python}: cannot inspect its Tempest: {error}") from error
        if not seen["home"]:
            raise TempestFailure(f"{python}: has no tempest package although {program} exists")
        return cls(program, seen["version"], seen["include_list"], seen["name_prefix"],
                   frozenset(seen["names"]), seen["load_list"], seen["home"],
                   seen["reads_conf_late"])  # fmt: skip
