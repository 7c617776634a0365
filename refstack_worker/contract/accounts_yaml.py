"""Reads an ``accounts.yaml`` in any form of YAML, for programs that read their own user's files.

The server reads accounts by :func:`read_accounts` alone, whose effort hostile text cannot raise. PyYAML is used where
it is installed. Standard library alone besides: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from refstack_worker.contract.accounts import read_accounts, without_null


def read_accounts_yaml(text: str) -> list[dict[str, Any]]:
    """Return the accounts in a text: JSON, the YAML of Tempest's sample or, with PyYAML, any other.

    :raises ValueError: it is neither.
    """
    try:
        return read_accounts(text)
    except ValueError as error:
        try:
            yaml = importlib.import_module("yaml")
        except ImportError:
            raise error from None
        first = error
    try:
        # every scalar as the text that stands there: the password 0123 must not become a number
        value = yaml.load(text.removeprefix("\ufeff"), Loader=_loader(yaml))  # noqa: S506 - makes texts alone
    except (yaml.YAMLError, RecursionError):
        raise first from None
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise first
    return [without_null(one) for one in value]


def _loader(yaml: Any) -> Any:
    """Return a loader that makes texts of all values but null, and knows ``<<``: what to take over from an account."""

    class TextLoader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}

    TextLoader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
    TextLoader.add_implicit_resolver(
        "tag:yaml.org,2002:null", re.compile(r"(?:~?|null|Null|NULL)\Z"), ["~", "n", "N", ""]
    )
    return TextLoader
