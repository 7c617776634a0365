"""Read guideline files of the interop working group: schemas 1.2 to 2.0, and add-ons.

Schema 1.x has ``platform`` over ``components``, 2.0 has ``platforms`` over ``components``, and an add-on of schema 2.0
has ``add-ons`` in their place. The schemas are described in the working group's ``doc/source/schema``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from refstack_worker.contract import strict_json
from refstack_worker.contract.limits import MAX_GUIDELINE_BYTES
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

MAX_BYTES = MAX_GUIDELINE_BYTES
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
    except (KeyError, ValueError) as error:
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
    metadata = _object(value.get("metadata") or {}, "'metadata'")
    schema = str(metadata.get("schema") or value["schema"])
    if not _SCHEMA.match(schema):
        raise ValueError(f"schema {schema[:20]}")
    described = _object(value["capabilities"], "'capabilities'").items()
    capabilities = {key: _capability(key, _object(item, f"the capability {key[:80]}")) for key, item in described}
    read = _programs_2 if schema.startswith("2") else _programs_1
    programs = read(value, capabilities)
    if not programs:
        raise ValueError("it has no program")
    own = str(metadata.get("id") or value.get("id") or "").removesuffix(".json")
    approval = _object(metadata.get("os_trademark_approval") or value, "'os_trademark_approval'")
    releases = tuple(release.lower() for release in _texts(approval, "releases", "the guideline"))
    return Guideline(check_name(name or own), schema, programs, releases, _references(value))


def _references(value: Mapping[str, Any]) -> dict[str, str]:
    repositories = _object(
        value.get("test_repositories") or value.get("test-repositories") or {}, "'test_repositories'"
    )
    described = {name: _object(about, f"the test repository {name[:80]}") for name, about in repositories.items()}
    found = {name: about.get("reference") or about.get("git-sha") for name, about in described.items()}
    return {name: str(commit) for name, commit in found.items() if commit}


def _programs_2(value: Mapping[str, Any], capabilities: Mapping[str, Capability]) -> dict[str, Program]:
    # an add-on's further components, "required_platform_components", are programs of the guideline beside it
    platforms, add_ons = (
        {} if value.get(field) is None else _object(value[field], f"'{field}'") for field in ("platforms", "add-ons")
    )
    if not {"platforms", "add-ons"} & set(value):
        raise ValueError("it has neither platforms nor add-ons")
    _check_number(len(platforms) + len(add_ons))
    titles = {name: name if name.startswith("OpenStack") else f"OpenStack with {name}" for name in add_ons}
    offered = {**platforms, **{title: add_ons[name] for name, title in titles.items()}}
    return {
        name: _program_2(value, name, _object(about, f"the program {name[:80]}"), capabilities)
        for name, about in offered.items()
    }


def _check_number(programs: int) -> None:
    if programs > MAX_PROGRAMS:
        raise ValueError(f"it has more than {MAX_PROGRAMS} programs")


def _program_2(
    value: Mapping[str, Any], name: str, about: Mapping[str, Any], capabilities: Mapping[str, Capability]
) -> Program:
    whose = name[:80]
    listed = _list(about, "components", whose)
    if not listed:
        raise ValueError(f"{whose} has no components")
    if len(listed) > MAX_LISTED:
        raise ValueError(f"{whose} has more than {MAX_LISTED} components")
    described = _object(value["components"], "'components'")
    components = [_component(described, item, whose) for item in listed]
    target = _TARGETS.get(name) or _name(listed[0], "components", whose).removeprefix(_COMPONENT)
    return _program((name, _description(about), target), components, capabilities)


def _component(components: Mapping[str, Any], item: Any, whose: str) -> Mapping[str, Any]:
    name = _name(item, "components", whose)
    if name not in components:
        source = item.get("source", "") if isinstance(item, Mapping) else ""
        raise ValueError(f"its component {name} is in another file{f', {source}' if source else ''}")
    found = _object(components[name], f"the component {name[:80]}")
    return _object(found["capabilities"], f"'capabilities' of the component {name[:80]}")


def _programs_1(value: Mapping[str, Any], capabilities: Mapping[str, Capability]) -> dict[str, Program]:
    if isinstance(value["components"], list):
        raise ValueError("schema before 1.2")
    described = _object(value["components"], "'components'")
    _check_number(len(described))
    components = {name: _object(part, f"the component {name[:80]}") for name, part in described.items()}
    platform = _object(value["platform"], "'platform'")
    whole = [components[name] for name in _names(platform, "required", "the platform")]
    programs = {_PLATFORM: _program((_PLATFORM, "", "platform"), whole, capabilities)}
    for name, part in components.items():
        title = _PROGRAM_1.get(name, name)
        programs[title] = _program((title, "", name), [part], capabilities)
    return programs


def _program(
    about: tuple[str, str, str], parts: Iterable[Mapping[str, Any]], known: Mapping[str, Capability]
) -> Program:
    listed, whose = list(parts), about[0][:80]
    if sum(len(_list(part, kind, whose)) for part in listed for kind in KINDS) > MAX_LISTED:
        raise ValueError(f"{whose} lists more than {MAX_LISTED} capabilities")
    names = {kind: dict.fromkeys(name for part in listed for name in _names(part, kind, whose)) for kind in KINDS}
    kinds = {kind: tuple(_known(name, kind, known) for name in of_kind) for kind, of_kind in names.items()}
    return Program(*about, kinds)


def _known(name: str, kind: str, known: Mapping[str, Capability]) -> Capability:
    # official files do not describe all the capabilities that they removed
    return known[name] if kind in (REQUIRED, ADVISORY) else known.get(name, Capability(name))


def _capability(name: str, item: Mapping[str, Any]) -> Capability:
    tests = item.get("tests") or {}
    if isinstance(tests, Mapping):
        read = tuple(_test(test, _object(about or {}, f"the test {test[:80]}")) for test, about in tests.items())
    else:
        # schema 1.2: a list of names, and beside it a list of those that are flagged
        whose = f"the capability {name[:80]}"
        flagged = {_split(test)[0] for test in _texts(item, "flagged", whose)}
        read = tuple(_listed(test, flagged) for test in _texts(item, "tests", whose))
    return Capability(name, _description(item), read)


def _listed(test: str, flagged: set[str]) -> GuidelineTest:
    name, uuid = _split(test)
    return GuidelineTest(name, uuid, flagged=name in flagged)


def _test(name: str, about: Mapping[str, Any]) -> GuidelineTest:
    plain, inside = _split(name)
    listed = _texts(about, "aliases", f"the test {plain[:80]}")
    aliases = tuple(dict.fromkeys(_split(alias)[0] for alias in listed))
    return GuidelineTest(plain, _uuid(about.get("idempotent_id")) or inside, aliases, bool(about.get("flagged")))


def _description(about: Mapping[str, Any]) -> str:
    return str(about.get("description") or "")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object. :raises ValueError: it is something else; ``null`` would ask for less than was meant."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is not an object")
    return value


def _list(about: Mapping[str, Any], field: str, whose: str) -> list[Any]:
    """Return a list that may be left out. :raises ValueError: it is not a list; a string would be read by letters."""
    value = about.get(field) or []
    if not isinstance(value, list):
        raise ValueError(f"{field!r} of {whose} is not a list")
    return value


def _texts(about: Mapping[str, Any], field: str, whose: str) -> list[str]:
    """Return the texts in a list that may be left out. :raises ValueError: it is not a list of texts."""
    found = _list(about, field, whose)
    if not all(isinstance(item, str) for item in found):
        raise ValueError(f"{field!r} of {whose} is not a list of strings")
    return found


def _names(about: Mapping[str, Any], field: str, whose: str) -> list[str]:
    """Return the names in a list that may be left out. :raises ValueError: it is not a list, or one is not a name."""
    return [_name(item, field, whose) for item in _list(about, field, whose)]


def _name(item: Any, field: str, whose: str) -> str:
    name = item.get("name") if isinstance(item, Mapping) else item
    if not isinstance(name, str):
        raise ValueError(f"{field!r} of {whose} has an entry that is neither a name nor an object with a name")
    return name


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
