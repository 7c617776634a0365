"""The programs of a guideline that are compared, and the cloud of each."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.support.standalone import POWERED_STORAGE
from tests.system.execute_test.conftest import Cloud, Options

from democloud.openstack.shape import Shape  # isort: skip - found by what is imported above
from democloud.openstack.whole import WholeCloud  # isort: skip

USERS = 8
"""Ordinary users of the whole cloud."""


@dataclass(frozen=True)
class Program:
    """A program and where it is run."""

    word: str
    name: str
    """As the guideline has it."""
    services: str
    """Of the cloud, for people."""
    limit: float
    """Seconds until a run of its tests is given up."""

    @property
    def is_whole(self) -> bool:
        """Whether it needs the whole cloud."""
        return self.name != POWERED_STORAGE

    def required_tests(self, guideline: Path) -> list[str]:
        """Return its required tests, without the flagged ones, as RefStack lists them: ``name[id-…]``."""
        whole = json.loads(guideline.read_text("utf-8"))
        tests = {}
        for part in whole["platforms"][self.name]["components"]:
            for each in whole["components"][part["name"]]["capabilities"]["required"]:
                tests.update(whole["capabilities"][each]["tests"])
        return [f"{name}[{test['idempotent_id']}]" for name, test in tests.items() if not test.get("flagged")]

    def cloud(self, folder: Path, options: Options) -> AbstractContextManager[Cloud | WholeCloud]:
        """Return a cloud for it, to be entered."""
        return WholeCloud(folder, options, Shape(users=USERS)) if self.is_whole else Cloud(folder, options)


STORAGE = Program("storage", POWERED_STORAGE, "a real Keystone and Swift", 300.0)
PLATFORM = Program("platform", "OpenStack Powered Platform",
                   "the whole cloud of [democloud](../democloud.md)", 1800.0)  # fmt: skip
PROGRAMS = {program.word: program for program in (STORAGE, PLATFORM)}
