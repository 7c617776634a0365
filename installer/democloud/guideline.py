"""The tests that an interoperability guideline requires, out of its JSON (given by path or URL, never kept here)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from democloud.ports import CloudError

TIMEOUT_SECONDS = 60.0


def required_tests(source: str, component: str) -> list[str]:
    """Idempotent ids (``id-<uuid>``) of the tests that every cloud with this component has to pass.

    :param source: path or http(s) address of a guideline, schema 1.5 or 2.0.
    :param component: as the guideline calls it, such as ``os_powered_storage``.
    :raises CloudError: it cannot be read or has no such component.
    """
    guideline = read(source)
    try:
        components = guideline["components"]
        if component not in components:
            raise CloudError(f"{source}: has no component {component}; it has {', '.join(sorted(components))}")
        ids = [
            str(test["idempotent_id"])
            for capability in components[component]["capabilities"]["required"]
            for test in guideline["capabilities"][capability]["tests"].values()
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise CloudError(
            f"{source}: not a guideline with components and capabilities ({error!r} is missing)"
        ) from error
    return list(dict.fromkeys(ids))


def read(source: str) -> Any:
    """A guideline's JSON.

    :param source: path or http(s) address.
    :raises CloudError: it cannot be read.
    """
    try:
        if source.startswith(("http://", "https://")):
            with urllib.request.urlopen(source, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http(s) alone
                return json.load(answer)
        return json.loads(Path(source).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CloudError(f"{source}: cannot be read as a guideline: {error}") from error
