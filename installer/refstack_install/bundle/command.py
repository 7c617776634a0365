"""``refstack-install bundle``: makes a signed bundle on a machine that can reach the repositories."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from refstack_install.bundle import archive, collect
from refstack_install.errors import DONE
from refstack_install.hosts import os_release
from refstack_install.package_names import KEYRING, TEMPEST, WORKER
from refstack_install.reporter import write_line
from refstack_install.system import System

DEBIAN = "http://deb.debian.org/debian"
DEBIAN_KEY = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MAKERS = {"apt": collect.apt, "yum": collect.yum}


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format", choices=sorted(MAKERS), default="apt", help="make it for apt, or for dnf and zypper"
    )
    command.add_argument("--repository", required=True, metavar="URL", help="repository of the project's packages")
    command.add_argument("--key", required=True, type=Path, help="its public key (binary, as apt takes it)")
    command.add_argument("--suite", default="stable", help="its apt suite")
    command.add_argument(
        "--release", default="", help="release of the distribution (bookworm, 9); default: this machine's"
    )
    command.add_argument("--component", default="main")
    command.add_argument("--tempest", default="", metavar="VERSIONS", help="Tempest versions (separated by commas)")
    command.add_argument(
        "--mirror", default=DEBIAN, help="mirror of the distribution; empty: the repository has every dependency"
    )
    command.add_argument("--mirror-key", type=Path, default=DEBIAN_KEY, help="public key of that mirror")
    command.add_argument("--sign-key", required=True, metavar="ID", help="gpg key to sign the bundle with")
    command.add_argument("--output", required=True, type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Make the bundle and print its size. :raises BundleError: it cannot be made."""
    system = System()
    versions = [version.strip() for version in args.tempest.split(",") if version.strip()]
    repository = f"file://{args.repository}" if args.repository.startswith("/") else args.repository
    contents = collect.BundleContents(
        repository=repository,
        key=args.key.resolve(),
        suite=args.suite,
        release=args.release or os_release.read(system).codename,
        component=args.component,
        packages=(WORKER, *(TEMPEST + version for version in versions)),
        optional=(KEYRING,),
        mirror=args.mirror,
        mirror_key=args.mirror_key,
        sign_key=args.sign_key,
    )
    with tempfile.TemporaryDirectory(prefix="refstack-bundle-") as scratch:
        tree = Path(scratch, "tree")
        count = MAKERS[args.format](contents, tree, Path(scratch, "work"), system)
        archive.write(tree, args.output, system, args.sign_key)
    write_line(f"{args.output}: {count} packages, {args.output.stat().st_size / 1e6:.1f} MB", sys.stdout)
    return DONE
