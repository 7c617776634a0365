"""The command line of ``installer/democloud``, and the cloud that it describes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from democloud.openstack.shape import RELEASES, SERVICES, SMALL, VOLUME_TYPES, Shape


def parser(commands: Iterable[str], description: str) -> argparse.ArgumentParser:
    """Return the parser for all commands; most options are those of ``up``."""
    result = argparse.ArgumentParser(prog="democloud", description=description)
    result.add_argument("command", choices=tuple(commands))
    result.add_argument("folder", type=Path)
    result.add_argument("--cache", type=Path, help="folder for software and prepared databases, kept between clouds")
    result.add_argument("--user", help="openrc: user to log in as (default: the administrator)")
    _add_services(result.add_argument_group("services (up)"))
    _add_variations(result.add_argument_group("variations of the whole cloud (up)"))
    return result


def _add_services(group: argparse._ArgumentGroup) -> None:
    every = f"(default: {','.join(SERVICES)})"
    group.add_argument("--services", type=_words, default=SERVICES, metavar="NAME,…", help=every)
    group.add_argument("--without", type=_words, default=(), metavar="NAME,…", help="leave out of --services")
    group.add_argument("--release", choices=RELEASES, default=RELEASES[0], help="OpenStack release (%(default)s)")
    group.add_argument("--run-as", metavar="ACCOUNT", help="user that runs the services of the small cloud")
    group.add_argument("--without-middleware", action="append", default=[], metavar="NAME",
                       help="leave out of the Swift of the small cloud (identity and object-store)")  # fmt: skip


def _add_variations(group: argparse._ArgumentGroup) -> None:
    types = f"service types of Cinder in the catalogue (default: {','.join(VOLUME_TYPES)})"
    group.add_argument("--catalog-volume", type=_words, default=VOLUME_TYPES, metavar="TYPE,…", help=types)
    group.add_argument("--second-region", default="", metavar="NAME", help="add a region whose services do not run")
    group.add_argument("--no-public-network", action="store_true", help="no external network")
    group.add_argument("--no-floating-ips", action="store_true", help="Neutron without routers and floating IPs")
    group.add_argument("--no-images", action="store_true", help="Glance without an image")
    group.add_argument("--no-ssh", action="store_true", help="servers do not answer SSH on their floating IPs")
    group.add_argument("--quota", type=int, default=0, metavar="N", help="servers, volumes, networks … of each project")
    group.add_argument("--users", type=int, default=0, metavar="N", help="make ordinary users, each with a project")
    group.add_argument("--tls", action="store_true", help="HTTPS with a certificate of a private CA")
    group.add_argument("--workers", type=int, default=2, metavar="N", help="processes of each API (%(default)s)")


def shape(asked: argparse.Namespace) -> Shape:
    """The whole cloud that was asked for.

    :raises CloudError: it names something unknown.
    """
    return Shape(
        services=_services(asked), release=asked.release, catalog_volume=asked.catalog_volume,
        second_region=asked.second_region, public_network=not asked.no_public_network,
        floating_ips=not asked.no_floating_ips, images=not asked.no_images, ssh=not asked.no_ssh, quota=asked.quota,
        users=asked.users, tls=asked.tls, workers=asked.workers,
    )  # fmt: skip


def is_small(asked: argparse.Namespace) -> bool:
    """Whether the small cloud has all that was asked for."""
    return set(_services(asked)) == SMALL and not (asked.tls or asked.users or asked.second_region)


def _services(asked: argparse.Namespace) -> tuple[str, ...]:
    return tuple(name for name in asked.services if name not in asked.without)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))
