"""What execute_test writes, as Tempest's own configuration library and python-tempestconf see it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from refstack_worker.execute_test.tempest.conf import Conf, read_conf, write_conf
from tests.system.accounts import people
from tests.system.execute_test.conftest import Caller, Cloud, cache_folder, software
from tests.system.execute_test.test_runs import ONE, assert_nowhere

READ = """
import json, sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
count = int(sys.argv[2])
conf.register_opts([cfg.StrOpt(f"o{i}") for i in range(count)] + [cfg.ListOpt("many"), cfg.BoolOpt("yes")], "group")
conf(["--config-file", sys.argv[1]], project="none")
group = conf.group
print(json.dumps([[getattr(group, f"o{i}") for i in range(count)], group.many, group.yes]))
"""

VALUES = ["plain", "pa$$word", "${group.o0}", "$o0", "a=b", "# no comment", "; nor this", " blanks ", "'quoted'",
          '"quoted"', '"half', "%(o0)s", "\\n", "ünïcode", "[group]", "a,b", "tab\tin", "trailing\\"]  # fmt: skip


def test_any_value_arrives_in_tempest_as_it_was_given(tempest_home: Path, tmp_path: Path) -> None:
    conf: Conf = {"group": {f"o{number}": value for number, value in enumerate(VALUES)}}
    conf["group"].update(many=["x", "y"], yes=True)
    write_conf(tmp_path / "tempest.conf", conf)
    words = [tempest_home / "bin" / "python", "-c", READ, tmp_path / "tempest.conf", str(len(VALUES))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [VALUES, ["x", "y"], True]
    read = read_conf(tmp_path / "tempest.conf")["group"]
    assert [read[f"o{number}"] for number in range(len(VALUES))] == VALUES


def test_python_tempestconf_finds_what_nobody_gave(cloud: Cloud, caller: Caller) -> None:
    caller.tempest_home = software.virtualenv(
        cache_folder(), "tempestconf", [Path(__file__).with_name("tempestconf.txt")], print
    )
    ran = caller.run(cloud.tempest_conf(), "--discover", "tempestconf", "--keep", "--testcases", *ONE)
    assert ran.code == 0, (ran.end, ran.stderr)
    written = read_conf(ran.workdir / "tempest.conf")
    assert "tempurl" in written["object-storage-feature-enabled"]["discoverable_apis"]
    assert written["identity"]["region"] == cloud.region
    assert "debug" not in written["DEFAULT"]
    cleaned = caller.run(cloud.tempest_conf(), "--cleanup-only")
    assert cleaned.code == 0, cleaned.stderr
    assert_nowhere(cleaned, cloud.admin_password)


def test_python_tempestconf_that_is_not_there(cloud: Cloud, caller: Caller) -> None:
    ran = caller.run(cloud.tempest_conf(), "--discover", "tempestconf", "--testcases", *ONE)
    assert ran.code == 2 and "python-tempestconf is not installed" in ran.end["message"]


def test_check_says_what_the_accounts_are_too_few_for(cloud: Cloud, caller: Caller) -> None:
    (person,) = people.several("check-", 1)
    people.create(cloud, [person])
    conf = {"identity": {"uri_v3": cloud.auth_url, **person.identity()}}
    ran = caller.run(conf, "--check", "--testcases", "tempest.api.object_storage")
    assert ran.code == 0, ran.stderr
    (said,) = [text for text in ran.messages if "this run has" in text]
    assert re.search(
        r"of \d+ tests, \d+ need two accounts at a time, \d+ need an account with the role ResellerAdmin", said
    )
    assert "this run has one account (roles: member, reader)" in said and "cannot run and are skipped" in said
    assert said in ran.end["message"] and not (ran.workdir / "subunit").exists()


def test_what_tempest_does_not_find_is_the_clouds_failure(cloud: Cloud, caller: Caller) -> None:
    conf = cloud.tempest_conf()
    conf["identity"]["catalog_type"] = "nothing"
    ran = caller.run(conf, "--testcases", *ONE)
    assert (ran.code, ran.end["reason"]) == (3, "cloud"), ran.stderr
    assert "Tempest cannot find Keystone in the cloud's catalogue" in ran.end["message"]
    assert not (ran.workdir / "subunit").exists()
