"""What a command line asks for: the small cloud, or a whole one of some shape."""

from __future__ import annotations

import argparse

import pytest
from democloud import arguments
from democloud.openstack.shape import SERVICES
from democloud.ports import CloudError


def asked(*words: str) -> argparse.Namespace:
    return arguments.parser(("up", "down"), "").parse_args(["up", "somewhere", *words])


def test_without_options_it_is_the_whole_cloud() -> None:
    shape = arguments.shape(asked())
    assert shape.services == SERVICES and shape.routed and shape.images and not shape.tls
    assert not arguments.is_small(asked())


def test_services_are_named_or_left_out() -> None:
    assert arguments.shape(asked("--without", "compute,volume")).services == (
        "identity", "object-store", "image", "network",
    )  # fmt: skip
    assert arguments.shape(asked("--services", "identity,network")).has("network")


@pytest.mark.parametrize(
    "words", [("--services", "identity,object-store"), ("--without", "image,compute,network,volume")]
)
def test_keystone_and_swift_alone_are_the_small_cloud(words: tuple[str, ...]) -> None:
    assert arguments.is_small(asked(*words))
    for more in (("--tls",), ("--users", "1"), ("--second-region", "Two")):
        assert not arguments.is_small(asked(*words, *more))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--services", "identity,compote"), "unknown service: compote"),
        (("--without", "identity"), "without identity"),
        (("--catalog-volume", "volumev2"), "unknown service type of Cinder: volumev2"),
    ],
)
def test_unknown_parts_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(CloudError, match=message):
        arguments.shape(asked(*words))


def test_variations_take_away() -> None:
    shape = arguments.shape(asked("--no-public-network", "--no-images", "--quota", "1", "--catalog-volume", "volumev3"))
    assert (shape.routed, shape.images, shape.quota, shape.catalog_volume) == (False, False, 1, ("volumev3",))
    assert not arguments.shape(asked("--no-floating-ips")).routed
    assert not arguments.shape(asked("--without", "network")).routed
