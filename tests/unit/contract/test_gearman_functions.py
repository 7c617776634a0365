"""Functions route by version, plugins and tag."""

from __future__ import annotations

import pytest

from refstack_worker.contract import gearman_functions as functions
from refstack_worker.errors import UsageError

FOUR = {"designate-tempest-plugin": "0.24.0", "heat-tempest-plugin": "3.0.0", "keystone-tempest-plugin": "0.19.0",
        "manila-tempest-plugin": "2.6.0"}  # fmt: skip
NINE = {f"plugin{number}-tempest-plugin": "1.0.0" for number in range(9)}


def test_names() -> None:
    assert functions.for_version("43.0.0") == "refstack:tempest:43.0.0"
    assert functions.for_version("47.0.1.dev5+g1a2b3c4", "eu") == "refstack:tempest:47.0.1.dev5+g1a2b3c4:eu"
    heat = {"Heat_Tempest.Plugin": "3.0.0"}
    assert functions.for_version("43.0.0", plugins=heat) == "refstack:tempest:43.0.0,heat-tempest-plugin=3.0.0"
    assert functions.for_release("2025.1", "eu", heat) == "refstack:openstack:2025.1,heat-tempest-plugin=3.0.0:eu"
    with pytest.raises(UsageError, match="is not a node tag"):
        functions.for_version("43.0.0", "EU")


def test_tempestconf_adds_no_tests_and_routes_no_run() -> None:
    beside = {"python-tempestconf": "3.5.4"}
    assert list(functions.subsets(beside)) == [{}]
    assert functions.for_version("43.0.0", plugins=beside) == "refstack:tempest:43.0.0"
    assert functions.is_served([functions.served("43.0.0", beside)], "43.0.0", {})


def test_a_long_list_is_a_digest_of_all_of_it() -> None:
    name = functions.for_version("43.0.0", plugins=NINE)
    assert name.startswith("refstack:tempest:43.0.0,9-plugins-") and len(name) < 60
    assert len(functions.for_release("2" * 12, "t" * 32, NINE)) <= 120 >= len("refstack:openstack:") + 68 + 33
    assert functions.for_version("43.0.0", plugins={**NINE, "plugin0-tempest-plugin": "1.0.1"}) != name


@pytest.mark.parametrize(("plugins", "count"), [({}, 1), (FOUR, 15), (NINE, 9 + 36 + 1)])
def test_a_lock_serves_those_that_want_some_of_its_plugins(plugins: dict[str, str], count: int) -> None:
    sets = list(functions.subsets(plugins))
    assert len(sets) == count and plugins in sets
    assert ({} in sets) == (not plugins)


def test_a_run_that_wants_one_plugin_finds_each_node_that_has_it() -> None:
    wanted = {"heat-tempest-plugin": "3.0.0"}
    assert functions.for_version("43.0.0", plugins=wanted) in {
        functions.for_version("43.0.0", plugins=chosen) for chosen in functions.subsets(FOUR)
    }
    reported = [functions.served("43.0.0", FOUR), "47.0.0"]
    assert functions.is_served(reported, "43.0.0", wanted)
    assert functions.is_served(reported, "47.0.0", {})
    assert not functions.is_served(reported, "43.0.0", {})
    assert not functions.is_served(reported, "43.0.0", {"heat-tempest-plugin": "3.1.0"})
    assert not functions.is_served(reported, "47.0.0", wanted)


@pytest.mark.parametrize(
    ("asked", "is_on_demand"), [((0, 1, 2), True), (range(8), True), ((0,), False), ((0, 1), False), (range(9), False)]
)
def test_other_subsets_of_a_large_lock_are_registered_when_a_run_asks_for_them(
    asked: object, is_on_demand: bool
) -> None:
    wanted = {f"Plugin{number}.tempest_plugin": "1.0.0" for number in asked}  # type: ignore[attr-defined]
    assert functions.is_registered_on_demand(wanted, NINE) == is_on_demand
    named = {functions.for_version("43.0.0", plugins=chosen) for chosen in functions.subsets(NINE)}
    assert (functions.for_version("43.0.0", plugins=wanted) not in named) == is_on_demand
    assert not functions.is_registered_on_demand({**wanted, "other": "1.0"}, NINE)
    assert not functions.is_registered_on_demand({**wanted, "plugin0-tempest-plugin": "2.0"}, NINE)


def test_a_small_lock_registers_everything_by_itself() -> None:
    assert not functions.is_registered_on_demand(dict(list(FOUR.items())[:3]), FOUR)


def test_the_plugins_of_a_word_are_read_back() -> None:
    assert functions.plugins_of(functions.served("43.0.0", NINE)) == NINE
    assert functions.plugins_of("43.0.0") == functions.plugins_of("43.0.0,=,x,") == {}
