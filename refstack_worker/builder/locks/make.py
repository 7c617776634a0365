"""Making a lock, start to end: resolve, gather, write, and accept only what lists tests."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refstack_worker.builder.locks import releases
from refstack_worker.builder.locks.build import WheelBuilder
from refstack_worker.builder.locks.resolve import ResolveRequest, resolve
from refstack_worker.builder.locks.tempest_source import TempestSource, build_source
from refstack_worker.builder.locks.uv import Uv, find_uv
from refstack_worker.builder.locks.wheels import Gathered, gather
from refstack_worker.builder.locks.write import Facts, lock_name, lock_text
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import test_listing
from refstack_worker.environments.catalogue import Offer
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.lock import Lock, read_lock
from refstack_worker.environments.store.verify import Store
from refstack_worker.errors import BuildError, EnvironmentBuildError
from refstack_worker.filesystem import disk_errors, make_folder, write_whole

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LockRequest:
    """A lock that is to be made."""

    resolve_request: ResolveRequest
    output: Path
    """Folder of versions; the lock goes into ``<output>/<version>/`` (with plugins ``<version>-heat/``), its wheels
    into ``wheels/`` beside it."""
    cache: Path
    """Where the resolver, and the store that the lock is proved with, are kept."""
    releases: tuple[str, ...] = ()
    """OpenStack releases; empty: those that are known of the version."""
    ca_file: str = ""
    machines: tuple[str, ...] = ()
    """Other kinds of machine (``aarch64``) to lock for too, from wheels alone: nothing of them can be run here."""
    source: TempestSource | None = None
    """Where Tempest is from, if not from the index; the requested version is then its name, or empty."""


def make_lock(request: LockRequest) -> Lock:
    """Make, prove and write a lock with its wheels; nothing appears in the output before it is proved.

    :raises BuildError: it cannot be resolved, gathered or proved.
    """
    make_folder(request.cache)
    with tempfile.TemporaryDirectory(prefix="lock-", dir=request.cache) as name:
        uv = Uv(find_uv(request.cache), Path(name).absolute(), request.resolve_request.index, request.ca_file)
        request = _with_source(request, uv)
        resolve_request = request.resolve_request
        LOG.info("resolving Tempest %s on %s", resolve_request.version, resolve_request.interpreter.name)
        artefacts = resolve(resolve_request, uv)
        is_complete = False
        try:
            LOG.info("gathering %d distributions", len(artefacts))
            gathered = gather(resolve_request, artefacts, uv, request.ca_file)
            LOG.info("checking that it lists tests")
            staged = _stage(request, gathered, uv.work)
            is_complete = True
            tests = _prove(request, staged, uv.work)
        except (BuildError, EnvironmentBuildError) as error:
            hint = _hint(resolve_request, releases.pythons(uv.work), is_complete)
            raise BuildError(f"{error}{hint}") from error
        proved = read_lock(staged)
        others = [_on_machine(request, machine, uv, gathered) for machine in request.machines]
        for other, wheels in others:
            _deliver(other, wheels, lock_text(other.resolve_request, wheels, _facts(other, tests)), proved)
        text = lock_text(resolve_request, gathered, _facts(request, tests))
        lock = _deliver(request, gathered, text, proved)
        test_listing.carry_over(Store(request.cache / "store"), proved, lock, resolve_request.interpreter)
        return lock


def _hint(request: ResolveRequest, pythons: str, is_complete: bool) -> str:
    """Return what usually helps a version that cannot be built, or, with all its wheels, does not list its tests."""
    hint = f"; Tempest {request.version} was made for Python {pythons} (--python)" if pythons else ""
    if is_complete and request.constraints is None:
        hint += "; an older Tempest needs the constraints of its OpenStack release (--constraints)"
    return hint


def _on_machine(
    request: LockRequest, machine: str, uv: Uv, proved: Sequence[Gathered]
) -> tuple[LockRequest, list[Gathered]]:
    """Return what a lock for another kind of machine consists of: the versions that were proved here.

    :raises BuildError: something has no wheel for it, or is there in another version.
    """
    interpreter = request.resolve_request.interpreter.on_machine(machine)
    question = replace(request.resolve_request, interpreter=interpreter)
    LOG.info("resolving Tempest %s on %s, %s", question.version, interpreter.name, machine)
    gathered = gather(question, resolve(question, uv), uv, request.ca_file)
    lacking = [item.wheel.filename for item in gathered if not interpreter.accepts(item.wheel)]
    if lacking:
        raise BuildError(f"{', '.join(lacking)}: no wheel for {machine}; must be built on such a machine")
    here = {(item.wheel.name, item.wheel.version) for item in proved}
    other = {(item.wheel.name, item.wheel.version) for item in gathered}
    if here != other:
        names = ", ".join(sorted(f"{name} {version}" for name, version in here ^ other))
        raise BuildError(f"the lock for {machine} could not be checked here, because these packages differ: {names}")
    return replace(request, resolve_request=question), gathered


def _with_source(request: LockRequest, uv: Uv) -> LockRequest:
    """Build Tempest, where it is not from the index, and return the request with its wheel and version."""
    if request.source is None:
        return request
    question = request.resolve_request
    LOG.info("building Tempest from its source")
    builder = WheelBuilder(uv, question.interpreter, question.exclude_newer)
    built = build_source(request.source, builder, question.version)
    return replace(request, resolve_request=replace(question, version=built.version, source=built))


def _facts(request: LockRequest, tests: int) -> Facts:
    constraints = request.resolve_request.constraints
    digest = hashlib.sha256(constraints.read_bytes()).hexdigest() if constraints is not None else ""
    known = request.releases or releases.of(request.resolve_request.version, request.resolve_request.constraints_name)
    return Facts(known, digest, tests)


def _stage(request: LockRequest, gathered: Sequence[Gathered], work: Path) -> Path:
    folder = make_folder(work / "staged" / request.resolve_request.version)
    wheels = make_folder(folder / "wheels")
    for item in gathered:
        os.link(item.file, wheels / item.wheel.filename)
    path = folder / lock_name(request.resolve_request)
    path.write_text(lock_text(request.resolve_request, gathered, _facts(request, 0)))
    return path


def _prove(request: LockRequest, staged: Path, work: Path) -> int:
    lock, interpreter = read_lock(staged), request.resolve_request.interpreter
    settings = EnvironmentSettings(request.cache / "store", (staged.parent.parent,))
    problem = interpreter.problem_with(lock)
    if problem:
        raise BuildError(f"Tempest {lock.label}: {problem}")
    with Environment(Offer(lock.version, interpreter=interpreter, lock=lock), settings, work / "env") as built:
        return built.tests


def _deliver(request: LockRequest, gathered: Sequence[Gathered], text: str, proved: Lock) -> Lock:
    folder = request.output / proved.set_name
    with disk_errors(str(folder)):
        for item in gathered:
            target = make_folder(folder / "wheels") / item.wheel.filename
            temporary = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(item.file, temporary)
            temporary.chmod(0o644)
            temporary.rename(target)
        path = folder / lock_name(request.resolve_request)
        write_whole(path, text.encode())
    return read_lock(path)
