"""Readers of the server's settings that need more than their type: addresses, networks, URLs, key files."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

from refstack_worker.config.values import Values
from refstack_worker.contract import tempest_options
from refstack_worker.contract.payload import check_callback
from refstack_worker.errors import ConfigError, PayloadError
from refstack_worker.gearman import DEFAULT_PORT, Address

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DATA_FOLDER = Path("/var/lib/refstack")
KEY_FOLDER = Path("/etc/refstack/keys")
FLEET = "fleet"
RECIPIENTS = (FLEET, "nodes")
METHODS = ("gearman", "local")
MEBIBYTE = 2**20
MAX_RESULT_MB = 2047
"""The ledger's column for a result's size is a 32-bit number."""


def servers(values: Values, name: str, default: tuple[Address, ...]) -> tuple[Address, ...]:
    port = int(values.number("GEARMAN_PORT", DEFAULT_PORT, 1, 65535))
    texts = values.texts(name, tuple(address.host for address in default))
    if not texts:
        raise values.wrong(name, "names no server")
    return tuple(Address.parse(text, port) for text in texts)


def method(values: Values, name: str, default: str) -> str:
    method = values.text(name, default).lower()
    if method not in METHODS:
        raise values.wrong(name, f"must be one of {', '.join(METHODS)}")
    return method


def recipients(values: Values, name: str, default: str) -> str:
    chosen = values.text(name, default).lower()
    if chosen not in RECIPIENTS:
        raise values.wrong(name, f"must be one of {', '.join(RECIPIENTS)}")
    return chosen


def database_url(values: Values, name: str, _: str) -> str:
    data = values.path("DATA_FOLDER", DATA_FOLDER).absolute()
    other = values.text("SQLALCHEMY_DATABASE_URI", f"sqlite:///{data}/refstack.sqlite")
    url = values.text(name, other)
    if "://" not in url:
        raise values.wrong(name, "must be an SQLAlchemy URL, e.g. postgresql://user:password@host/refstack")
    return url


def key_file(values: Values, name: str, default: Path) -> Path:
    return values.path(name, values.path("KEY_FOLDER", KEY_FOLDER) / default.name)


def address(values: Values, name: str, default: str) -> str:
    try:
        return check_callback(values.text(name, default))
    except PayloadError:
        raise values.wrong(name, "must be a base URL, e.g. https://refstack.example") from None


def networks(values: Values, name: str, default: tuple[Network, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in values.texts(name, tuple(map(str, default))))
    except ValueError as error:
        raise values.wrong(name, f"{error}; give addresses and networks, e.g. 10.1.0.0/16") from None


def mebibytes(values: Values, name: str, default: int) -> int:
    return int(values.number(name, default // MEBIBYTE, 1, MAX_RESULT_MB) * MEBIBYTE)


def url_beginnings(values: Values, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    urls = values.texts(name, default)
    for url in urls:
        if not url.startswith(("https://", "http://")) or url.count("/") < 3:
            raise values.wrong(name, f"{url}: give the beginning of a URL, e.g. https://opendev.org/openstack/")
    return urls


def url(values: Values, name: str, default: str) -> str:
    url = values.text(name, default)
    if url and not url.startswith(("https://", "http://")):
        raise values.wrong(name, "must be a URL, e.g. https://refstack.example")
    return url.rstrip("/")


def options(values: Values, name: str, _: Any) -> Mapping[str, Mapping[str, Any]]:
    options = values.sections(name)
    try:
        tempest_options.check(options)
        return tempest_options.with_known_sections(options)
    except PayloadError as error:
        raise ConfigError(f"{values.where}: {name}: {error}") from None


def testcases(values: Values, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return values.texts(name, default) or default
