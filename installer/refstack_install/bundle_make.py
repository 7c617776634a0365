"""Collect packages with all that they depend on, as a signed repository of one distribution.

Dependencies are worked out against an empty machine: whatever a node lacks is in the bundle.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from refstack_install.errors import BundleError
from refstack_install.system import Done, System

POOL = "pool"


@dataclass(frozen=True)
class Wanted:
    """What goes into a bundle, and for whom."""

    repository: str
    key: Path
    """The public key that this repository is signed with."""
    suite: str
    component: str
    release: str
    """The distribution's own suite (``bookworm``), or its release (``9``)."""
    packages: tuple[str, ...]
    optional: tuple[str, ...]
    """Packages that come along if the repository has them."""
    mirror: str
    mirror_key: Path
    sign_key: str


def apt(wanted: Wanted, tree: Path, scratch: Path, system: System) -> int:
    """Fill ``tree/apt``. :returns: how many packages. :raises BundleError: some cannot be had."""
    pool = tree / "apt" / POOL
    pool.mkdir(parents=True)
    options = _private_apt(wanted, scratch)
    _must(system, ["apt-get", *options, "update"], "fetching the package indexes")
    there = [name for name in wanted.optional if system.run(["apt-cache", *options[1:], "show", name]).out]
    words = ["install", "-y", "--download-only", "--no-install-recommends", *wanted.packages, *there]
    _must(system, ["apt-get", *options, *words], "fetching the packages")
    for deb in sorted((scratch / "cache" / "archives").glob("*.deb")):
        shutil.copyfile(deb, pool / deb.name.replace("%3a", "_"))
    _index(tree / "apt", wanted, system)
    return len(list(pool.iterdir()))


def yum(wanted: Wanted, tree: Path, scratch: Path, system: System) -> int:
    """Fill ``tree/yum``. :returns: how many packages. :raises BundleError: some cannot be had."""
    folder = tree / "yum"
    folder.mkdir(parents=True)
    repositories = ["--repofrompath", f"refstack,{wanted.repository}/yum"]
    repositories += ["--repofrompath", f"base,{wanted.mirror}"] if wanted.mirror else []
    options = [
        "-y",
        "--disablerepo=*",
        *repositories,
        "--enablerepo=refstack,base",
        f"--installroot={scratch / 'root'}",
    ]
    signed = [f"--setopt=refstack.gpgkey=file://{wanted.key}", "--setopt=refstack.gpgcheck=1"]
    words = ["install", "--downloadonly", f"--downloaddir={folder}", *wanted.packages]
    _must(system, ["dnf", *options, *signed, f"--releasever={wanted.release}", *words], "fetching the packages")
    _must(system, ["createrepo_c", "--quiet", str(folder)], "making the index")
    sign = ["gpg", "--batch", "--yes", "--armor", "--local-user", wanted.sign_key, "--detach-sign"]
    _must(system, [*sign, str(folder / "repodata" / "repomd.xml")], "signing the index")
    return len(list(folder.glob("*.rpm")))


def _private_apt(wanted: Wanted, scratch: Path) -> list[str]:
    """Return apt's options for a state of its own, in which nothing is installed."""
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    # what lies in a folder is not downloaded, it would stay there; with copy: it comes along
    repository = re.sub(r"^file:", "copy:", wanted.repository)
    lines = [f"deb [signed-by={wanted.key}] {repository}/apt {wanted.suite} {wanted.component}"]
    if wanted.mirror:
        lines.append(f"deb [signed-by={wanted.mirror_key}] {wanted.mirror} {wanted.release} main")
    (scratch / "etc" / "sources.list").write_text("\n".join(lines) + "\n")
    places = {
        "Dir::State": scratch / "state",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "Dir::Etc::sourcelist": scratch / "etc" / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Debug::NoLocking": "true",
    }
    return ["-q", *(f"-o{name}={value}" for name, value in places.items())]


def _index(folder: Path, wanted: Wanted, system: System) -> None:
    release = folder / "dists" / wanted.suite
    packages = list(_stanzas(folder, system))
    found = sorted({match.group(1) for text in packages if (match := re.search(r"^Architecture: (\S+)", text, re.M))})
    architectures = [name for name in found if name != "all"] or ["amd64"]
    texts = {}
    for architecture in architectures:
        mine = [text for text in packages if re.search(rf"^Architecture: (all|{architecture})$", text, re.M)]
        texts[f"{wanted.component}/binary-{architecture}/Packages"] = "\n".join(mine)
    for name, text in texts.items():
        (release / name).parent.mkdir(parents=True)
        (release / name).write_text(text)
    head = f"Suite: {wanted.suite}\nCodename: {wanted.suite}\nArchitectures: {' '.join(architectures)}\n"
    sums = "".join(f" {_sum(release / name)} {(release / name).stat().st_size} {name}\n" for name in texts)
    date = _must(system, ["date", "-uR"], "telling the time").out.strip().replace("+0000", "UTC")
    text = f"{head}Components: {wanted.component}\nDate: {date}\nSHA256:\n{sums}"
    (release / "Release").write_text(text)
    sign = ["gpg", "--batch", "--yes", "--local-user", wanted.sign_key, "--output", str(release / "InRelease")]
    _must(system, [*sign, "--clearsign", str(release / "Release")], "signing the index")


def _stanzas(folder: Path, system: System) -> Iterable[str]:
    for deb in sorted((folder / POOL).iterdir()):
        fields = _must(system, ["dpkg-deb", "--field", str(deb)], f"reading {deb.name}").out.rstrip("\n")
        yield f"{fields}\nFilename: {POOL}/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {_sum(deb)}\n"


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _must(system: System, argv: list[str], what: str) -> Done:
    done = system.run(argv, None)
    if done.status != 0:
        raise BundleError(f"{what} failed", done.said.replace("\n", " | "), "mend that and run again")
    return done
