"""Proof that what was published works: a clean Debian, no network but the repository, and Tempest lists its tests."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.chroots import PYTHONS, CleanRoot, Enter, RootRecipe, base_root
from refstack_worker.builder.packages.package import VIRTUAL
from refstack_worker.builder.repository import apt, attestations, publish
from refstack_worker.builder.repository.attestations import Provenance
from refstack_worker.builder.repository.repository import KEYRING, Repository
from refstack_worker.builder.repository.uploads import files_of
from refstack_worker.errors import BuildError, ProcessError

INSIDE = "/srv/refstack-repository"
SOURCE = "etc/apt/sources.list.d/refstack.sources"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
"""Variables that lead to Debian's mirror; mmdebstrap, which makes the root, uses them too."""
SIMULATED = re.compile(r"^Inst (\S+) (?:\[[^\]]*\] )?\(\S+ ([^)]*)\)", re.MULTILINE)
"""A line of ``apt-get --simulate install``: package, and where it would come from."""


def verify(
    repository: Repository, suite: str, versions: Sequence[str], cache: Path
) -> list[tuple[str, str, int, float]]:
    """Install the versions into a clean root and list their tests.

    :returns: suite, package, number of tests and seconds for each version.
    :raises BuildError: one does not install, or lists no tests; the message includes the output of apt or Tempest.
    """
    record = repository.record()
    names = [f"{VIRTUAL}-{version}" for version in versions]
    with CleanRoot(base_root(RootRecipe(suite), cache)) as root:
        try:
            _add_source(root, repository, record.suite)
            _install_from_debian(root, repository, ["refstack-worker", *names])
            _install_offline(root, repository, ["refstack-worker", *names])
            return [_listed(root, suite, version) for version in versions]
        except ProcessError as error:
            raise BuildError(f"{suite}: {error}") from error


def verify_provenance(repository: Repository, versions: Sequence[str], keyring: Path | None = None) -> list[Provenance]:
    """Return the checked provenance of all packages of some Tempest versions.

    :param keyring: file with the public keys that are trusted; None: the repository's own.
    :raises BuildError: a version is not there, or the provenance of a package is missing or wrong.
    """
    if not repository.record().keys:
        raise BuildError(f"{repository.root}: nothing is published there")
    there = publish.listing(repository)
    found = []
    for version in versions:
        packages = [item.path for item in there if item.package == f"{VIRTUAL}-{version}"]
        if not packages:
            raise BuildError(f"{repository.root}: {VIRTUAL}-{version} is not published there")
        found += [attestations.check(repository, path, keyring) for path in packages]
    return found


def versions_in(files: Sequence[Path]) -> list[str]:
    """Return the Tempest versions, with plugins as their packages are called, among Debian packages."""
    names = [apt.inspect(path).package for path in files_of(files) if path.suffix == ".deb"]
    return sorted({name.removeprefix(f"{VIRTUAL}-") for name in names if name.startswith(f"{VIRTUAL}-")})


def is_locked_for(repository: Repository, version: str, suite: str) -> bool:
    """Tell whether a published version is locked for a suite's Python; one that is not there is: verifying says so."""
    name = f"{VIRTUAL}-{version}"
    found = sorted((repository.pool / name[0] / name).glob("*.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        return True
    said = process.run(["dpkg-deb", "--field", found[-1], "Refstack-Interpreters"]).stdout
    return f"cpython-{PYTHONS[suite]}" in [word.strip() for word in said.split(",")]


def _add_source(root: CleanRoot, repository: Repository, suite: str) -> None:
    keyring = repository.root / f"{KEYRING}.gpg"
    root.write(f"etc/apt/keyrings/{KEYRING}.gpg", keyring.read_bytes())
    root.write(
        SOURCE,
        f"Types: deb\nURIs: file:{INSIDE}/apt\nSuites: {suite}\nComponents: main\n"
        f"Signed-By: /etc/apt/keyrings/{KEYRING}.gpg\n",
    )
    # read by apt's own user, which does not exist on the host
    (root.path / INSIDE.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _install_from_debian(root: CleanRoot, repository: Repository, names: Sequence[str]) -> None:
    """Put Debian's own packages there that the new ones need, with the network; of ours, none."""
    proxies = {name: value for name in PROXIES if (value := os.environ.get(name))}
    online = Enter(network=True, env=proxies, binds={repository.root: INSIDE})
    root.run(["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"], online)
    planned = root.run(["apt-get", "--simulate", "--no-install-recommends", "install", *names], online).stdout
    theirs = sorted(name for name, origin in SIMULATED.findall(planned) if not origin.startswith("RefStack:"))
    if theirs:
        root.run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *theirs], online)


def _install_offline(root: CleanRoot, repository: Repository, names: Sequence[str]) -> None:
    """Install from the repository alone: no other source, no network."""
    offline = Enter(binds={repository.root: INSIDE})
    for path in [root.path / "etc/apt/sources.list", *(root.path / "etc/apt/sources.list.d").iterdir()]:
        if path.name != Path(SOURCE).name:
            path.unlink(missing_ok=True)
    root.run(["apt-get", "-qq", "update"], offline)
    root.run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *names], offline)


def _listed(root: CleanRoot, suite: str, version: str) -> tuple[str, str, int, float]:
    began = time.monotonic()
    rows = json.loads(root.run(["refstack-worker", "versions", "-f", "json"]).stdout)
    row = next((row for row in rows if row.get("Name", row["Version"]) == version), {"Version": version, "Plugins": ""})
    plugins = [word for plugin in row["Plugins"].split() for word in ("--with", plugin)]
    output = root.run(["refstack-worker", "env", "build", row["Version"], *plugins, "-f", "json"]).stdout
    tests = int(json.loads(output)["tests"])
    if tests <= 0:
        raise BuildError(f"{suite}: Tempest {version} lists no tests; withdraw the package")
    return suite, f"{VIRTUAL}-{version}", tests, round(time.monotonic() - began, 1)
