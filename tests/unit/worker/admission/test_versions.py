from __future__ import annotations

from refstack_worker.contract import gearman_functions
from refstack_worker.environments.catalogue import Offer
from refstack_worker.worker.admission.versions import AvailableVersions


class FixedCatalogue:
    """A catalogue whose offers the test sets."""

    def __init__(self, *offers: Offer) -> None:
        self.list = list(offers)
        self.refreshed = 0

    def offers(self) -> list[Offer]:
        return list(self.list)

    def refresh(self) -> None:
        self.refreshed += 1


def available(catalogue: FixedCatalogue, *tags: str) -> AvailableVersions:
    return AvailableVersions(catalogue, tags)  # type: ignore[arg-type]


def test_only_what_can_be_built_is_offered() -> None:
    versions = available(FixedCatalogue(Offer("47.0.0", ("2026.1",)), Offer("33.0.0", problem="no Python 3.9")))
    assert versions.update() and not versions.update()
    assert versions.served == ("47.0.0",)
    assert versions.functions() == ["refstack:tempest:47.0.0", "refstack:openstack:2026.1"]


def test_a_package_with_plugins_is_a_change_and_registers_no_function_twice() -> None:
    catalogue = FixedCatalogue(Offer("47.0.0"))
    versions = available(catalogue, "eu")
    versions.update()
    catalogue.list.append(Offer("47.0.0", plugins=(("heat-tempest-plugin", "3.0.0"),)))
    assert versions.update(), "a slot that rests for want of the plugin must wake"
    heat = "refstack:tempest:47.0.0,heat-tempest-plugin=3.0.0"
    assert versions.functions() == ["refstack:tempest:47.0.0", heat, "refstack:tempest:47.0.0:eu", f"{heat}:eu"]
    assert versions.served == ("47.0.0", "47.0.0,heat-tempest-plugin=3.0.0")


def test_a_node_with_a_lock_of_plugins_alone_takes_no_plain_run() -> None:
    plugins = (("designate-tempest-plugin", "0.24.0"), ("heat-tempest-plugin", "3.0.0"))
    versions = available(FixedCatalogue(Offer("43.0.0", ("2025.1",), plugins)))
    versions.update()
    sets = ("designate-tempest-plugin=0.24.0", "heat-tempest-plugin=3.0.0")
    expected = {f"refstack:{what},{names}" for what in ("tempest:43.0.0", "openstack:2025.1")
                for names in (*sets, ",".join(sets))}  # fmt: skip
    assert set(versions.functions()) == expected


def test_sets_that_runs_ask_for_are_functions_of_a_large_lock() -> None:
    plugins = tuple((f"plugin{number}-tempest-plugin", "1.0.0") for number in range(7))
    versions = available(FixedCatalogue(Offer("43.0.0", ("2025.1",), plugins)))
    versions.update()
    before = versions.functions()
    three = dict(plugins[:3])
    assert versions.want([three, {"other-tempest-plugin": "1.0.0"}]) and not versions.want([three])
    assert set(versions.functions()) - set(before) == {
        gearman_functions.for_version("43.0.0", plugins=three),
        gearman_functions.for_release("2025.1", plugins=three),
    }
    assert versions.want([]) and versions.functions() == before


def test_a_look_is_made_at_once_when_asked() -> None:
    catalogue = FixedCatalogue()
    available(catalogue).look_again()
    assert catalogue.refreshed == 1
