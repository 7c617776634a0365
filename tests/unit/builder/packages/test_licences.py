"""What a wheel says about its licence."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from refstack_worker.builder.packages.licences import read_wheel
from refstack_worker.errors import BuildError


def wheel(folder: Path, metadata: str, files: dict[str, str] | None = None) -> Path:
    path = folder / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some-1.0.dist-info/METADATA", f"Name: some\nVersion: 1.0\n{metadata}")
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return path


OSI = "Classifier: License :: OSI Approved ::"


@pytest.mark.parametrize(
    ("metadata", "licence", "is_spdx"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", "MIT OR Apache-2.0", True),
        (f"License: Whatever\n{OSI} MIT License\n", "MIT", True),
        (f"{OSI} MIT License\n{OSI} BSD License\n", "MIT License or BSD License", False),
        ("License: Dual License\n", "Dual License", False),
        ("License: UNKNOWN\n", "", False),
        (f"License: {'a whole text ' * 20}\n", "", False),
        ("", "", False),
    ],
)
def test_the_licence(tmp_path: Path, metadata: str, licence: str, is_spdx: bool) -> None:
    found = read_wheel(wheel(tmp_path, metadata))
    assert (found.licence, found.is_spdx) == (licence, is_spdx)


def test_the_texts_wherever_builders_put_them(tmp_path: Path) -> None:
    inside = "some-1.0.dist-info"
    files = {f"{inside}/LICENSE": "a", f"{inside}/licenses/LICENSE": "b", f"{inside}/licenses/NOTICE": "a"}
    found = read_wheel(wheel(tmp_path, "", {**files, f"{inside}/top_level.txt": "x", "some/LICENSE": "y"}))
    assert sorted(name for name, _ in found.texts) == ["LICENSE", "LICENSE.2"]


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_wheel_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(BuildError, match=r"bad-1\.0-py3-none-any\.whl: not a wheel"):
        read_wheel(path)
