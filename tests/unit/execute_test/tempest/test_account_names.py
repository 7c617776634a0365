"""The module that Python reads at its start, in a process of its own, with a package in Tempest's place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker.execute_test.tempest.account_names import name_accounts

PROVIDER = """\
class DynamicCredentialProvider:
    def __init__(self, name=None, resource_prefix=None, **more):
        self.name, self.resource_prefix, self.more = name, resource_prefix or "", more
"""
SHOW = """\
from tempest.lib.common import dynamic_creds
import tempest.lib.common.dynamic_creds as again
assert again is dynamic_creds and dynamic_creds.__file__
made = dynamic_creds.DynamicCredentialProvider(name={name!r}, resource_prefix="tempest", neutron_available=True)
print(made.resource_prefix, made.name, made.more)
"""


def shown(folder: Path, name: str | None, provider: str = PROVIDER, show: str = SHOW) -> str:
    package = folder / "packages" / "tempest" / "lib" / "common"
    package.mkdir(parents=True)
    for each in (package, package.parent, package.parent.parent):
        (each / "__init__.py").touch()
    (package / "dynamic_creds.py").write_text(provider)
    done = subprocess.run(
        [sys.executable, "-c", show.format(name=name)], capture_output=True, text=True,
        env={"PYTHONPATH": f"{folder / 'hook'}:{folder / 'packages'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_projects_and_users_carry_the_prefix_and_fit_into_keystone(tmp_path: Path) -> None:
    prefix = "refstack-a1b2c3-123456-2"
    assert name_accounts(tmp_path / "hook", prefix)
    out = shown(tmp_path, "ServersNegativeTestMultiTenantJSON")
    found_prefix, name, more = out.split(maxsplit=2)
    assert found_prefix == prefix and "ServersNegativeTestMultiTenantJSON".startswith(name)
    assert len(f"{prefix}-{name}-{2**31 - 1}") == 64
    assert more == "{'neutron_available': True}"


def test_a_provider_without_a_name(tmp_path: Path) -> None:
    assert name_accounts(tmp_path / "hook", "refstack-7-2")
    assert shown(tmp_path, None) == "refstack-7-2  {'neutron_available': True}"


def test_a_tempest_with_another_provider_goes_on(tmp_path: Path) -> None:
    assert name_accounts(tmp_path / "hook", "refstack-7-2")
    show = "import tempest.lib.common.dynamic_creds as found; print(found.OTHER)"
    assert shown(tmp_path, None, "OTHER = 1\n", show) == "1"


@pytest.mark.parametrize("prefix", ["", "p" * 45])
def test_no_prefix_and_one_that_leaves_no_room(tmp_path: Path, prefix: str) -> None:
    assert not name_accounts(tmp_path / "hook", prefix)
    assert not (tmp_path / "hook").exists()
