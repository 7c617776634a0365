"""Accounts of the cloud that a vendor prepared for the tests, as Tempest's ``accounts.yaml`` lists them.

In a run's options each account is a section of its own, ``account.1``, ``account.2`` and so on, so that its password is
sealed, masked and erased as every other password is.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refstack_worker.contract.text_files import lines_of

ACCOUNT_OPTIONS = frozenset(
    {
        "username",
        "user_id",
        "password",
        "project_name",
        "project_id",
        "domain_name",
        "domain_id",
        "user_domain_name",
        "user_domain_id",
        "project_domain_name",
        "project_domain_id",
        "roles",
        "types",
        "network",
    }
)
MAX_ACCOUNTS = 200
_TOLD_APART_BY = ("username", "user_id", "password", "project_name", "project_id")
"""What differs in accounts that Tempest tells apart, and the ids by which Keystone is asked for it: not the domain."""
_DOMAINS = ("domain_name", "domain_id", "user_domain_name", "user_domain_id")
_SECTION = re.compile(r"account\.([1-9][0-9]{0,3})")
_QUOTES_AFTER = ("", ":", "-", "[", ",", "{")
"""Behind what a quote begins a text; elsewhere it is a letter of one, as in ``it's``."""
_NULL = re.compile(r"~?|null|Null|NULL")
_SINGLE_QUOTED = re.compile(r"'(?:[^']|'')*'")
_NOT_READ = {
    "&": "an anchor", "*": "an alias", "!": "a tag", "|": "a block of lines", ">": "a block of lines",
    "{": "a mapping", "@": "a reserved character", "%": "a reserved character", "`": "a reserved character",
}  # fmt: skip
"""Characters that begin what is not a plain value in YAML: taken as text, they would become part of a password."""
_OLDER_NAMES = {"tenant_name": "project_name", "tenant_id": "project_id"}


def is_account_section(section: str) -> bool:
    """Return whether a section of options is an account."""
    return _SECTION.fullmatch(section) is not None


def accounts_in(conf: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the accounts in a run's options, in their order."""
    found = [(int(match.group(1)), dict(conf[name])) for name in conf if (match := _SECTION.fullmatch(name))]
    return [account for _, account in sorted(found, key=lambda one: one[0])]


def different_accounts(accounts: Sequence[dict[str, Any]]) -> list[int]:
    """Return the places of accounts that Tempest tells apart: by user, password and project, and not by domain.

    As in Tempest, each gets the roles and types of those that repeat it. Where no project is set, which one Keystone
    finds depends on the domain too.
    """
    first: dict[tuple[str, ...], int] = {}
    for place, account in enumerate(accounts):
        has_project = account.get("project_name") or account.get("project_id")
        names = _TOLD_APART_BY if has_project else (*_TOLD_APART_BY, *_DOMAINS)
        known = accounts[first.setdefault(tuple(str(account.get(name) or "") for name in names), place)]
        for name in ("roles", "types"):
            if known is not account and name in account:
                known[name] = list(dict.fromkeys([*_listed(known.get(name)), *_listed(account[name])]))
    return list(first.values())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def without_accounts(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a run's options without the accounts: what belongs into ``tempest.conf``."""
    return {section: dict(options) for section, options in conf.items() if not is_account_section(section)}


def account_sections(accounts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return accounts as sections of a run's options.

    :raises ValueError: an account lacks its name or password, or has a field that is not known.
    """
    if not 1 <= len(accounts) <= MAX_ACCOUNTS:
        raise ValueError(f"{len(accounts)} accounts; 1 to {MAX_ACCOUNTS} are allowed")
    return {f"account.{number}": _options(account, number) for number, account in enumerate(accounts, 1)}


def read_accounts(text: str) -> list[dict[str, Any]]:
    """Return the accounts in the text of an ``accounts.yaml``, or of the same list in JSON; null sets nothing.

    :raises ValueError: it is neither.
    """
    text = text.lstrip("\ufeff")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = list(_yaml_items(text))
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise ValueError("not a list of accounts, each with username and password")
    return [without_null(one) for one in value]


def without_null(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return an account without what is null: Tempest reads it as not set."""
    return {name: value for name, value in account.items() if value is not None}


def tempest_account(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return an account as Tempest reads it: the network is a resource of it."""
    entry = {name: value for name, value in account.items() if name != "network" and value not in (None, "")}
    if account.get("network"):
        entry["resources"] = {"network": account["network"]}
    return entry


def _options(account: Mapping[str, Any], number: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in account.items():
        if name == "resources" and isinstance(value, Mapping):
            options.update({key: one for key, one in value.items() if key == "network" and one is not None})
            continue
        is_single = name in ("roles", "types") and isinstance(value, str)
        options[_OLDER_NAMES.get(name, name)] = [value] if is_single else value
    if "system" in options:
        raise ValueError(f"account {number}: an account of the system (system: all) cannot be used; give it a project")
    unknown = sorted(map(str, set(options) - ACCOUNT_OPTIONS))
    if unknown:
        raise ValueError(
            f"account {number}: unknown field {unknown[0]}; known fields: {', '.join(sorted(ACCOUNT_OPTIONS))}"
        )
    if not (options.get("username") or options.get("user_id")) or not options.get("password"):
        raise ValueError(f"account {number}: username and password are required")
    return options


def _yaml_items(text: str) -> Iterator[dict[str, Any]]:
    """Yield the accounts of the YAML that ``accounts.yaml`` is written in: a list of flat mappings.

    A value is a scalar, a list in brackets or below its key, or the one mapping ``resources``.
    """
    item: dict[str, Any] | None = None
    key, dash, depth, number = "", 0, 0, 0
    for line in lines_of(text):
        content = _without_comment(line).rstrip()
        if not content.strip() or content.strip() in ("---", "..."):
            continue
        indent = len(content) - len(content.lstrip())
        word = content.strip()
        begins = re.match(r"-\s+(?=['\"]?[A-Za-z_]+['\"]?:(\s|$))", word)
        if begins and (item is None or indent <= dash or not key):
            if item is not None:
                yield _filled(item)
            # some editors write more than one space behind the dash
            item, dash, depth, key, number = {}, indent, indent + begins.end(), "", number + 1
            word = word[begins.end() :]
            indent = depth
        if item is None:
            raise ValueError("neither JSON nor the YAML of an accounts file, which begins with '- username: …'")
        try:
            key = _yaml_line(item, key, word, indent > depth)
        except ValueError as error:
            raise ValueError(f"account {number}: {error}") from None
    if item is not None:
        yield _filled(item)


def _filled(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an account without the keys that no value followed."""
    return {name: value for name, value in item.items() if value != {}}


def _without_comment(line: str) -> str:
    """Return a line without the comment at its end: one that is neither in quotes nor part of a word."""
    quote = last = ""
    escaped = False
    for at, letter in enumerate(line):
        if quote:
            if escaped or (quote == '"' and letter == "\\"):
                escaped = not escaped
            elif letter == quote:
                # a doubled quote ends the text and begins it again
                quote, last = "", letter
        elif letter in "'\"" and (last in _QUOTES_AFTER or last == letter == line[at - 1]):
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at]
        elif not letter.isspace():
            last = "x" if letter in "'\"" else letter
    return line


def _yaml_line(item: dict[str, Any], key: str, word: str, is_nested: bool) -> str:
    """Take one line of an account; returns the key that the next lines may continue."""
    if word.startswith("- ") and key:
        if item.get(key) in (None, {}):
            item[key] = []
        if not isinstance(item[key], list):
            raise ValueError(f"{key}: a value and a list below it")
        item[key].append(_scalar(word[2:], key))
        return key
    match = re.match(r"['\"]?([A-Za-z_]+)['\"]?:(?:\s+(.*))?$", word)
    if not match:
        raise ValueError("a line 'name: value' is expected")
    name, text = match.group(1), (match.group(2) or "").strip()
    if is_nested and key and isinstance(item.get(key), dict):
        item[key][name] = _scalar(text, name)
        return key
    if name == "resources" and text.startswith("{"):
        item[name] = _flow_mapping(text, name)
    else:
        item[name] = _scalar(text, name) if text else {}
    return name


def _scalar(text: str, name: str) -> Any:
    """Return the value that a text means; None for null.

    :raises ValueError: it is none that is read here, naming the field and never its value.
    """
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        parts = [part.strip() for part in _flow_parts(text[1:-1], name) if part.strip()]
        if any(part.startswith("[") for part in parts):
            raise ValueError(f"{name}: a list in a list is not a valid value of an account")
        return [_scalar(part, name) for part in parts]
    if _SINGLE_QUOTED.fullmatch(text):
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f"{name}: the text in double quotes is not valid; use single quotes") from None
    if text[:1] in ("'", '"'):
        raise ValueError(f"{name}: the text in quotes does not end in its line, or something follows it")
    if what := _NOT_READ.get(text[:1]):
        raise ValueError(
            f"{name}: {what} ({text[0]}) is not read here; write the value itself, in quotes if it begins so"
        )
    return None if _NULL.fullmatch(text) else text


def _flow_mapping(text: str, name: str) -> dict[str, Any]:
    found = {}
    if not text.endswith("}"):
        raise ValueError(f"{name}: a mapping in braces has to end in its line")
    for part in filter(str.strip, _flow_parts(text[1:-1], name)):
        match = re.match(r"(['\"]?)([A-Za-z_]+)\1:(?:\s+|(?=['\"])|\Z)(.*)\Z", part.strip())
        if not match:
            raise ValueError(f"{name}: a mapping {{name: value}} is expected")
        found[match.group(2)] = _scalar(match.group(3), name)
    return found


def _flow_parts(text: str, name: str) -> Iterator[str]:
    """Yield what stands between the commas, but for those in quotes."""
    begin, quote, opened, is_start, escaped = 0, "", "", True, False
    for at, letter in enumerate(text):
        if quote:
            if escaped or (quote == '"' and letter == "\\"):
                escaped = not escaped
            elif letter == quote:
                quote = ""
            continue
        if letter == ",":
            yield text[begin:at]
            begin, opened = at + 1, ""
        elif letter in "'\"" and (is_start or opened == letter == text[at - 1]):
            # a doubled quote ends the text and begins it again
            quote = opened = letter
        is_start = letter in ",:" or (is_start and letter.isspace())
    if quote:
        raise ValueError(f"{name}: a quote is not closed")
    yield text[begin:]
