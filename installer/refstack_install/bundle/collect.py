"""Collects packages and all their dependencies into a signed repository for one distribution.

Dependencies are resolved for an empty machine, so the bundle contains whatever a node may lack.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from refstack_install.errors import BundleError
from refstack_install.system import Completed, System

POOL = "pool"


@dataclass(frozen=True)
class BundleContents:
    """What goes into a bundle, and for which distribution."""

    repository: str
    key: Path
    """The public key of this repository."""
    suite: str
    component: str
    release: str
    """The distribution's suite (``bookworm``) or release (``9``)."""
    packages: tuple[str, ...]
    optional: tuple[str, ...]
    """Packages that are added if the repository has them."""
    mirror: str
    mirror_key: Path
    sign_key: str


def apt(contents: BundleContents, tree: Path, scratch: Path, system: System) -> int:
    """Fill ``tree/apt``. :returns: the number of packages. :raises BundleError: a package is not available."""
    pool = tree / "apt" / POOL
    pool.mkdir(parents=True)
    options = _private_apt(contents, scratch)
    _must(system, ["apt-get", *options, "update"], "fetching the package indexes")
    available = [name for name in contents.optional if system.run(["apt-cache", *options[1:], "show", name]).out]
    words = ["install", "-y", "--download-only", "--no-install-recommends", *contents.packages, *available]
    _must(system, ["apt-get", *options, *words], "fetching the packages")
    for deb in sorted((scratch / "cache" / "archives").glob("*.deb")):
        shutil.copyfile(deb, pool / deb.name.replace("%3a", "_"))
    _index(tree / "apt", contents, system)
    return len(list(pool.iterdir()))


def yum(contents: BundleContents, tree: Path, scratch: Path, system: System) -> int:
    """Fill ``tree/yum``. :returns: the number of packages. :raises BundleError: a package is not available."""
    folder = tree / "yum"
    folder.mkdir(parents=True)
    repositories = ["--repofrompath", f"refstack,{contents.repository}/yum"]
    repositories += ["--repofrompath", f"base,{contents.mirror}"] if contents.mirror else []
    options = [
        "-y",
        "--disablerepo=*",
        *repositories,
        "--enablerepo=" + ("refstack,base" if contents.mirror else "refstack"),
        f"--installroot={scratch / 'root'}",
    ]
    signed = [f"--setopt=refstack.gpgkey=file://{contents.key}", "--setopt=refstack.gpgcheck=1"]
    signed.append("--setopt=refstack.repo_gpgcheck=1")
    words = ["install", "--downloadonly", f"--downloaddir={folder}", *contents.packages]
    _must(system, ["dnf", *options, *signed, f"--releasever={contents.release}", *words], "fetching the packages")
    _must(system, ["createrepo_c", "--quiet", str(folder)], "making the index")
    sign = ["gpg", "--batch", "--yes", "--armor", "--local-user", contents.sign_key, "--detach-sign"]
    _must(system, [*sign, str(folder / "repodata" / "repomd.xml")], "signing the index")
    return len(list(folder.glob("*.rpm")))


def _private_apt(contents: BundleContents, scratch: Path) -> list[str]:
    """Return options that give apt a private state with nothing installed."""
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    # apt does not download from file: URLs, but it does from copy: URLs
    repository = re.sub(r"^file:", "copy:", contents.repository)
    lines = [f"deb [signed-by={contents.key}] {repository}/apt {contents.suite} {contents.component}"]
    if contents.mirror:
        lines.append(f"deb [signed-by={contents.mirror_key}] {contents.mirror} {contents.release} main")
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


def _index(folder: Path, contents: BundleContents, system: System) -> None:
    release = folder / "dists" / contents.suite
    packages = list(_stanzas(folder, system))
    present = sorted({match.group(1) for text in packages if (match := re.search(r"^Architecture: (\S+)", text, re.M))})
    architectures = [name for name in present if name != "all"] or ["amd64"]
    texts = {}
    for architecture in architectures:
        stanzas = [text for text in packages if re.search(rf"^Architecture: (all|{architecture})$", text, re.M)]
        texts[f"{contents.component}/binary-{architecture}/Packages"] = "\n".join(stanzas)
    for name, text in texts.items():
        (release / name).parent.mkdir(parents=True)
        (release / name).write_text(text)
    head = f"Suite: {contents.suite}\nCodename: {contents.suite}\nArchitectures: {' '.join(architectures)}\n"
    sums = "".join(f" {_sum(release / name)} {(release / name).stat().st_size} {name}\n" for name in texts)
    date = _must(system, ["date", "-uR"], "reading the time").out.strip().replace("+0000", "UTC")
    text = f"{head}Components: {contents.component}\nDate: {date}\nSHA256:\n{sums}"
    (release / "Release").write_text(text)
    sign = ["gpg", "--batch", "--yes", "--local-user", contents.sign_key, "--output", str(release / "InRelease")]
    _must(system, [*sign, "--clearsign", str(release / "Release")], "signing the index")


def _stanzas(folder: Path, system: System) -> Iterable[str]:
    for deb in sorted((folder / POOL).iterdir()):
        fields = _must(system, ["dpkg-deb", "--field", str(deb)], f"reading {deb.name}").out.rstrip("\n")
        yield f"{fields}\nFilename: {POOL}/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {_sum(deb)}\n"


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _must(system: System, argv: list[str], what: str) -> Completed:
    done = system.run(argv, None)
    if done.status != 0:
        raise BundleError(f"{what} failed", done.output_tail.replace("\n", " | "), "fix this and run again")
    return done
