"""How a run is split over several nodes: which tests each shard has, and which accounts.

A test class stays in one shard, and so do classes that wait for each other by a lock of Tempest's, which only holds
on one machine. Classes that Tempest runs alone (``@serial``) start when the other shards have ended.
"""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from refstack_worker.contract.execute_test import TEMPESTCONF_PACKAGE
from refstack_worker.contract.outcomes import class_of
from refstack_worker.contract.test_choice import split_entry
from refstack_worker.errors import RefstackError, ResultError
from refstack_worker.server.domain.clouds import Cloud, CloudRecord, Conf
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import confined
from refstack_worker.server.services import mini_conf, shard_accounts, tempest_tests
from refstack_worker.server.services.tempest_tests import VersionTests
from refstack_worker.server.services.turns import Turns

CLASS_SECONDS = 1.0
"""What a class costs beside its tests: projects and users are made for it."""
TURNS = Turns(4, 2, "Other runs are being split. Try again in a moment.")
"""For requests: each holds a thread while it waits until its tests are looked for."""


class NotSplit(RefstackError):
    """A run cannot be split; the message says why. It is carried out by one node."""


@dataclass(frozen=True)
class _Group:
    """Classes of tests that stay in one shard."""

    names: tuple[str, ...]
    """In full, as Tempest lists them."""
    seconds: float


def with_shards(ledger: Ledger, new: NewRun, known: CloudRecord | None) -> NewRun:
    """Return a run with its shards; where it cannot be split, with a note that says why.

    :param new: with all its options.
    :param known: the saved cloud that it is for.
    :raises InvalidInput: its accounts are too few for so many shards.
    """
    if new.spec.shards < 2:
        return new
    check(ledger, new.spec, new.conf_json, known)
    conf = _whole_conf(ledger, new.conf_json, known)
    try:
        return _split(ledger, new, conf, known)
    except NotSplit as reason:
        return replace(new, note=f"not split over {new.spec.shards} nodes: {reason}")


def check(ledger: Ledger, spec: RunSpec, conf: Conf, known: CloudRecord | None) -> None:
    """Refuse a run with too few accounts for its shards. :raises InvalidInput: says how many would do."""
    if spec.shards > 1:
        shard_accounts.check(_whole_conf(ledger, conf, known), known, spec.shards)


def warnings(spec: RunSpec) -> list[str]:
    """Return why a run that is to be split will not be."""
    why = why_unknown(spec) if spec.shards > 1 else ""
    return [f"The run will not be split over {spec.shards} nodes: {why}."] if why else []


def why_unknown(spec: RunSpec) -> str:
    """Return why the tests of a version are not known, so that a run of it cannot be split; empty: they are."""
    if set(spec.plugins) - {TEMPESTCONF_PACKAGE}:
        return "this server does not know the tests of Tempest plugins"
    if not spec.tempest_version:
        return "it names an OpenStack release; give a Tempest version"
    if tempest_tests.of_version(spec.tempest_version) is None:
        return f"this server does not know the tests of Tempest {spec.tempest_version}"
    return ""


def _split(ledger: Ledger, new: NewRun, conf: Conf, known: CloudRecord | None) -> NewRun:
    version = tempest_tests.of_version(new.spec.tempest_version)
    if version is None or why_unknown(new.spec):
        raise NotSplit(why_unknown(new.spec))
    names = _chosen(ledger, new, version)
    accounts = shard_accounts.divided(conf, known, new.spec.shards)
    groups = _groups(names, ledger.durations.of_cloud(new.cloud_id, new.owner_id, tempest_tests.is_known))
    alone = [one for one in groups if _is_alone(one, version, accounts.can_run)]
    beside = [one for one in groups if one not in alone]
    if len(beside) < 2:
        raise NotSplit("its tests are all in one class, or cannot run in parallel")
    count = min(new.spec.shards, len(beside))
    plans = [
        _plan(part, version, accounts.conf_of(new.conf_json, number))
        for number, part in enumerate(_dealt(beside, count))
    ]
    if alone:
        plans.append(replace(_plan(alone, version, {}), is_last=True))
    said = [f"split over {count} nodes: {', '.join(str(one.tests) for one in plans if not one.is_last)} tests"]
    if alone:
        said.append(f"then {plans[-1].tests} tests that cannot run in parallel with others")
    return replace(new, shards=tuple(plans), note="; ".join(said))


def _whole_conf(ledger: Ledger, given: Conf, known: CloudRecord | None) -> dict[str, dict[str, Any]]:
    """Return the options as ``execute_test`` lays them on top of each other."""
    cloud = known.cloud if known else Cloud()
    options = known.options if known else {}
    return mini_conf.merged(mini_conf.mini_conf(ledger.settings.tempest, cloud), options, given)


def _chosen(ledger: Ledger, new: NewRun, version: VersionTests) -> tuple[str, ...]:
    """Return the tests that a run consists of. Expressions are users': a separate process with limits looks for them.

    :raises NotSplit: they cannot be listed, or there are none.
    """
    if new.spec.testcases is not None and new.spec.testcases.url:
        raise NotSplit("its test list is a URL, and only nodes download test lists")
    entries = mini_conf.testcases(ledger.settings.tempest, new.spec)
    try:
        names = confined.chosen_tests(entries, version.full_names)
    except ResultError as error:
        raise NotSplit(f"its tests cannot be listed here: {error}") from None
    if not names:
        raise NotSplit(f"Tempest {new.spec.tempest_version} has none of its tests")
    return tuple(names)


def _groups(names: Sequence[str], durations: Mapping[str, float]) -> list[_Group]:
    """Return the classes of tests, and together those that share a lock; the longest first."""
    usual = statistics.median(durations.values()) if durations else 1.0
    classes: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        classes[class_of(name)].append(name)
    together: dict[str, list[str]] = {}
    for one in classes:
        locks = frozenset() if tempest_tests.is_serial(one) else tempest_tests.locks_of(one)
        key = f"lock {sorted(locks)[0]}" if locks else one
        together.setdefault(key, []).append(one)
    groups = []
    for members in together.values():
        tests = [name for one in members for name in classes[one]]
        seconds = sum(durations.get(split_entry(name)[0], usual) for name in tests) + CLASS_SECONDS * len(members)
        groups.append(_Group(tuple(tests), seconds))
    return sorted(groups, key=lambda one: (-one.seconds, one.names))


def _is_alone(group: _Group, version: VersionTests, can_run: Callable[[Sequence[str]], bool]) -> bool:
    """Return whether tests must wait until all others have ended: they run alone, or need more accounts."""
    if any(tempest_tests.is_serial(class_of(name)) for name in group.names):
        return True
    return not all(can_run(version.by_name.get(split_entry(name)[0], ())) for name in group.names)


def _dealt(groups: Sequence[_Group], count: int) -> list[list[_Group]]:
    """Divide groups so that the parts take about as long: each goes to the part that is the shortest so far."""
    parts: list[list[_Group]] = [[] for _ in range(count)]
    shortest = [(0.0, number) for number in range(count)]
    for group in groups:
        seconds, number = heapq.heappop(shortest)
        parts[number].append(group)
        heapq.heappush(shortest, (seconds + group.seconds, number))
    return parts


def _plan(groups: Sequence[_Group], version: VersionTests, conf: Conf) -> ShardPlan:
    names = [name for group in groups for name in group.names]
    return ShardPlan(tuple(_entries(names, version)), len(names), conf)


def _entries(names: Sequence[str], version: VersionTests) -> list[str]:
    """Return the test cases that mean these tests: a class where all of its tests are meant."""
    chosen: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        chosen[class_of(name)].append(split_entry(name)[0])
    return [
        entry
        for one, tests in sorted(chosen.items())
        for entry in ([one] if len(tests) == version.sizes[one] else sorted(tests))
    ]
