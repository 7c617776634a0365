"""Which tests a shard speaks for: those of its plan, and its classes and modules that could not be set up.

A guideline knows a test by former names too. What a shard says under a name that is in no plan could decide, by such a
name, about a test of another shard; so it is left out when the results of shards are merged.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from subunit import ByteStreamToStreamResult, StreamResultToBytes

from refstack_worker.contract.outcomes import class_of, group_of
from refstack_worker.contract.test_choice import split_entry
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.shards import Shard
from refstack_worker.server.results.masking import Unflushed
from refstack_worker.server.results.subunit import PARSER, split_id
from refstack_worker.server.services import tempest_tests

OF_STESTR = frozenset({"process-returncode", PARSER})
"""What stestr says of a process of tests that failed as a whole, or printed stray bytes."""
MAX_NAMED = 3
"""Names in a message."""
MAX_LEFT_OUT = 20_000
"""Names that are counted."""
_NOISE = "refstack noise"


class OwnTests:
    """The names that count in the result of a shard."""

    def __init__(self, shard: Shard, version: str) -> None:
        """:param version: Tempest's, of the run."""
        known = tempest_tests.of_version(version)
        self._chosen = frozenset(shard.names)
        self._known_classes = known.sizes if known else {}
        self._ids: defaultdict[str, set[str]] = defaultdict(set)
        for listed in known.full_names if known else ():
            name, uuid = split_entry(listed)
            if name in self._chosen or class_of(name) in self._chosen:
                self._ids[name].add(uuid)

    def has(self, test_id: str) -> bool:
        """Return whether a test, as a stream names it, is the shard's. One that carries another's id is not."""
        name, uuid = split_id(test_id)
        if name in OF_STESTR:
            return True
        if about := group_of(name):
            return about in self._chosen or any(one.startswith(f"{about}.") for one in self._chosen)
        test = re.split(r"[\[(]", name, maxsplit=1)[0]
        if class_of(test) in self._known_classes:
            return test in self._ids and (not uuid or uuid in self._ids[test])
        return test in self._chosen or class_of(test) in self._chosen


@dataclass
class _OwnEvents:
    """Takes the parser's events (the interface of ``testtools.StreamResult``) and writes those of a shard's tests."""

    own: OwnTests
    out: BinaryIO
    left_out: dict[str, None] = field(default_factory=dict)
    _known: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._packets = StreamResultToBytes(Unflushed(self.out))

    def status(self, test_id: str | None = None, **event: Any) -> None:
        if test_id is None and event.get("file_name") == _NOISE:
            return
        if test_id == PARSER and "timestamp" not in event:
            # so the library alone says it: this very stream is damaged
            raise ResultError("damaged subunit stream")
        if test_id is not None and not self._is_own(test_id):
            return
        data = event.get("file_bytes")
        self._packets.status(**{**event, "test_id": test_id, "file_bytes": None if data is None else bytes(data)})

    def _is_own(self, test_id: str) -> bool:
        if test_id in self._known:
            return self._known[test_id]
        is_own = self.own.has(test_id)
        if len(self._known) < MAX_LEFT_OUT:
            self._known[test_id] = is_own
            if not is_own:
                self.left_out[split_id(test_id)[0]] = None
        return is_own


def copy_own(source: BinaryIO, out: BinaryIO, own: OwnTests) -> list[str]:
    """Copy what a shard's stream says of its own tests; return the names that were left out.

    :param source: a stream that was accepted before.
    :raises ResultError: it is damaged all the same.
    """
    events = _OwnEvents(own, out)
    try:
        ByteStreamToStreamResult(source, non_subunit_name=_NOISE).run(events)
    except (ResultError, OSError, MemoryError):
        raise
    except Exception as error:
        # the library raises what it happens to
        raise ResultError(f"damaged subunit stream: {type(error).__name__}") from error
    return list(events.left_out)


def note(number: int, left_out: list[str]) -> str:
    """Return what a run's messages say of the names that a shard's result had beside its own."""
    named = ", ".join(left_out[:MAX_NAMED]) + (" …" if len(left_out) > MAX_NAMED else "")
    return f"shard {number}: left out of the result, because its tests do not include them: {named}"
