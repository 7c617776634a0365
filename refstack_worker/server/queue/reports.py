"""What Gearman servers report of their functions and workers."""

from __future__ import annotations

from dataclasses import dataclass

from refstack_worker.contract import gearman_functions as functions


@dataclass(frozen=True)
class FunctionStatus:
    """What the queue knows of one function. gearmand goes on counting cancelled jobs."""

    name: str
    jobs: int = 0
    """Queued and running ones."""
    running: int = 0
    workers: int = 0
    """Connected workers that registered it."""


@dataclass(frozen=True)
class ConnectedWorker:
    """A client of a Gearman server that registered functions."""

    server: str
    address: str
    name: str
    functions: tuple[str, ...]


def version_of(function: str) -> str:
    """Return the Tempest version that a function serves; empty for another kind of function."""
    prefix = functions.for_version("")
    return function[len(prefix) :].split(":")[0] if function.startswith(prefix) else ""


def function_status(line: str) -> FunctionStatus | None:
    words = line.split("\t")
    if len(words) != 4 or not all(word.isdigit() for word in words[1:]):
        return None
    return FunctionStatus(words[0], *(int(word) for word in words[1:]))


def connected_worker(server: str, line: str) -> ConnectedWorker | None:
    who, colon, what = line.partition(" :")
    words = who.split(" ", 2)
    if not colon or len(words) != 3:
        return None
    return ConnectedWorker(server, words[1], words[2], tuple(what.split()))
