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
        value = yaml.load(text.removeprefix("\ufeff"), Loader=text_loader(yaml))  # noqa: S506 - makes texts alone
    except (yaml.YAMLError, RecursionError):
        raise first from None
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise first
    return [without_null(one) for one in value]


def text_loader(yaml: Any, has_booleans: bool = False) -> Any:
    """Return a loader of PyYAML that makes texts of all values but null, and knows ``<<``.

    :param yaml: the module.
    :param has_booleans: whether ``true``, ``no`` and the like become booleans.
    """

    class TextLoader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}

    def resolve(kind: str, pattern: str, begins: list[str]) -> None:
        TextLoader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(rf"(?:{pattern})\Z"), begins)

    resolve("merge", "<<", ["<"])
    resolve("null", "~?|null|Null|NULL", ["~", "n", "N", ""])
    if has_booleans:
        words = ("yes", "no", "true", "false", "on", "off")
        resolve("bool", "|".join(f"{word}|{word.title()}|{word.upper()}" for word in words), [*"yYnNtTfFoO"])
    return TextLoader
