"""python-tempestconf as this program calls it, with a script in its place that shows what it was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refstack_worker.execute_test.failures import BadInput, TempestFailure
from refstack_worker.execute_test.tempest.conf import Conf
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.tempestconf import last_error, run_tempestconf
from refstack_worker.execute_test.tempest.workspace import Workspace

CLOUD = {"auth": {"username": "ann", "password": "s3cret-word"}}
WORKS = """\
#!/bin/sh
echo "$@" > {folder}/words
cp "$4" {folder}/given
cp "$HOME/.config/openstack/clouds.yaml" {folder}/clouds
shift 4
printf '[DEFAULT]\ndebug = true\n[compute]\nimage_ref = abc\n' > "$2"
"""
FAILS = """\
#!/bin/sh
echo "2026-11-26 09:00:00.000 7 ERROR tempest [-] Traceback (most recent call last):" >&2
echo "2026-11-26 09:00:00.000 7 ERROR tempest     raise exceptions.Unauthorized(resp_body)" >&2
echo "2026-11-26 09:00:00.000 7 ERROR tempest tempest.lib.exceptions.Unauthorized: Unauthorized" >&2
echo "2026-11-26 09:00:00.000 7 ERROR tempest Details: The request needs authentication." >&2
echo "2026-11-26 09:00:00.000 7 ERROR tempest " >&2
exit 1
"""


def called(folder: Path, script: str, given: Conf, is_admin: bool = True) -> Conf:
    tool = folder / "bin" / "discover-tempest-config"
    tool.parent.mkdir()
    tool.write_text(script.format(folder=folder))
    tool.chmod(0o755)
    workspace = Workspace(folder / "work")
    workspace.create()
    return run_tempestconf(_tempest(folder), workspace, CLOUD, given, is_admin)


def test_what_is_set_goes_in_a_file_without_passwords(tmp_path: Path) -> None:
    given: Conf = {
        "DEFAULT": {"debug": True},
        "compute": {"image_ref": "abc", "min_compute_nodes": 1},
        "auth": {"admin_username": "ann", "admin_password": "s3cret-word"},
        "volume": {"storage_protocol": "100%", "backend_names": ["a", "b"]},
        "account.1": {"username": "joe", "password": "s3cret-word"},
        "identity": {"username": "ann", "password": "s3cret-word"},
    }
    assert called(tmp_path, WORKS, given) == {"compute": {"image_ref": "abc"}}
    written = (tmp_path / "given").read_text()
    assert "[compute]\nimage_ref = abc\nmin_compute_nodes = 1\n" in written
    assert "admin_username = ann" in written and "backend_names = a,b" in written
    for absent in ("s3cret-word", "100%", "account.1", "DEFAULT"):
        assert absent not in written
    assert json.loads((tmp_path / "clouds").read_text()) == {"clouds": {"refstack": CLOUD}}
    words = (tmp_path / "words").read_text()
    assert "s3cret-word" not in words and "--non-admin" not in words


def test_an_ordinary_user(tmp_path: Path) -> None:
    called(tmp_path, WORKS, {}, is_admin=False)
    assert (tmp_path / "words").read_text().endswith("--non-admin\n")


def test_its_error_is_told_and_not_the_empty_line_behind_it(tmp_path: Path) -> None:
    with pytest.raises(TempestFailure) as caught:
        called(tmp_path, FAILS, {})
    assert str(caught.value) == (
        "python-tempestconf ended with status 1: tempest.lib.exceptions.Unauthorized: Unauthorized; "
        "Details: The request needs authentication."
    )


def test_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="python-tempestconf is not installed"):
        run_tempestconf(_tempest(tmp_path), Workspace(tmp_path), CLOUD, {}, True)


def test_the_last_error_of_any_output() -> None:
    assert last_error("") == "no output"
    assert last_error("something\nelse\n\n") == "else"
    assert last_error("Traceback\nKeyError: 'x'\n  noise below\n") == "KeyError: 'x'"
    assert last_error("ValueError: 1\nopenstack.exceptions.SDKException\n") == "openstack.exceptions.SDKException"


def _tempest(folder: Path) -> Tempest:
    return Tempest(folder / "bin" / "tempest", "47.0.0", include_list=True, name_prefix=True)
