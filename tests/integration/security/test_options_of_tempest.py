"""What may be set is checked against what a real Tempest offers, so that a new path or program is noticed.

The options come from the configuration generator of the installed Tempest, which makes its sample configuration.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.contract import tempest_options
from refstack_worker.environments.environment import Environment
from tests.integration.environments.conftest import build_settings, real_store

__all__ = ["build_settings", "real_store"]

VERSION = "47.0.0"

GENERATE = """
import sys
from oslo_config import generator
generator.main(["--namespace", "tempest.config", "--namespace", "oslo.log", "--namespace", "oslo.concurrency",
                "--format", "json", "--output-file", sys.argv[1]])
"""

PLACES = re.compile(
    r"\b(path|file|files|directory|dir|folder|execut\w+|command|shell|syslog|journal\w*|socket|proxy|pickle|eval)\b"
)
"""Words in names and descriptions of options that mean a place on the node, or something that it does."""

HARMLESS = {
    "DEFAULT.max_logfile_count": "a number; there is no rotation without log_rotation_type",
    "DEFAULT.max_logfile_size_mb": "a number; there is no rotation without log_rotation_type",
    "DEFAULT.log_rotate_interval": "a number; there is no rotation without log_rotation_type",
    "DEFAULT.log_rotate_interval_type": "there is no rotation without log_rotation_type",
    "object-storage.cluster_name": "names a cluster of the cloud's own file",
    "object-storage-feature-enabled.container_sync": "yes or no",
    "object-storage-feature-enabled.object_versioning": "yes or no",
    "auth.use_dynamic_credentials": "yes or no",
    "network-feature-enabled.ipv6": "yes or no",
    "network-feature-enabled.ipv6_subnet_attributes": "yes or no",
    "object-storage-feature-enabled.discoverability": "yes or no",
    "scenario.target_dir": "a folder of a server in the vendor's cloud",
    "validation.ssh_shell_prologue": "executed in a server of the vendor's cloud",
}
"""Options that those words are about, with the reason why a vendor may set them; each was looked at."""

ARGUMENTS = {"validation.ping_size": "integer value", "validation.ping_count": "integer value"}
"""Options that become arguments of programs on the node, and the type that keeps them from being anything else."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return tmp_path_factory.mktemp("sample") / "sample.json"


@pytest.fixture
def offered(build_settings, tmp_path, sample) -> dict[str, dict[str, object]]:  # type: ignore[no-untyped-def]
    """Section and option, joined by a dot, to what the sample configuration says of it."""
    if not sample.exists():
        settings, offer = build_settings(VERSION)
        with Environment(offer, settings, tmp_path / "env") as built:
            subprocess.run([built.python, "-I", "-c", GENERATE, sample], check=True, capture_output=True)
    groups = json.loads(sample.read_text())["options"]
    return {
        f"{group or 'DEFAULT'}.{option['dest']}": option for group, found in groups.items() for option in found["opts"]
    }


def names(offered: dict[str, dict[str, object]]) -> Iterator[tuple[str, str, str]]:
    for full, option in offered.items():
        section, _, name = full.partition(".")
        yield full, section, name
        yield full, section, str(option["name"])
        for former in option["deprecated_opts"] or ():  # type: ignore[attr-defined]
            yield full, former["group"] or section, former["name"]


def test_a_path_or_program_that_a_tempest_brings_is_refused_or_was_looked_at(offered):
    assert len(offered) > 250
    told = {full: f"{full.replace('_', ' ')} {option['help'] or ''}".lower() for full, option in offered.items()}
    sounding = {full for full, text in told.items() if PLACES.search(text.replace("-", " "))}
    unseen = sorted(full for full in sounding if not tempest_options.is_the_nodes(*full.split(".", 1)))
    assert unseen == sorted(HARMLESS)


def test_no_former_name_of_what_is_refused_is_allowed(offered):
    refused = {full for full in offered if tempest_options.is_the_nodes(*full.split(".", 1))}
    assert {"auth.test_accounts_file", "oslo_concurrency.lock_path", "DEFAULT.log_config_append"} <= refused
    assert [
        (full, section, name)
        for full, section, name in names(offered)
        if full in refused and not tempest_options.is_the_nodes(section, name)
    ] == []


def test_what_becomes_an_argument_of_a_program_is_a_number(offered):
    assert {full: offered[full]["type"] for full in ARGUMENTS} == ARGUMENTS


def test_most_options_are_the_vendors_to_set(offered):
    allowed = [full for full in offered if not tempest_options.is_the_nodes(*full.split(".", 1))]
    assert len(allowed) > 0.85 * len(offered)
    for full in ("identity.uri_v3", "identity.region", "compute.image_ref", "auth.admin_password", "DEFAULT.debug"):
        assert full in allowed
