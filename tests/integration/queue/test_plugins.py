"""Runs that ask for plugins find the nodes that have them, through a real queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import gear
import pytest

from refstack_worker import gearman
from refstack_worker.environments.catalogue import Offer
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.worker.admission.versions import AvailableVersions
from tests.support.worker_parts import eventually

HEAT, MANILA = ("heat-tempest-plugin", "3.0.0"), ("manila-tempest-plugin", "2.6.0")


class FixedCatalogue:
    def __init__(self, *offers: Offer) -> None:
        self._offers = list(offers)

    def offers(self) -> list[Offer]:
        return self._offers


class RoutedNode(threading.Thread):
    """Registers what a node with these locks registers, and notes the jobs that it is given."""

    def __init__(self, port: int, name: str, *offers: Offer) -> None:
        super().__init__(daemon=True)
        self._worker = gearman.Worker(name)
        self._worker.addServer("127.0.0.1", port)
        versions = AvailableVersions(FixedCatalogue(*offers), ("eu",))  # type: ignore[arg-type]
        versions.update()
        self.functions = versions.functions()
        for function in self.functions:
            self._worker.registerFunction(function)
        self.taken: list[str] = []

    def run(self) -> None:
        while True:
            try:
                job = self._worker.getJob()
            except gear.InterruptedError:
                return
            self.taken.append(job.arguments.decode())
            job.sendWorkComplete()

    def end(self) -> None:
        self._worker.stopWaitingForJobs()
        self.join()
        self._worker.shutdown()


@pytest.fixture
def port() -> Iterator[int]:
    server = gearman.Server(port=0, host="127.0.0.1")
    yield server.port
    server.shutdown()


def test_two_nodes_with_different_plugins(port: int) -> None:
    plain = Offer("43.0.0")
    heat_alone = RoutedNode(port, "heat", plain, Offer("43.0.0", ("2025.1",), (HEAT,)))
    both = RoutedNode(port, "both", Offer("43.0.0", ("2025.1",), (HEAT, MANILA)))
    client = gearman.Client()
    client.addServer("127.0.0.1", port)
    client.waitForServer()

    def submit(name: str, plugins: Mapping[str, str], **more: str) -> None:
        where = more or {"tempest_version": "43.0.0"}
        function = RunSpec(plugins=plugins, **where).function  # type: ignore[arg-type]
        client.submitJob(gear.Job(function.encode(), name.encode()), background=True)

    submit("plain", {})
    submit("manila", dict([MANILA]))
    submit("both", dict([HEAT, MANILA]))
    submit("release", dict([MANILA]), openstack_release="2025.1", tag="eu")
    submit("other version", {"heat-tempest-plugin": "3.1.0"})
    for node in (heat_alone, both):
        node.start()
    try:
        eventually(lambda: len(heat_alone.taken) + len(both.taken) == 4)
        assert heat_alone.taken == ["plain"]
        assert sorted(both.taken) == ["both", "manila", "release"]
        submit("heat", dict([HEAT]))
        eventually(lambda: "heat" in [*heat_alone.taken, *both.taken])
    finally:
        for node in (heat_alone, both):
            node.end()
        client.shutdown()
