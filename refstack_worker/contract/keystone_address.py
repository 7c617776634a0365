"""The address of a cloud's Keystone, as people have it. Standard library alone: ``execute_test`` uses it too."""

from __future__ import annotations

import re

_VERSION = re.compile(r"/v(?:2\.0|3)\Z")


def v3_address(address: str) -> str:
    """Return the address of the v3 API: openrc files and clouds.yaml often name no version, or ``/v2.0``."""
    return f"{_VERSION.sub('', address.rstrip('/'))}/v3"
