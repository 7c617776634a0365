"""The table of Tempest's tests is read from source, without running it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from refstack_worker.server.services import tempest_tests as table_reader
from tools import tempest_tests

BASE = """
from tempest import test
class BaseObjectTest(test.BaseTestCase):
    credentials = [['operator', CONF.object_storage.operator_role]]
class Helper:
    def test_not_a_test(self): pass
"""
TESTS = """
from tempest.api.object_storage import base
from tempest.lib import decorators
class ContainerTest(base.BaseObjectTest):
    @decorators.attr(type='smoke')
    @decorators.idempotent_id('6ea9ea50-0000-4000-8000-000000000001')
    def test_create(self): pass
    def helper(self): pass
class QuotaTest(ContainerTest):
    credentials = ['primary', 'project_reader']
    @decorators.idempotent_id('6ea9ea50-0000-4000-8000-000000000002')
    def test_quota(self): pass
class NotATest(base.Helper): pass
"""
FOLDER = "tempest/api/object_storage"
CONTAINER, QUOTA = (f"tempest.api.object_storage.test_x.{name}" for name in ("ContainerTest", "QuotaTest"))


def source(folder: Path, version: str, tests: str = TESTS) -> Path:
    path = folder / f"tempest-{version}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tempest/test.py", "import testtools\nclass BaseTestCase(testtools.TestCase):\n    pass\n")
        archive.writestr(f"{FOLDER}/base.py", BASE)
        archive.writestr(f"{FOLDER}/test_x.py", tests)
        archive.writestr("tempest/tests/test_unit.py", "def broken(:\n")
    return path


def test_tests_with_ids_and_accounts_of_class_and_base(tmp_path: Path) -> None:
    found = {(one.owner, one.method): (one.uuid[-1:], one.credentials)
             for one in tempest_tests.tests_of(source(tmp_path, "47.0.0"))}  # fmt: skip
    operator = ("operator: object_storage.operator_role",)
    assert found == {
        (CONTAINER, "test_create"): ("1", operator),
        (QUOTA, "test_create"): ("1", ("primary", "project_reader")),
        (QUOTA, "test_quota"): ("2", ("primary", "project_reader")),
    }


def test_spans_of_versions(tmp_path: Path) -> None:
    changed = TESTS.replace("'project_reader'", "'alt'")
    files = [source(tmp_path, "26.0.0", changed), source(tmp_path, "24.0.0"), source(tmp_path, "25.0.0")]
    made = tempest_tests.table(files)
    assert made["versions"] == ["24.0.0", "25.0.0", "26.0.0"]
    spans = [(first, last, made["credentials"][kind]) for _, first, last, kind, _ in made["tests"][QUOTA]["test_quota"]]
    assert spans == [(0, 1, ["primary", "project_reader"]), (2, 2, ["primary", "alt"])]


def test_a_file_has_to_say_its_version(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="tempest-VERSION"):
        tempest_tests.table([source(tmp_path, "47.0.0").rename(tmp_path / "x.zip")])


def test_the_table_that_is_kept_is_whole() -> None:
    made = json.loads(table_reader._FILE.read_text())
    assert made["versions"][0] == "24.0.0" and "47.0.0" in made["versions"]
    assert made["commits"]["d43223773d75d2e82fb33a1281038e611c41d0f3"] == "23.0.0"
    newest = table_reader.newest()
    assert len(newest.by_name) > 1500


def test_the_table_has_every_version_that_is_packaged() -> None:
    lines = (Path(__file__).parents[3] / "packaging" / "tempest-versions.txt").read_text().splitlines()
    packaged = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert [version for version in packaged if table_reader.of_version(version) is None] == []


SERIAL = """
from tempest.api.object_storage import base
from tempest.common import tempest_fixtures as fixtures
from tempest.common import utils
from tempest.lib import decorators
@decorators.serial
class AloneTest(base.BaseObjectTest):
    @decorators.attr(type=['slow', 'multinode'])
    @utils.services('compute', 'volume')
    @decorators.idempotent_id('6ea9ea50-0000-4000-8000-000000000003')
    def test_a(self): pass
class LockedTest(base.BaseObjectTest):
    def setUp(self):
        self.useFixture(fixtures.LockFixture('quotas'))
    def test_b(self): pass
class HeirTest(LockedTest):
    def test_c(self): pass
"""


def test_attributes_locks_and_what_runs_alone(tmp_path: Path) -> None:
    made = tempest_tests.table([source(tmp_path, "47.0.0", SERIAL)])
    names = ("AloneTest", "LockedTest", "HeirTest")
    alone, locked, heir = (f"tempest.api.object_storage.test_x.{name}" for name in names)
    assert made["serial"] == [alone]
    assert made["locks"] == {"quotas": [heir, locked]}
    ((*_, attributes),) = made["tests"][alone]["test_a"]
    assert made["attributes"][attributes] == ["compute", "multinode", "slow", "volume"]
