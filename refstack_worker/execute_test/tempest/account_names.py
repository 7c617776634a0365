"""Makes Tempest name the projects and users that it makes for its tests by the run's prefix, as it names all else.

In every version it calls them ``tempest-<class>-<number>``, whatever ``resource_name_prefix`` says, so that a project
that a killed run left could be any run's. Python reads ``sitecustomize`` at its start; the one that is written here
gives Tempest's provider of accounts the prefix when it is imported, and touches nothing else.
"""

from __future__ import annotations

from pathlib import Path

MAX_PROJECT_NAME = 64
"""Characters of a project's name in Keystone."""
NUMBER_LENGTH = 10
"""Digits of the number that Tempest puts at the end of a name."""
LEAST_CLASS_NAME = 8
"""Minimum number of characters that must be left for the name of the test class."""

_HOOK = """\
import importlib.abc
import importlib.util
import sys

MODULE = "tempest.lib.common.dynamic_creds"


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                rename(module)

            spec.loader.exec_module = exec_module
        return spec


def rename(module):
    provider = getattr(module, "DynamicCredentialProvider", None)
    if provider is None:
        return
    begin = provider.__init__

    def named(self, *args, **options):
        begin(self, *args, **options)
        self.resource_prefix = {prefix!r}
        self.name = (self.name or "")[:{room}]

    provider.__init__ = named


sys.meta_path.insert(0, Finder())
"""


def name_accounts(folder: Path, prefix: str) -> bool:
    """Write the module into a folder that Tempest's processes have on their path.

    :returns: whether the prefix leaves room for a name; otherwise nothing is written.
    """
    room = MAX_PROJECT_NAME - NUMBER_LENGTH - len(prefix) - len("--")
    if not prefix or room < LEAST_CLASS_NAME:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    text = _HOOK.replace("{prefix!r}", repr(prefix)).replace("{room}", str(room))
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return True
