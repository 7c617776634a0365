"""``refstack-install bundle``: make a signed bundle, on a machine that reaches the repositories."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from refstack_install import bundle, bundle_make, osrelease
from refstack_install.errors import DONE
from refstack_install.steps.packages import KEYRING, TEMPEST, WORKER
from refstack_install.system import System

DEBIAN = "http://deb.debian.org/debian"
DEBIAN_KEY = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MAKERS = {"apt": bundle_make.apt, "yum": bundle_make.yum}


def arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument(
        "--format", choices=sorted(MAKERS), default="apt", help="packages for apt, or for dnf and zypper"
    )
    command.add_argument("--repository", required=True, metavar="URL", help="the repository of the project's packages")
    command.add_argument("--key", required=True, type=Path, help="its public key (binary, as apt takes it)")
    command.add_argument("--suite", default="stable", help="its apt suite")
    command.add_argument(
        "--release", default="", help="the distribution's release (bookworm, 9); empty: this machine's"
    )
    command.add_argument("--component", default="main")
    command.add_argument("--tempest", default="", metavar="VERSIONS", help="Tempest versions (comma between)")
    command.add_argument("--mirror", default=DEBIAN, help="the distribution's packages; empty: the repository has all")
    command.add_argument("--mirror-key", type=Path, default=DEBIAN_KEY, help="key of that mirror")
    command.add_argument("--sign-key", required=True, metavar="ID", help="gpg key to sign the bundle with")
    command.add_argument("--output", required=True, type=Path, metavar="FILE")


def run(asked: argparse.Namespace) -> int:
    """Make the bundle and say what is in it. :raises BundleError: it cannot be made."""
    system = System()
    versions = [version.strip() for version in asked.tempest.split(",") if version.strip()]
    repository = f"file://{asked.repository}" if asked.repository.startswith("/") else asked.repository
    wanted = bundle_make.Wanted(
        repository=repository,
        key=asked.key.resolve(),
        suite=asked.suite,
        release=asked.release or osrelease.read(system).codename,
        component=asked.component,
        packages=(WORKER, *(TEMPEST + version for version in versions)),
        optional=(KEYRING,),
        mirror=asked.mirror,
        mirror_key=asked.mirror_key,
        sign_key=asked.sign_key,
    )
    with tempfile.TemporaryDirectory(prefix="refstack-bundle-") as scratch:
        tree = Path(scratch, "tree")
        count = MAKERS[asked.format](wanted, tree, Path(scratch, "work"), system)
        bundle.write(tree, asked.output, system, asked.sign_key)
    print(f"{asked.output}: {count} packages, {asked.output.stat().st_size / 1e6:.1f} MB")
    return DONE
