"""Tests are listed while Tempest makes its workspace; that counts only if the workspace is the expected one."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.environments import proof
from refstack_worker.errors import LockError

TEMPEST = """#!/bin/sh
package={package}
echo "$1 in $PWD" >> {calls}
if [ "$1" = init ]; then
    mkdir -p "$4/etc"
    printf '[DEFAULT]\\ntest_path=%s/test_discover\\ntop_dir=%s\\n{group}' $package $package > "$4/.stestr.conf"
    exit
fi
cat .stestr/format > /dev/null || [ "${{PWD##*/}}" = ws ] || exit 1
case "$PWD" in */{lists}) echo "tempest.api.test_it.TestIt.test_one[id-1]" ;; esac
"""


def an_environment(folder: Path, **changes: str) -> tuple[Path, Path]:
    """Make a stand-in for an environment; return it and the file of the calls of its Tempest."""
    package = folder / "env/lib/python3.11/site-packages/tempest"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    script = folder / "env/bin/tempest"
    script.parent.mkdir()
    usual = {"group": r"group_regex=([^\\.]*\\.)*\n", "lists": "*", **changes}
    script.write_text(TEMPEST.format(package=package, calls=folder / "calls", **usual))
    script.chmod(0o755)
    return folder / "env", folder / "calls"


def listed_in(calls: Path) -> list[str]:
    """Return the names of the workspaces in which tests were listed."""
    lines = calls.read_text().splitlines()
    return sorted(line.rpartition("/")[2] for line in lines if line.startswith("run "))


def test_listed_once_where_the_workspace_is_as_expected(tmp_path: Path) -> None:
    environment, calls = an_environment(tmp_path)
    assert proof.list_tests(environment, "Tempest") == ["tempest.api.test_it.TestIt.test_one[id-1]"]
    assert listed_in(calls) == ["expected"]


@pytest.mark.parametrize("other", [{"group": ""}, {"lists": "ws"}], ids=["other workspace", "listed nothing"])
def test_listed_in_tempests_own_workspace_where_anything_is_otherwise(tmp_path: Path, other: dict[str, str]) -> None:
    environment, calls = an_environment(tmp_path, **other)
    assert proof.list_tests(environment, "Tempest") == ["tempest.api.test_it.TestIt.test_one[id-1]"]
    assert listed_in(calls) == ["expected", "ws"]


def test_what_lists_nothing_in_either_is_refused(tmp_path: Path) -> None:
    environment, _ = an_environment(tmp_path, lists="nowhere")
    with pytest.raises(LockError, match="lists 0 tests"):
        proof.list_tests(environment, "Tempest")
