"""Which servers a run's options name. The passwords that a cloud stores must not get to another than its own.

Any option may be an address to which a plugin sends the passwords, so all are compared but those listed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from refstack_worker.contract.accounts import is_account_section
from refstack_worker.contract.keystone_address import ascii_name, is_same_server
from refstack_worker.contract.tempest_options import as_oslo_reads

Options = Mapping[str, Mapping[str, Any]]

_DOWNLOADS = {
    "image": ("http_image", "http_qcow2_image"),
    "baremetal": (
        "whole_disk_image_url",
        "ramdisk_iso_image_ref",
        "firmware_image_url",
        "firmware_rollback_image_url",
        "anaconda_image_ref",
        "anaconda_kernel_ref",
        "anaconda_initial_ramdisk_ref",
        "anaconda_stage2_ramdisk_ref",
    ),
}
HARMLESS = frozenset((section, option) for section, options in _DOWNLOADS.items() for option in options)
"""Options with the URL of a file that the cloud's own services fetch, without any of the passwords."""

_KEYSTONE = frozenset({("identity", "uri"), ("identity", "uri_v3")})
_ADDRESS_NAME = re.compile(r"(?:.*_)?(?:urls?|uris?|href|proxy|proxies)(?:_v\d)?\Z")
"""Names of options whose value is an address even if it has no scheme, which some libraries do without."""
_SWITCHES = frozenset({"", "0", "1", "true", "false", "yes", "no", "on", "off", "none"})
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_MAX_SCHEME = 10
_AUTHORITY = re.compile(r"[^/?#\\]*")
_PLAIN_AUTHORITY = re.compile(r"[A-Za-z0-9._\-]+(?::[0-9]+)?\Z|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?\Z")
"""A host with a port. In anything else, libraries may see different servers."""


def keystone_elsewhere(conf: Options, endpoint: str) -> list[str]:
    """Return the options that say where Keystone is and name another server than ``endpoint``."""
    return [
        f"{section}.{option}"
        for section, option, value in _options(conf)
        if as_oslo_reads(section, option) in _KEYSTONE and value and not _is_on(str(value), [endpoint])
    ]


def elsewhere(given: Options, stored: Options, endpoint: str) -> list[str]:
    """Return the options in ``given`` with an address of a server that the cloud does not name for this option.

    :param stored: the options that the cloud stores; it may name other servers, such as its dashboard.
    :param endpoint: Keystone URL of the cloud.
    """
    known: dict[tuple[str, str], list[str]] = {}
    for section, option, value in _options(stored):
        known.setdefault(as_oslo_reads(section, option), []).append(_text(value))
    found = []
    for section, option, value in _options(given):
        key = as_oslo_reads(section, option)
        if key in HARMLESS or key in _KEYSTONE:
            continue
        text, same = _text(value), known.get(key, [])
        if text not in same and not all(_is_on(one, [endpoint, *same]) for one in _addresses(key[1], text)):
            found.append(f"{section}.{option}")
    return found


def _options(conf: Options) -> Iterator[tuple[str, str, Any]]:
    for section, values in conf.items():
        if not is_account_section(section):
            for option, value in values.items():
                yield section, option, value


def _text(value: Any) -> str:
    """Return a value as ``tempest.conf`` has it, where a list is one text."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _addresses(name: str, value: str) -> Iterator[str]:
    """Yield the addresses in a value, each up to the end of the value: plugins differ in where an address ends."""
    text = value.strip()
    for match in re.finditer("://", text):
        scheme = _SCHEME.search(text[max(0, match.start() - _MAX_SCHEME) : match.start()])
        yield (scheme.group() if scheme else "") + text[match.start() :]
    is_path = text.startswith("/") and text[1:2] not in ("/", "\\")
    is_named = _ADDRESS_NAME.match(name) and text.lower() not in _SWITCHES and not _HTTP.match(text) and not is_path
    if is_named or text.startswith(("//", "\\")):
        yield text


def _is_on(address: str, servers: list[str]) -> bool:
    authority = _AUTHORITY.match(address.partition("://")[2])
    host, colon, port = authority.group().partition(":") if authority else ("", "", "")
    if not _PLAIN_AUTHORITY.match(f"{ascii_name(host)}{colon}{port}"):
        return False
    return any(is_same_server(address, server) for server in servers)
