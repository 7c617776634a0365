"""The repository's URL for each distribution."""

from __future__ import annotations

import pytest
from refstack_install.errors import AnswersError
from refstack_install.packages.apt import Apt
from refstack_install.packages.repository import base_url, from_answers

from tests.support.node_machine import NodeMachine


@pytest.mark.parametrize(
    ("answer", "url"),
    [
        ("https://x/refstack/", "https://x/refstack"),
        ("http://x", "http://x"),
        ("/srv/repository/", "file:///srv/repository"),
        ("file:///srv/repository", "file:///srv/repository"),
        ("file:/srv/repository", "file:///srv/repository"),
    ],
)
def test_urls_and_folders(machine: NodeMachine, answer: str, url: str) -> None:
    assert base_url(machine.context(**{"repository.url": answer}).answers) == url


@pytest.mark.parametrize("answer", ["ftp://x", "https://x y", "https://x\nTrusted: yes", "srv/repository"])
def test_other_urls_are_refused(machine: NodeMachine, answer: str) -> None:
    with pytest.raises(AnswersError, match="expected: an http"):
        base_url(machine.context(**{"repository.url": answer}).answers)


def test_a_bundle_takes_the_place_of_the_url(machine: NodeMachine) -> None:
    answers = machine.context(**{"repository.url": "", "bundle.file": "/b"}).answers
    assert base_url(answers) == "file:///var/lib/refstack-install/bundle"
    with pytest.raises(AnswersError, match="repository.url is missing"):
        base_url(machine.context(**{"repository.url": ""}).answers)


def test_the_distribution_decides_on_the_folder(machine: NodeMachine) -> None:
    context = machine.context()
    found = from_answers(context.system, context.answers, Apt(context.system, 0))
    assert (found.url, found.complete) == ("https://packages.example/refstack/apt", False)


@pytest.mark.parametrize("setting", ["repository.suite", "repository.component"])
def test_suite_and_component_cannot_add_lines(machine: NodeMachine, setting: str) -> None:
    with pytest.raises(AnswersError, match="is not valid"):
        machine.context(**{setting: "stable\nTrusted: yes"})
