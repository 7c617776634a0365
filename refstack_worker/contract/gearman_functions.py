"""The names of the Gearman functions: routing by what a node can do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from packaging.utils import canonicalize_name

from refstack_worker.contract.execute_test import TEMPESTCONF_PACKAGE
from refstack_worker.errors import UsageError

TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}\Z")

MAX_NAMED = 68
"""Characters of a version with its plugins in a function; of a longer list the number and digest stand there.

The ledger keeps functions of up to 120 characters; a tag has 32.
"""

MAX_FREE_PLUGINS = 6
"""Plugins of a lock all of whose subsets are registered (63 functions).

Of a larger one those of one and of two plugins and the whole are, and whatever else runs ask for (``wanted_plugins``).
"""

Plugins = Mapping[str, str]
"""Distribution of a Tempest plugin to its exact version."""


def for_version(version: str, tag: str = "", plugins: Plugins | None = None) -> str:
    """Return the function of the nodes that can build this Tempest version with these plugins (and carry this tag)."""
    return _with_tag(f"refstack:tempest:{_bounded(version, plugins or {})}", tag)


def for_release(release: str, tag: str = "", plugins: Plugins | None = None) -> str:
    """Return the function of the nodes that can test this OpenStack release (``2025.1``) with these plugins."""
    return _with_tag(f"refstack:openstack:{_bounded(release, plugins or {})}", tag)


def served(version: str, plugins: Plugins) -> str:
    """Return what a node serves as one word: ``43.0.0`` or ``43.0.0,heat-tempest-plugin=3.0.0``."""
    return ",".join([version, *(f"{name}={number}" for name, number in _with_tests(plugins))])


def _with_tests(plugins: Plugins) -> list[tuple[str, str]]:
    """Return the plugins that add tests, by normalised name: python-tempestconf adds none, and routes no run."""
    named = sorted((str(canonicalize_name(name)), number) for name, number in plugins.items())
    return [(name, number) for name, number in named if name != TEMPESTCONF_PACKAGE]


def _bounded(version: str, plugins: Plugins) -> str:
    text = served(version, plugins)
    if len(text) <= MAX_NAMED:
        return text
    return f"{version},{len(plugins)}-plugins-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def subsets(plugins: Plugins) -> Iterator[dict[str, str]]:
    """Yield the sets of plugins that a lock with ``plugins`` serves: those that it has, whatever else it has.

    The empty set is not among them: a run of all tests would run the plugins' tests too. Of a lock without plugins it
    is the one.
    """
    items = _with_tests(plugins)
    sizes = range(1, len(items) + 1) if len(items) <= MAX_FREE_PLUGINS else (1, 2, len(items))
    if not items:
        yield {}
    for size in sizes:
        for chosen in combinations(items, size):
            yield dict(chosen)


def is_registered_on_demand(asked: Plugins, plugins: Plugins) -> bool:
    """Tell whether a lock with ``plugins`` serves ``asked``, but :func:`subsets` does not yield it."""
    have, want = dict(_with_tests(plugins)), dict(_with_tests(asked))
    return len(have) > MAX_FREE_PLUGINS and 2 < len(want) < len(have) and want.items() <= have.items()


def plugins_of(word: str) -> dict[str, str]:
    """Return the plugins in a word of :func:`served`; what is not written so is left out."""
    parts = (part.partition("=") for part in word.split(",")[1:])
    return {name: number for name, _, number in parts if name and number}


def is_served(by: Iterable[str], version: str, plugins: Plugins) -> bool:
    """Tell whether one of the words of :func:`served` that a node reports stands for a version with these plugins."""
    wanted = set(served("", plugins).split(",")[1:])
    for word in by:
        number, *have = word.split(",")
        if number == version and bool(have) == bool(wanted) and wanted <= set(have):
            return True
    return False


def unique(test_id: int, attempt: int) -> str:
    """Return the Gearman unique of an attempt; it is never used twice."""
    return f"{test_id}:{attempt}"


def _with_tag(name: str, tag: str) -> str:
    if not tag:
        return name
    if not TAG.match(tag):
        raise UsageError(f"{tag!r} is not a node tag; use lower-case letters, digits, '.', '_' and '-', 32 at most")
    return f"{name}:{tag}"
