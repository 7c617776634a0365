"""Read guideline files of the interop working group: schemas 1.2 to 2.0, and add-ons.

Schema 1.x has ``platform`` over ``components``, 2.0 has ``platforms`` over ``components``, and an add-on of schema 2.0
has ``add-ons`` in their place. The schemas are described in the working group's ``doc/source/schema``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from refstack_worker.contract import strict_json
from refstack_worker.contract.testcases import MAX_TEST_NAME
from refstack_worker.errors import PayloadError, UsageError
from refstack_worker.server.domain.guidelines import (
    ADVISORY,
    KINDS,
    REQUIRED,
    Capability,
    Guideline,
    GuidelineTest,
    Program,
)

MAX_BYTES = 4 * 1024 * 1024
"""Of a guideline file; real ones have about 150 KB."""
MAX_PROGRAMS = 50
MAX_LISTED = 5000
"""Capabilities that one program lists, with repetitions. Both are many times what real files have: programs may list
the same components, so that what a short file means may be thousands of times as long."""
MAX_NAME = 60
_UUID = re.compile(r"(?<![0-9a-f])([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f-])")
_NAME = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._ -]{{0,{MAX_NAME - 2}}}[A-Za-z0-9])?")
_SCHEMA = re.compile(r"[12]\.[0-9]{1,3}\Z")
_PLATFORM = "OpenStack Powered Platform"
_PROGRAM_1 = {"compute": "OpenStack Powered Compute", "object": "OpenStack Powered Storage"}
"""Schema 1.x names components; the programs' names are those of the trademark."""
_TARGETS = {_PLATFORM: "platform", **{name: target for target, name in _PROGRAM_1.items()}}
_COMPONENT = "os_powered_"


def parse(text: str, what: str = "guideline", name: str = "") -> Guideline:
    """Return the guideline in a file's text.

    :param name: takes the place of the name in the file, where upstream wrote a wrong one.
    :raises UsageError: it is not a guideline that can be read.
    """
    if len(text) > MAX_BYTES:
        raise UsageError(f"{what}: larger than {MAX_BYTES} bytes")
    try:
        value = strict_json.loads(text.removeprefix("\ufeff"), what)
    except PayloadError as error:
        raise UsageError(str(error)) from None
    try:
        return _guideline(value, name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{what}: not a guideline of schema 1.2 to 2.0: {_trouble(error)}") from None


def check_name(name: str) -> str:
    """Return the name of a guideline. :raises ValueError: it cannot be one."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"its name must be 1 to {MAX_NAME} letters, digits, dots, dashes and spaces, e.g. 2020.06")
    return name


def plain(name: str) -> str:
    """Return a name in the form in which two that look alike are the same."""
    return re.sub(r"[^a-z0-9]", "", name.casefold().removesuffix(".json"))


def _guideline(value: Mapping[str, Any], name: str) -> Guideline:
    if not isinstance(value, Mapping):
        raise ValueError("it is not a JSON object")
    metadata = value.get("metadata") or {}
    schema = str(metadata.get("schema") or value["schema"])
    if not _SCHEMA.match(schema):
        raise ValueError(f"schema {schema[:20]}")
    capabilities = {key: _capability(key, item) for key, item in value["capabilities"].items()}
    read = _programs_2 if schema.startswith("2") else _programs_1
    offered = ("platforms", "add-ons") if read is _programs_2 else ("components",)
    if sum(len(value.get(name) or ()) for name in offered) > MAX_PROGRAMS:
        raise ValueError(f"it has more than {MAX_PROGRAMS} programs")
    programs = read(value, capabilities)
    if not programs:
        raise ValueError("it has no program")
    own = str(metadata.get("id") or value.get("id") or "").removesuffix(".json")
    approval = metadata.get("os_trademark_approval") or value
    releases = tuple(str(release).lower() for release in _list(approval, "releases", "the guideline"))
    return Guideline(check_name(name or own), schema, programs, releases, _references(value))


def _references(value: Mapping[str, Any]) -> dict[str, str]:
    repositories = value.get("test_repositories") or value.get("test-repositories") or {}
    found = {name: about.get("reference") or about.get("git-sha") for name, about in repositories.items()}
    return {name: str(commit) for name, commit in found.items() if commit}


def _programs_2(value: Mapping[str, Any], capabilities: Mapping[str, Capability]) -> dict[str, Program]:
    # an add-on's further components, "required_platform_components", are programs of the guideline beside it
    programs = {}
    for name, about in value["platforms"].items() if "platforms" in value else ():
        programs[name] = _program_2(value, name, about, capabilities)
    for name, about in value["add-ons"].items() if "add-ons" in value else ():
        title = name if name.startswith("OpenStack") else f"OpenStack with {name}"
        programs[title] = _program_2(value, title, about, capabilities)
    if not programs and not {"platforms", "add-ons"} & set(value):
        raise ValueError("it has neither platforms nor add-ons")
    return programs


def _program_2(
    value: Mapping[str, Any], name: str, about: Mapping[str, Any], capabilities: Mapping[str, Capability]
) -> Program:
    listed = _list(about, "components", name[:80])
    if len(listed) > MAX_LISTED:
        raise ValueError(f"{name[:80]} has more than {MAX_LISTED} components")
    components = [_component(value, item) for item in listed]
    target = _TARGETS.get(name) or _name(about["components"][0]).removeprefix(_COMPONENT)
    return _program((name, str(about.get("description", "")), target), components, capabilities)


def _component(value: Mapping[str, Any], item: Any) -> Mapping[str, Any]:
    name = _name(item)
    found: Mapping[str, Any] | None = value["components"].get(name)
    if found is None:
        source = item.get("source", "") if isinstance(item, Mapping) else ""
        raise ValueError(f"its component {name} is in another file{f', {source}' if source else ''}")
    return found["capabilities"]  # type: ignore[no-any-return]


def _programs_1(value: Mapping[str, Any], capabilities: Mapping[str, Capability]) -> dict[str, Program]:
    components = value["components"]
    if isinstance(components, list):
        raise ValueError("schema before 1.2")
    whole = [components[name] for name in value["platform"]["required"]]
    programs = {_PLATFORM: _program((_PLATFORM, "", "platform"), whole, capabilities)}
    for name, part in components.items():
        title = _PROGRAM_1.get(name, name)
        programs[title] = _program((title, "", name), [part], capabilities)
    return programs


def _program(
    about: tuple[str, str, str], parts: Iterable[Mapping[str, Any]], known: Mapping[str, Capability]
) -> Program:
    listed = list(parts)
    if sum(len(_list(part, kind, about[0][:80])) for part in listed for kind in KINDS) > MAX_LISTED:
        raise ValueError(f"{about[0][:80]} lists more than {MAX_LISTED} capabilities")
    names = {kind: dict.fromkeys(_name(item) for part in listed for item in part.get(kind, ())) for kind in KINDS}
    kinds = {kind: tuple(_known(name, kind, known) for name in of_kind) for kind, of_kind in names.items()}
    return Program(*about, kinds)


def _known(name: str, kind: str, known: Mapping[str, Capability]) -> Capability:
    # official files do not describe all the capabilities that they removed
    return known[name] if kind in (REQUIRED, ADVISORY) else known.get(name, Capability(name))


def _name(item: Any) -> str:
    return str(item["name"] if isinstance(item, Mapping) else item)


def _capability(name: str, item: Mapping[str, Any]) -> Capability:
    tests = item.get("tests") or {}
    if isinstance(tests, Mapping):
        read = tuple(_test(test, about or {}) for test, about in tests.items())
    else:
        # schema 1.2: a list of names, and beside it a list of those that are flagged
        whose = f"the capability {name[:80]}"
        flagged = {_split(test)[0] for test in _list(item, "flagged", whose)}
        read = tuple(_listed(test, flagged) for test in _list(item, "tests", whose))
    return Capability(name, str(item.get("description", "")), read)


def _listed(test: str, flagged: set[str]) -> GuidelineTest:
    name, uuid = _split(test)
    return GuidelineTest(name, uuid, flagged=name in flagged)


def _test(name: str, about: Mapping[str, Any]) -> GuidelineTest:
    plain, inside = _split(name)
    listed = _list(about, "aliases", f"the test {plain[:80]}")
    aliases = tuple(dict.fromkeys(_split(alias)[0] for alias in listed))
    return GuidelineTest(plain, _uuid(about.get("idempotent_id")) or inside, aliases, bool(about.get("flagged")))


def _list(about: Mapping[str, Any], field: str, whose: str) -> list[Any]:
    """Return a list that may be left out. :raises ValueError: it is not a list; a string would be read by letters."""
    value = about.get(field) or []
    if not isinstance(value, list):
        raise ValueError(f"{field!r} of {whose} is not a list")
    return value


def _split(test: str) -> tuple[str, str]:
    name, _, attributes = test.partition("[")
    name = name.strip()
    if len(name) > MAX_TEST_NAME:
        raise ValueError(f"the test name {name[:60]}… has {len(name)} characters; the limit is {MAX_TEST_NAME}")
    return name, _uuid(attributes)


def _uuid(text: Any) -> str:
    """Return the id in a text, whatever stands around it: ``id-…``, ``id-…,smoke``, a blank."""
    found = _UUID.search(str(text or "").lower())
    return found.group(1) if found else ""


def _trouble(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)
