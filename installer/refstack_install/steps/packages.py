"""Installs the worker's packages and those of the Tempest versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refstack_install import files
from refstack_install.errors import StepError
from refstack_install.files import Record
from refstack_install.hosts import units
from refstack_install.package_names import FAMILY, KEYRING, TEMPEST, WORKER
from refstack_install.packages.manager import PackageManager, same_version
from refstack_install.packages.repository import from_answers
from refstack_install.step import Change, Context, Step


class PackagesStep(Step):
    """Base of the steps that install packages: compares the packages before and after, to restore them."""

    def __init__(self, context: Context, manager: PackageManager) -> None:
        super().__init__(context)
        self.manager = manager
        self._ended = False
        """Whether the package manager that this process started has ended."""

    def work(self) -> None:
        """Install and remove packages. :raises StepError: it failed."""
        raise NotImplementedError

    def apply(self) -> None:
        try:
            self.work()
        finally:
            self._ended = True

    def offered(self, names: Sequence[str], version: str = "") -> set[str]:
        """Return which of these packages can be installed in a version (empty: any).

        The repository is asked only if the node's own index lacks one of them: it may be out of date. All names are
        returned where this cannot be found out beforehand.
        """
        repository = from_answers(self.system, self.answers, self.manager)
        known = self.manager.offered(names) if self.manager.knows(repository) else {}
        offered = {name for name in names if _has(known, name, version)}
        if len(offered) == len(names):
            return offered
        # a bundle may not have been unpacked yet
        fresh = None if repository.complete else self.manager.look_up(repository, names)
        return set(names) if fresh is None else {name for name in names if _has(fresh, name, version)}

    def snapshot(self) -> Record:
        return {"before": dict(self.manager.installed()), "accounts": self._accounts()}

    def settle(self, record: Record) -> Record:
        now, before = self.manager.installed(), record["before"]
        accounts = self._accounts()
        return {
            "added": sorted(set(now) - set(before)),
            "replaced": {name: version for name, version in before.items() if now.get(name) != version},
            "accounts_added": {kind: sorted(set(accounts[kind]) - set(record["accounts"][kind])) for kind in accounts},
        }

    def removal_record(self, record: Record, older: Sequence[Record]) -> Record:
        """Leave out former versions of packages that go anyway: the repository may not have them any more."""
        going = {name for each in older for name in each.get("added", ())}
        replaced = {name: version for name, version in record.get("replaced", {}).items() if name not in going}
        return {**record, "replaced": replaced} if "replaced" in record else record

    def undo(self, record: Record) -> None:
        if "before" in record:
            # a package manager that was killed, or that outlived its installer, has to finish first
            if not self._ended or not self.manager.is_clean():
                self.manager.recover()
            record = self.settle(record)
        now = self.manager.installed()
        self.manager.remove([name for name in record["added"] if name in now])
        replaced = {name: v for name, v in record["replaced"].items() if now.get(name) != v}
        if replaced:
            self.manager.install(replaced)
        for user in record["accounts_added"]["passwd"]:
            self._forget("userdel", user, "passwd")
        for group in record["accounts_added"]["group"]:
            self._forget("groupdel", group, "group")

    def _forget(self, program: str, name: str, kind: str) -> None:
        if name in self._accounts()[kind]:
            root = [] if self.system.is_live else ["--prefix", str(self.system.root)]
            self.system.must([program, *root, name])

    def _accounts(self) -> dict[str, list[str]]:
        accounts = {}
        for kind in ("passwd", "group"):
            text = (files.read(self.system.path(f"/etc/{kind}")) or b"").decode("utf-8", "replace")
            accounts[kind] = [line.split(":")[0] for line in text.splitlines() if line]
        return accounts


class WorkerPackagesStep(PackagesStep):
    name = "packages"
    title = "worker packages"

    def check(self) -> list[Change]:
        now = self.manager.installed()
        requested = self._requested(now)
        return [Change(name, now.get(name, ""), version or "installed") for name, version in requested.items()]

    def work(self) -> None:
        # the package lets a running worker finish its runs with the old code
        self.manager.install(self._requested(self.manager.installed()))

    def before_remove(self) -> None:
        units.refuse_if_undelivered(self.system)

    def _requested(self, now: Mapping[str, str]) -> dict[str, str]:
        """Return the packages to install or replace, with their versions (empty: the newest)."""
        requested = {name: "" for name in self._names() if name not in now}
        version = self.answers.text("packages.version")
        if version:
            requested.update(self._pinned(now, version))
        elif self.answers.flag("packages.upgrade"):
            for name in (name for name in FAMILY if name in now):
                newest = self.manager.candidate(name)
                if newest and newest != now[name]:
                    requested[name] = newest
        return requested

    def _pinned(self, now: Mapping[str, str], version: str) -> dict[str, str]:
        """Return the packages that are to change to a version. apt needs all of them on its command line."""
        family = [name for name in FAMILY if name in now] if WORKER in now else list(FAMILY)
        outdated = [name for name in family if not same_version(now.get(name, ""), version)]
        if not outdated:
            return {}
        offered = self.offered(outdated, version)
        if WORKER in outdated and WORKER not in offered:
            raise StepError(
                f"the repository does not have {WORKER} {version}", todo="check packages.version and repository.url"
            )
        return {name: version for name in outdated if name in offered or name in now}

    def _names(self) -> Sequence[str]:
        keyring = [] if self.answers.text("bundle.file") or not self._keyring_is_offered() else [KEYRING]
        return [*keyring, WORKER, *self.answers.names("packages.extra")]

    def _keyring_is_offered(self) -> bool:
        return KEYRING in self.manager.installed() or bool(self.manager.candidate(KEYRING))


class TempestPackagesStep(PackagesStep):
    """One package for each Tempest version."""

    name = "tempest"
    title = "Tempest versions"

    def check(self) -> list[Change]:
        now = self.manager.installed()
        missing = [name for name in self._names() if name not in now]
        self._require_offered(missing)
        return [Change(name, "", "installed") for name in missing] + [
            Change(name, now[name], "removed") for name in self._surplus(now)
        ]

    def work(self) -> None:
        now = self.manager.installed()
        missing = {name: "" for name in self._names() if name not in now}
        if missing:
            self.manager.install(missing)
        self.manager.remove(self._surplus(now))

    def _names(self) -> list[str]:
        return [TEMPEST + version for version in self.answers.names("tempest.versions")]

    def _require_offered(self, names: Sequence[str]) -> None:
        absent = sorted(set(names) - self.offered(names)) if names else []
        if absent:
            raise StepError(
                f"the repository does not have {', '.join(absent)}", todo="check tempest.versions and repository.url"
            )

    def _surplus(self, now: Mapping[str, str]) -> list[str]:
        if not self.answers.flag("tempest.only"):
            return []
        return sorted(name for name in now if name.startswith(TEMPEST) and name not in self._names())


def _has(offered: Mapping[str, Sequence[str]], name: str, version: str) -> bool:
    return any(not version or same_version(each, version) for each in offered.get(name, ()))
