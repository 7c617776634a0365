"""Wheels are unpacked as an installer would, and those that mean harm are refused by name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from refstack_worker.environments.wheels import unpack as unpack_module
from refstack_worker.environments.wheels.unpack import Manifest, unpack
from refstack_worker.errors import WheelError
from tests.support.wheel_files import add_member, make_wheel


def unpacked(wheel: Path, tmp_path: Path) -> tuple[Path, Manifest]:
    entry = tmp_path / "entry"
    with wheel.open("rb") as stream:
        return entry, unpack(wheel.name, "0" * 64, stream, entry)


def test_parts_go_where_they_belong(tmp_path):
    files = {
        "pkg/__init__.py": "",
        "pkg-1.0.data/scripts/run-it": "#!python\nprint(1)\n",
        "pkg-1.0.data/data/etc/pkg/a.conf": "a",
        "pkg-1.0.data/headers/pkg.h": "h",
        "pkg-1.0.data/purelib/more.py": "",
    }
    wheel = make_wheel(tmp_path, "pkg", "1.0", files, entry_points="[console_scripts]\nsay = pkg:main\n")
    entry, manifest = unpacked(wheel, tmp_path)
    assert {
        "site/pkg/__init__.py", "site/more.py", "scripts/run-it", "data/etc/pkg/a.conf", "headers/pkg.h",
        "site/pkg-1.0.dist-info/INSTALLER", "site/pkg-1.0.dist-info/RECORD",
    } <= set(manifest.files)  # fmt: skip
    assert manifest.entry_points == (("say", "pkg", "main", "console"),)
    record = (entry / "site/pkg-1.0.dist-info/RECORD").read_text().splitlines()
    assert "../../../bin/run-it,," in record and "../../../bin/say,," in record
    assert any(line.startswith("../../../etc/pkg/a.conf,sha256=") for line in record)
    assert any(line.startswith("more.py,sha256=") for line in record)


def test_files_are_read_only_and_dated(tmp_path):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg/__init__.py": "", "pkg-1.0.data/scripts/x": "#!python\n"})
    entry, manifest = unpacked(wheel, tmp_path)
    for name, (_, _, executable) in manifest.files.items():
        state = os.stat(entry / name)
        assert stat.S_IMODE(state.st_mode) == (0o555 if executable else 0o444)
        assert state.st_mtime == unpack_module.TIMESTAMP
    assert manifest.files["scripts/x"][2]


def test_manifest_survives_its_file(tmp_path):
    _, manifest = unpacked(make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": "1"}), tmp_path)
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    ("member", "mode", "says"),
    [
        ("../../climbs.py", stat.S_IFREG, "leads outside"),
        ("pkg/../../climbs.py", stat.S_IFREG, "leads outside"),
        ("pkg\\..\\..\\climbs.py", stat.S_IFREG, "leads outside"),
        ("pkg-1.0.data/scripts/../../../climbs", stat.S_IFREG, "leads outside"),
        ("/tmp/absolute.py", stat.S_IFREG, "absolute path"),
        ("C:/absolute.py", stat.S_IFREG, "absolute path"),
        ("pkg/link.py", stat.S_IFLNK | 0o777, "link or a device"),
        ("pkg/fifo", stat.S_IFIFO, "link or a device"),
        ("pkg/__init__.py", stat.S_IFREG, "there twice"),
        ("pkg-1.0.data/nowhere/x", stat.S_IFREG, "is not a wheel"),
        ("pkg//x", stat.S_IFREG, "is not a plain path"),
        ("./pkg/x", stat.S_IFREG, "is not a plain path"),
        ("pkg-1.0.data", stat.S_IFREG, "begins like the wheel's data folder"),
        ("pkg-1.0.database/x", stat.S_IFREG, "begins like the wheel's data folder"),
    ],
)
def test_harm_is_refused_by_name(tmp_path, member, mode, says):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg/__init__.py": ""})
    add_member(wheel, member, "/etc/passwd", mode)
    with pytest.raises(WheelError) as refused:
        unpacked(wheel, tmp_path)
    assert wheel.name in str(refused.value)
    assert says in str(refused.value)
    outside = {path.name for path in tmp_path.rglob("*")} | {path.name for path in tmp_path.parent.iterdir()}
    assert not outside & {"climbs.py", "climbs", "absolute.py"}
    assert not Path("/tmp/absolute.py").exists()


def test_a_record_that_is_none(tmp_path):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"two\nlines.py": ""})
    with pytest.raises(WheelError, match="is not a wheel"):
        unpacked(wheel, tmp_path)


@pytest.mark.parametrize("value", ["pkg", "pkg:", ":main", "pkg.main()"])
def test_a_script_that_calls_no_function_is_named(tmp_path, value):
    """pip refuses it, too; other groups may name a module alone."""
    points = f"[plugins]\nmine = pkg\n[console_scripts]\nSay = {value}\n"
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""}, entry_points=points)
    with pytest.raises(WheelError, match=r"pkg-1\.0.*entry_points\.txt: the script 'Say' names no MODULE:FUNCTION"):
        unpacked(wheel, tmp_path)


def test_entry_points_of_other_groups_are_not_looked_at(tmp_path):
    points = "[plugins]\nmine = pkg\n[gui_scripts]\nsay = pkg : Main.run [extra]\n"
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""}, entry_points=points)
    assert unpacked(wheel, tmp_path)[1].entry_points == (("say", "pkg", "Main.run", "gui"),)


def test_two_ways_to_the_same_file(tmp_path):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": "1", "pkg-1.0.data/purelib/pkg.py": "2"})
    with pytest.raises(WheelError, match=r"pkg-1.0.*twice"):
        unpacked(wheel, tmp_path)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"pkg": "1", "pkg/x.py": "2"}, "both as a file and as a folder"),
        ({"pkg/x.py": "2", "pkg": "1"}, "both as a file and as a folder"),
        ({"x" * 300: ""}, "too long"),
    ],
)
def test_names_that_no_folder_takes_are_the_wheels_fault_not_the_disks(tmp_path, files, says):
    with pytest.raises(WheelError, match=says):
        unpacked(make_wheel(tmp_path, "demo", "1.0", files), tmp_path)


def test_bomb_is_refused_before_it_grows(tmp_path):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"zeros.py": "\0" * (64 << 20)})
    assert wheel.stat().st_size < 1 << 20
    with pytest.raises(WheelError, match="too much for a wheel"):
        unpacked(wheel, tmp_path)
    assert not (tmp_path / "entry/site").exists()


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack_module, "MAX_FILES", 3)
    wheel = make_wheel(tmp_path, "pkg", "1.0", {f"f{number}.py": "" for number in range(4)})
    with pytest.raises(WheelError, match="more than 3"):
        unpacked(wheel, tmp_path)


def test_truncated_and_damaged(tmp_path):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": "x = 1\n" * 1000})
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WheelError, match=wheel.name):
        unpacked(wheel, tmp_path)
    wheel.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    (tmp_path / "entry").rename(tmp_path / "before")
    with pytest.raises(WheelError, match=wheel.name):
        unpacked(wheel, tmp_path)


def test_not_the_distribution_it_says(tmp_path):
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""}).rename(tmp_path / "other-1.0-py3-none-any.whl")
    with pytest.raises(WheelError, match="other-1.0"):
        unpacked(wheel, tmp_path)
