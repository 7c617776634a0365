"""What all unit tests share: a program sets up logging for its process, which here is the tests' own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.routing import Rule

PROGRAMS = "refstack_worker"
"""The logger whose level the programs set."""


@pytest.fixture(autouse=True)
def quiet_root() -> Iterator[None]:
    root, programs = logging.getLogger(), logging.getLogger(PROGRAMS)
    before = list(root.handlers), root.level, programs.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    programs.setLevel(before[2])


@pytest.fixture(scope="session", autouse=True)
def routes_compiled_once() -> Iterator[None]:
    """Keep what Werkzeug compiles for a route: two functions for each of 200, a fifth of a second an application."""
    compile_builder: Callable[..., Any] = Rule._compile_builder
    compiled: dict[tuple[object, ...], Any] = {}

    def once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), append_unknown)
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", once)
        yield
