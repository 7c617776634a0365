"""Guideline files of every schema, as upstream writes them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.contract.testcases import MAX_TEST_NAME
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.domain import guideline_file
from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.guidelines import ADVISORY, REQUIRED, Guideline
from tests.unit.server.domain.test_verdict import UUIDS, schema_2


def names(guideline: Guideline, program: str, kind: str = REQUIRED) -> list[str]:
    return [test.name for test in guideline.program(program).tests((kind,))]


def test_a_program_joins_its_components_and_names_no_capability_twice() -> None:
    program = parse(schema_2()).program("storage")
    assert [one.name for one in program.capabilities["required"]] == ["put", "get"]
    assert [one.name for one in program.capabilities["advisory"]] == ["new"]


def test_flagged_tests_are_not_asked_for() -> None:
    found = [test.uuid for test in parse(schema_2()).program("Storage").tests((REQUIRED, ADVISORY))]
    assert found == [UUIDS[n] for n in (1, 2, 4, 5)]


def test_a_program_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotFoundError, match=r"no program 'Compute'; its programs: Storage, Half"):
        parse(schema_2()).program("Compute")


def test_schema_1_with_details() -> None:
    text = json.dumps(
        {
            "id": "2015.07",
            "schema": "1.3",
            "platform": {"required": ["compute", "object"]},
            "components": {"compute": {"required": ["a"]}, "object": {"required": ["b"], "advisory": ["a"]}},
            "capabilities": {
                "a": {"tests": {"tempest.a.T.test": {"idempotent_id": f"id-{UUIDS[1]}"}}},
                "b": {"tests": {"tempest.b.T.test": {"flagged": {"reason": "r"}}, "tempest.b.T.other": {}}},
            },
        }
    )
    found = parse(text)
    wanted = {"OpenStack Powered Platform": 2, "OpenStack Powered Compute": 1, "OpenStack Powered Storage": 1}
    assert {name: len(list(one.tests())) for name, one in found.programs.items()} == wanted


def test_schema_1_2_lists_names_and_flags_beside_them() -> None:
    text = json.dumps(
        {
            "id": "2015.03.json",
            "schema": "1.2",
            "platform": {"required": ["object"]},
            "components": {"object": {"required": ["b"]}},
            "capabilities": {"b": {"tests": ["tempest.b.T.one", "tempest.b.T.two"], "flagged": ["tempest.b.T.two"]}},
        }
    )
    found = parse(text)
    assert found.id == "2015.03"
    assert names(found, "OpenStack Powered Storage") == ["tempest.b.T.one"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '"x"', '{"metadata": {"id": "x", "schema": "3.0"}, "capabilities": {}}',
     schema_2().replace('"one"}', '"nowhere"}'),
     schema_2().replace('"2020.06"', '""'), schema_2().replace('"required"', '"requires"', 1)[:-1]],
)  # fmt: skip
def test_what_is_no_guideline_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"guideline"):
        parse(text)


@pytest.mark.parametrize("text", ["[]", "null", '"x"'])
def test_json_that_is_no_object_is_named_so(text: str) -> None:
    with pytest.raises(UsageError, match="it is not a JSON object"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps({**json.loads(schema_2()), "metadata": {"id": "x", "schema": "2.0", "os_trademark_approval":
                                                            {"releases": "Train"}}}),
         "'releases' of the guideline is not a list"),
        (schema_2(**{"a.T.test": {"aliases": "a.T.old"}}), "'aliases' of the test a.T.test is not a list"),
        (schema_2().replace('"required": ["get", "put"]', '"required": "get"'), "'required' of Storage is not a list"),
        ('{"id": "x", "schema": "1.2", "platform": {"required": []}, "components": {},'
         ' "capabilities": {"b": {"tests": "b.T.one"}}}', "'tests' of the capability b is not a list"),
    ],
)  # fmt: skip
def test_a_string_in_the_place_of_a_list_is_refused_by_its_field(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(text)


def changed(value: Any, path: str, new: Any) -> str:
    """Return a guideline in which another value stands at a place such as ``platforms/Half``."""
    found = json.loads(json.dumps(value))
    *above, last = path.split("/")
    within = found
    for key in above:
        within = within[key]
    within[last] = new
    return json.dumps(found)


SCHEMA_2 = json.loads(schema_2())
SCHEMA_1 = {
    "id": "2015.07",
    "schema": "1.3",
    "platform": {"required": ["object"]},
    "components": {"object": {"required": ["b"]}},
    "capabilities": {"b": {"tests": ["tempest.b.T.one"]}},
}
PUT = "capabilities/put/tests/tempest.a.T.test_put"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (changed(SCHEMA_2, "add-ons", {"dns": {"components": []}}), "OpenStack with dns has no components"),
        (changed(SCHEMA_2, "platforms/Half/components", None), "Half has no components"),
        (changed(SCHEMA_2, "platforms/Half/components", [1]), "'components' of Half has an entry that is neither"),
        (changed(SCHEMA_2, "platforms", ["Half"]), "'platforms' is not an object"),
        (changed(SCHEMA_2, "platforms/Half", 1), "the program Half is not an object"),
        (changed(SCHEMA_2, "metadata", "x"), "'metadata' is not an object"),
        (changed(SCHEMA_2, "metadata/os_trademark_approval", {"releases": [1]}), "'releases' of the guideline is not"),
        (changed(SCHEMA_2, "capabilities", ["put"]), "'capabilities' is not an object"),
        (changed(SCHEMA_2, "capabilities/put", "x"), "the capability put is not an object"),
        (changed(SCHEMA_2, "capabilities/put", None), "the capability put is not an object"),
        (changed(SCHEMA_2, PUT, "x"), "the test tempest.a.T.test_put is not an object"),
        (changed(SCHEMA_2, f"{PUT}/aliases", [{"name": "x"}]), "'aliases' of the test tempest.a.T.test_put is not a"),
        (changed(SCHEMA_2, "components", ["one"]), "'components' is not an object"),
        (changed(SCHEMA_2, "components/two", 1), "the component two is not an object"),
        (changed(SCHEMA_2, "components/two/capabilities", [1]), "'capabilities' of the component two is not an object"),
        (changed(SCHEMA_2, "components/two/capabilities/required", [["put"]]), "'required' of Storage has an entry"),
        (changed(SCHEMA_2, "test_repositories", {"tempest": "x"}), "the test repository tempest is not an object"),
        (changed(SCHEMA_1, "components/object", None), "the component object is not an object"),
        (changed(SCHEMA_1, "platform", ["object"]), "'platform' is not an object"),
        (changed(SCHEMA_1, "platform/required", [["object"]]), "'required' of the platform has an entry"),
        (changed(SCHEMA_1, "capabilities/b/tests", [{"name": "x"}]), "'tests' of the capability b is not a list of st"),
        (changed(SCHEMA_1, "capabilities/b/flagged", [1]), "'flagged' of the capability b is not a list of strings"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_field_and_what_is_expected(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(text)


@pytest.mark.parametrize("path", ["add-ons", "metadata/os_trademark_approval", "test_repositories", PUT])
def test_null_is_as_if_it_were_left_out(path: str) -> None:
    assert list(parse(changed(SCHEMA_2, path, None)).programs) == ["Storage", "Half"]


def test_a_list_that_is_null_is_empty() -> None:
    found = parse(changed(SCHEMA_2, "components/two/capabilities/required", None))
    assert names(found, "Half") == [] and len(names(found, "Storage")) == 2
    assert names(parse(changed(SCHEMA_1, "components/object/required", None)), "object") == []


@pytest.mark.parametrize("value", [SCHEMA_1, SCHEMA_2], ids=["1.3", "2.0"])
def test_whatever_stands_in_a_place_python_s_own_errors_are_not_shown(value: Any) -> None:
    for path in [*places(value)]:
        for new in (None, 1, 0.5, True, "x", "", [], {}, [None], [1], [[]], [{}], {"a": None}, {"name": "x"}):
            try:
                parse(changed(value, path, new))
            except UsageError as error:
                assert not re.search("NoneType|object has no|not iterable|unhashable|subscript|argument", str(error))


def places(value: Any, above: str = "") -> Iterator[str]:
    """Yield the place of each value in the objects of a guideline."""
    for key, within in value.items() if isinstance(value, dict) else ():
        yield f"{above}{key}"
        yield from places(within, f"{above}{key}/")


def test_one_that_is_too_large() -> None:
    with pytest.raises(UsageError, match="larger"):
        parse(" " * (guideline_file.MAX_BYTES + 1))


ADD_ON = {
    "metadata": {"id": "dns.2020.06", "schema": "2.0", "os_trademark_approval": {"releases": ["Train", "Ussuri"]}},
    "add-ons": {
        "DNS": {
            "description": "OpenStack Powered with DNS",
            "components": [{"name": "os_powered_dns"}],
            "required_platform_components": [{"name": "os_powered_compute", "source": "2020.06.json"}],
        }
    },
    "components": {"os_powered_dns": {"capabilities": {"required": ["dns-zones"]}}},
    "capabilities": {"dns-zones": {"tests": {"designate.T.test_zone": {"idempotent_id": UUIDS[1]}}}},
    "test_repositories": {"designate-tempest-plugin": {"reference": "master"}},
}


def test_an_add_on_is_a_program_of_its_own() -> None:
    found = parse(json.dumps(ADD_ON))
    assert list(found.programs) == ["OpenStack with DNS"]
    assert [found.program(name).target for name in ("OpenStack with DNS", "dns", "DNS")] == ["dns"] * 3
    assert found.releases == ("train", "ussuri") and found.references == {"designate-tempest-plugin": "master"}
    assert names(found, "DNS") == ["designate.T.test_zone"]


def test_a_component_of_another_file_is_named_with_its_file() -> None:
    vertical = json.loads(json.dumps(ADD_ON))
    vertical["add-ons"]["DNS"]["components"].append({"name": "os_powered_compute", "source": "2020.06.json"})
    with pytest.raises(UsageError, match="component os_powered_compute is in another file, 2020.06.json"):
        parse(json.dumps(vertical))


def test_a_name_can_be_given_where_upstream_wrote_a_wrong_one() -> None:
    assert parse(json.dumps(ADD_ON), name="orchestration.2018.02").id == "orchestration.2018.02"
    with pytest.raises(UsageError, match="name"):
        parse(json.dumps(ADD_ON), name="a\nb")


@pytest.mark.parametrize(
    "written",
    ["{}", "id-{}", "id-{},smoke", "smoke,id-{}", " id-{} ", "[id-{}]", "ID-{}", "id-{}.", "idempotent id-{} (moved)"],
)
def test_an_id_is_found_whatever_stands_around_it(written: str) -> None:
    test = next(parse(schema_2(**{"a.T.test": {"idempotent_id": written.format(UUIDS[7])}})).program("Half").tests())
    assert test.uuid == UUIDS[4]
    tests = {"a.T.test": {"idempotent_id": written.format(UUIDS[7])}}
    assert [test.uuid for test in parse(schema_2(**tests)).program("Storage").tests()][0] == UUIDS[7]


@pytest.mark.parametrize("written", ["", "id-123", UUIDS[1] + "0", "a" + UUIDS[1], None])
def test_what_is_no_id_leaves_the_name(written: str | None) -> None:
    test = next(parse(schema_2(**{"a.T.test": {"idempotent_id": written}})).program("Storage").tests())
    assert (test.name, test.uuid, test.entries) == ("a.T.test", "", ("a.T.test",))


def test_a_capability_that_is_listed_and_not_described_has_no_tests() -> None:
    found = parse(schema_2().replace('"removed": []', '"removed": ["gone"]'))
    assert [(one.name, one.tests) for one in found.program("Storage").capabilities["removed"]] == [("gone", ())]
    with pytest.raises(UsageError, match="it lacks 'gone'"):
        parse(schema_2().replace('"required": ["get", "put"]', '"required": ["get", "gone", "put"]'))


def test_a_test_of_two_capabilities_has_the_aliases_of_both() -> None:
    text = schema_2().replace('"tests": {"tempest.a.T.test_get"', '"tests": {"tempest.a.T.test_old": {}, "x"', 1)
    (old,) = (test for test in parse(text).program("Half").tests() if test.name == "tempest.a.T.test_old")
    assert (old.uuid, old.aliases) == (UUIDS[2], ("tempest.b.T.test_older",))


def test_a_file_from_windows_is_read() -> None:
    assert parse("\ufeff" + schema_2().replace(",", ",\r\n")).id == "2020.06"


def test_a_program_is_found_by_its_last_words_only_where_they_are_unique() -> None:
    text = schema_2().replace('"Storage"', '"OpenStack Powered Storage"').replace('"Half"', '"Half of Storage"')
    found = parse(text)
    assert found.program("openstack powered  storage".replace("  ", " ")).name == "OpenStack Powered Storage"
    assert found.program("Powered Storage").name == "OpenStack Powered Storage"
    with pytest.raises(NotFoundError, match="several programs are called 'Storage'"):
        found.program("Storage")


def hostile(programs: int, listed: int, components: int = 1) -> str:
    """Return a short file whose programs all list the same."""
    capabilities: dict[str, dict[str, str]] = {f"a{number}": {} for number in range(listed)}
    value = {
        "metadata": {"id": "x", "schema": "2.0"},
        "platforms": {f"p{number}": {"components": ["c"] * components} for number in range(programs)},
        "components": {"c": {"capabilities": {"required": list(capabilities)}}},
        "capabilities": capabilities,
    }
    return json.dumps(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (hostile(5000, 5000), "more than 50 programs"),
        (hostile(1, 5001), "p0 lists more than 5000 capabilities"),
        (hostile(1, 100, 100), "p0 lists more than 5000 capabilities"),
        (hostile(1, 1, 5001), "p0 has more than 5000 components"),
        (
            json.dumps(
                {
                    "id": "x",
                    "schema": "1.3",
                    "platform": {"required": []},
                    "capabilities": {},
                    "components": {str(n): {} for n in range(51)},
                }
            ),  # fmt: skip
            "more than 50 programs",
        ),
    ],
)
def test_a_short_file_that_means_very_much_is_refused(text: str, why: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError, match=why):
        parse(text)
    assert time.process_time() - began < 3


LONG = ".".join("a" * (MAX_TEST_NAME // 2 + 1))


@pytest.mark.parametrize("tests", [{LONG: {}}, {"a.T.test": {"aliases": [LONG]}}, [LONG]])
def test_a_name_longer_than_that_of_a_result_is_refused(tests: Any) -> None:
    value = json.loads(schema_2())
    value["capabilities"]["get"]["tests"] = tests
    with pytest.raises(UsageError, match=rf"test name a\.a\..*… has {len(LONG)} characters; the limit is 512"):
        parse(json.dumps(value))
    value["capabilities"]["get"]["tests"] = json.loads(json.dumps(tests).replace(LONG, LONG[2:] + f"[id-{UUIDS[1]}]"))
    assert parse(json.dumps(value)).id == "2020.06"


def test_a_test_that_thousands_of_capabilities_list_takes_no_time() -> None:
    value = json.loads(hostile(1, 5000))
    for number, capability in enumerate(value["capabilities"].values()):
        capability["tests"] = {"x": {"aliases": [f"a{number}.{place}" for place in range(20)]}}
    program = parse(json.dumps(value)).program("p0")
    began = time.process_time()
    (test,) = program.tests()
    assert len(test.aliases) == 100_000 and time.process_time() - began < 3
