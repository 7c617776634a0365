"""The tests that failed in a long run once more, as a person would run them: plain Tempest, a tempest.conf by hand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from tests.support.processes import CACHE
from tests.support.tempests import locked
from tests.system.accounts.outcomes import outcomes

LIMIT_SECONDS = 900


def again(tests: Sequence[str], tempest: str, conf: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Return how each of them ended by hand.

    :param tests: names, or ``setUpClass (CLASS)``, which stands for all tests of a class.
    """
    folder.mkdir()
    whole = {**conf, "oslo_concurrency": {"lock_path": str(folder)}}
    (folder / "tempest.conf").write_text(_text(whole))
    (folder / "list").write_text("".join(f"^{_pattern(test)}\n" for test in tests))
    settings = EnvironmentSettings(CACHE / "store", (locked(tempest),))
    with Environment(Catalogue(settings).find(Want(version=tempest)), settings, folder / "environment") as built:
        done = subprocess.run(
            [built.bin / "tempest", "run", "--config-file", "tempest.conf", "--include-list", "list",
             "--concurrency", "2", "--subunit"],
            cwd=folder, capture_output=True, timeout=LIMIT_SECONDS,
            env={"PATH": f"{built.bin}:{os.defpath}", "HOME": str(folder), "LANG": "C.UTF-8"},
        )  # fmt: skip
    (folder / "stream").write_bytes(done.stdout)
    return outcomes(done.stdout, [test.partition("[")[0] for test in tests])


def _pattern(test: str) -> str:
    name = test.partition("[")[0]
    return name.partition("(")[2].rstrip(")").replace(".", r"\.") if "(" in name else name.replace(".", r"\.") + r"\b"


def _text(conf: Mapping[str, Mapping[str, Any]]) -> str:
    return "".join(f"[{section}]\n" + "".join(f"{name} = {_value(value)}\n" for name, value in options.items())
                   for section, options in conf.items())  # fmt: skip


def _value(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
