"""One result of the results of a run's shards: their streams, one behind the other, read as any other result is."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from refstack_worker.contract.outcomes import class_of, group_of, skipped_packet
from refstack_worker.contract.states import RunState
from refstack_worker.contract.test_choice import split_entry
from refstack_worker.errors import NotFoundError, ResultError
from refstack_worker.server.domain.results import ResultQuery, Upload
from refstack_worker.server.domain.shards import Shard
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import own_tests, tempest_tests
from refstack_worker.server.services.own_tests import OwnTests

_PAGE = 1000
"""Tests that are read at once."""


def advance(ledger: Ledger, test_id: int) -> None:
    """Move a split run on; merge the results of its shards if they have all ended.

    The run ends in the transaction that stores the merged result. Cut off before that, it is merged again.
    """
    if ledger.shards.advance(test_id):
        merge(ledger, test_id)


def merge(ledger: Ledger, test_id: int) -> bool:
    """Give a run the results of its shards; return whether this call did it."""
    shards = ledger.shards.of_run(test_id)
    with tempfile.TemporaryDirectory(prefix="refstack-merge-") as folder:
        stream, log = Path(folder, "stream"), Path(folder, "log")
        try:
            _check_size(ledger, shards)
            _check_own_tests(ledger, shards)
            summaries, notes = _write_stream(ledger, test_id, shards, stream)
            _write_log(ledger, shards, log)
            upload = Upload.of(stream, _summary(test_id, shards, summaries), log if log.exists() else None)
            with acceptance.masked(upload, (), ledger.settings.data) as result:
                return ledger.shards.finish(test_id, upload, result, notes)
        except NotFoundError:
            # another monitor has merged them meanwhile
            return False
        except ResultError as error:
            ledger.shards.fail(test_id, f"the results of the shards cannot be merged: {error}")
            return False


def _check_size(ledger: Ledger, shards: Sequence[Shard]) -> None:
    """Refuse shards whose results together are larger than one run's may be. :raises ResultError: they are."""
    ended = [one.test_id for one in shards if one.test_id is not None and one.state is RunState.FINISHED]
    size, most = sum(ledger.results.get(one)["size"] for one in ended), ledger.settings.web.max_result_bytes
    if size > most:
        raise ResultError(f"together they have {size >> 20} MiB, more than the {most >> 20} MiB of one result")


def _check_own_tests(ledger: Ledger, shards: Sequence[Shard]) -> None:
    """Refuse what a node says of tests that another has carried out: each speaks for its own shard.

    :raises ResultError: one does.
    """
    owners = {name: shard.number for shard in shards for name in shard.names}
    for shard in shards:
        if shard.test_id is None or shard.state is not RunState.FINISHED:
            continue
        for name in _names_in(ledger, shard.test_id):
            about = group_of(name) or name
            owner = owners.get(about) or owners.get(class_of(about)) or shard.number
            if owner != shard.number:
                raise ResultError(f"shard {shard.number} has a result of {name}, which is a test of shard {owner}")


def _names_in(ledger: Ledger, test_id: int) -> Iterator[str]:
    page = ResultQuery(limit=_PAGE)
    while tests := ledger.results.tests(test_id, page):
        yield from (one.name for one in tests)
        page = replace(page, after=tests[-1].position)


def _write_stream(
    ledger: Ledger, test_id: int, shards: Sequence[Shard], path: Path
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Write what the streams of shards, in which secrets are masked, say of their own tests.

    :returns: their summaries, and what the run's messages say of the rest.
    """
    summaries, notes = [], []
    version = ledger.runs.get(test_id).spec.tempest_version
    with path.open("wb") as out:
        for shard in shards:
            if shard.test_id is None:
                continue
            if shard.state is RunState.FINISHED:
                summaries.append(ledger.results.get(shard.test_id)["summary"])
                with tempfile.TemporaryFile(dir=path.parent) as whole:
                    whole.writelines(ledger.results.stream(shard.test_id))
                    whole.seek(0)
                    left_out = own_tests.copy_own(whole, out, OwnTests(shard, version))
                notes += [own_tests.note(shard.number, left_out)] if left_out else []
            else:
                _write_skipped(version, shard, out)
    return summaries, notes


def _write_skipped(version: str, shard: Shard, out: BinaryIO) -> None:
    """Write that the tests of a shard were skipped: it ended because this cloud, or these accounts, let none run."""
    known, chosen = tempest_tests.of_version(version), set(shard.names)
    for name in known.full_names if known else ():
        test = split_entry(name)[0]
        if test in chosen or class_of(test) in chosen:
            out.write(skipped_packet(name, shard.message))


def _write_log(ledger: Ledger, shards: Sequence[Shard], path: Path) -> None:
    """Write the logs of shards one behind the other; no file if there is none."""
    there = [one.test_id for one in shards if one.test_id is not None and ledger.results.has_log(one.test_id)]
    if there:
        with gzip.open(path, "wb", compresslevel=4) as out:
            for test_id in there:
                out.writelines(ledger.results.log(test_id))


def _summary(test_id: int, shards: Sequence[Shard], summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary of the whole; what differs between the shards is in a list."""
    first = dict(summaries[0]) if summaries else {}
    begin, end = min(one.started_at for one in shards), max(one.ended_at for one in shards)
    codes = [one.get("exit_code") for one in summaries]
    worst = max((code for code in codes if isinstance(code, int)), default=0)
    counts = [one["counts"] for one in summaries if isinstance(one.get("counts"), Mapping)]
    names = {name for one in counts for name in one}
    kept = {name: value for name, value in first.items() if name in ("tempest_version", "cpid", "started_at")}
    return {
        **kept,
        "test_id": test_id,
        "attempt": 1,
        "seconds": round(max(0.0, end - begin), 3),
        "exit_code": worst,
        "counts": {name: sum(one[name] for one in counts if isinstance(one.get(name), int)) for name in sorted(names)},
        "shards": [
            {"number": one.number, "test_id": one.test_id, "attempt": one.attempt, "node": one.worker} for one in shards
        ],
    }
