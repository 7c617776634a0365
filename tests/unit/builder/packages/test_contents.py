"""Packages of one Tempest version: what is in them, what they say, and that the same locks give the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

from refstack_worker.builder.packages import contents, deb, rpm, sbom
from refstack_worker.builder.packages.contents import PackageRequest
from refstack_worker.builder.packages.package import debian_version, rpm_version
from refstack_worker.errors import BuildError, UsageError
from tests.unit.builder.conftest import lock_of, make_wheel

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")
needs_rpm = pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild is not installed")


def described(folder: Path, **request: object) -> contents.TempestPackage:
    locks = contents.read_locks(folder)
    return contents.describe(PackageRequest(folder, folder, **request), locks, contents.check_wheels(folder, locks))  # type: ignore[arg-type]


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "rpmbuild" else f"/usr/bin/{tool}")
    contents.check_formats(("deb",))
    with pytest.raises(BuildError, match=r"rpmbuild: not found; install rpm \(Debian\) or rpm-build"):
        contents.check_formats(("deb", "rpm"))


def test_one_package_serves_all_its_interpreters(version_folder: Path) -> None:
    package = described(version_folder)
    assert (package.name, package.pythons, package.machine) == ("refstack-tempest-43.0.0", ("3.11", "3.13"), "x86_64")
    assert deb.depends(package) == "python3.11 | python3.13, refstack-execute-test (>= 0.1.0~)"
    assert rpm.requires(package) == "(python(abi) = 3.11 or python(abi) = 3.13)"


def test_an_interpreter_from_elsewhere_is_its_own_package(version_folder: Path) -> None:
    package = described(version_folder, interpreters=(("3.13", "opt-python3.13"),))
    assert deb.depends(package).startswith("python3.11 | opt-python3.13,")
    assert rpm.requires(package) == "(python(abi) = 3.11 or opt-python3.13)"


def test_the_control_file_says_what_a_node_must_know(version_folder: Path) -> None:
    text = deb.control_file(described(version_folder, revision=2), 100)
    for line in ("Version: 43.0.0-2", "Architecture: amd64", "Provides: refstack-tempest (= 43.0.0)",
                 "Refstack-Interpreters: cpython-3.11, cpython-3.13", "Refstack-Openstack-Releases: 2025.1, 2024.2",
                 "Refstack-Constraints: 2025.1.txt", "Refstack-Tests: 8"):  # fmt: skip
        assert f"{line}\n" in text
    assert all(len(line) <= 80 for line in text[text.index("Description:") :].splitlines())


def test_the_copyright_file_has_every_wheel(version_folder: Path) -> None:
    text = deb.copyright_file(described(version_folder))
    for name in ("tempest", "beta", "gamma"):
        assert f"usr/share/refstack-tempest/43.0.0/wheels/{name}-1.0-py3-none-any.whl\nCopyright: A. Nobody" in text
    assert "License: MIT-OR-BSD-3-Clause\n As the authors write it: MIT OR BSD-3-Clause\n The text is in\n" in text
    assert " On Debian systems the text is in /usr/share/common-licenses/Apache-2.0." in text


def test_the_bill_of_materials_names_each_wheel_once_and_what_needs_it(version_folder: Path) -> None:
    locks = contents.read_locks(version_folder)
    facts = contents.check_wheels(version_folder, locks)
    bill = json.loads(sbom.bill("refstack-tempest-43.0.0", locks, facts, 0))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    parts = {part["name"]: part for part in bill["components"]}
    assert set(parts) == {"tempest", "beta", "gamma"} and len(bill["components"]) == 3
    assert parts["beta"]["licenses"] == [{"expression": "MIT OR BSD-3-Clause"}]
    assert parts["tempest"]["purl"] == "pkg:pypi/tempest@1.0"
    needs = {item["ref"]: item["dependsOn"] for item in bill["dependencies"]}
    assert needs["tempest-1.0-py3-none-any.whl"] == ["beta-1.0-py3-none-any.whl"]


def test_equal_licence_texts_are_stored_once(version_folder: Path, tmp_path: Path) -> None:
    package = described(version_folder)
    locks = contents.read_locks(version_folder)
    contents.stage(package, version_folder, contents.check_wheels(version_folder, locks), tmp_path / "tree")
    texts = sorted((tmp_path / "tree").rglob("LICENSE"))
    assert [path.parent.name for path in texts if path.is_symlink()] == ["tempest-1.0"]
    assert all(path.read_text() in ("words", "other words") for path in texts)
    assert {path.stat().st_mtime for path in (tmp_path / "tree").rglob("*")} == {package.epoch}


@pytest.mark.parametrize("format_", [pytest.param("deb", marks=needs_dpkg), pytest.param("rpm", marks=needs_rpm)])
def test_the_same_locks_give_the_same_bytes(format_: str, version_folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "43.0.0"
    shutil.copytree(version_folder, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))
    first = contents.build(PackageRequest(version_folder, tmp_path / "one", (format_,)))
    second = contents.build(PackageRequest(elsewhere, tmp_path / "two", (format_,)))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@needs_dpkg
def test_what_is_in_the_debian_package(version_folder: Path, tmp_path: Path) -> None:
    path = contents.build(PackageRequest(version_folder, tmp_path, ("deb",)))[0]
    listed = subprocess.run(["dpkg-deb", "--contents", path], capture_output=True, text=True, check=True).stdout
    for name in (
        "pylock.py311-x86_64.toml",
        "pylock.py313-x86_64.toml",
        "sbom.cdx.json",
        "wheels/beta-1.0-py3-none-any.whl",
    ):
        assert f"./usr/share/refstack-tempest/43.0.0/{name}" in listed
    assert all(line.split()[1] == "root/root" for line in listed.splitlines())


@needs_rpm
def test_what_the_rpm_says(version_folder: Path, tmp_path: Path) -> None:
    path = contents.build(PackageRequest(version_folder, tmp_path, ("rpm",)))[0]
    said = subprocess.run(
        ["rpm", "-qp", "--provides", "--requires", path], capture_output=True, text=True, check=True
    ).stdout
    assert "refstack-tempest = 43.0.0" in said and "(python(abi) = 3.11 or python(abi) = 3.13)" in said


@needs_dpkg
def test_a_changed_wheel_is_refused_by_name(version_folder: Path, tmp_path: Path) -> None:
    with (version_folder / "wheels" / "beta-1.0-py3-none-any.whl").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BuildError, match=r"beta-1\.0-py3-none-any\.whl: not the file that was locked"):
        contents.build(PackageRequest(version_folder, tmp_path / "out", ("deb",)))
    assert not (tmp_path / "out").exists()


@needs_dpkg
def test_a_missing_wheel_is_refused_by_name(version_folder: Path, tmp_path: Path) -> None:
    (version_folder / "wheels" / "gamma-1.0-py3-none-any.whl").unlink()
    with pytest.raises(BuildError, match="gamma"):
        contents.build(PackageRequest(version_folder, tmp_path, ("deb",)))


@needs_dpkg
def test_a_lock_that_was_never_proved_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "tempest")
    (tmp_path / "pylock.toml").write_text(lock_of([wheel], tests=0))
    with pytest.raises(BuildError, match="never checked"):
        contents.build(PackageRequest(tmp_path, tmp_path / "out", ("deb",)))


def test_two_versions_in_one_folder_are_refused(version_folder: Path) -> None:
    wheel = version_folder / "wheels" / "tempest-1.0-py3-none-any.whl"
    (version_folder / "pylock.other.toml").write_text(lock_of([wheel], tempest="44.0.0"))
    with pytest.raises(BuildError, match=r"43\.0\.0 and 44\.0\.0"):
        contents.read_locks(version_folder)


PLUGINS = """plugins = { "heat-tempest-plugin" = "3.0.0", "keystone-tempest-plugin" = "0.19.0" }\n"""


def test_a_package_with_plugins_has_a_name_and_a_folder_of_its_own(version_folder: Path) -> None:
    for lock in version_folder.glob("pylock.*.toml"):
        lock.write_text(lock.read_text() + PLUGINS)
    package = described(version_folder)
    assert package.name == "refstack-tempest-43.0.0-heat-keystone"
    assert package.folder == "usr/share/refstack-tempest/43.0.0-heat-keystone"
    plugin = "refstack-tempest-plugin"
    provided = ["refstack-tempest (= 43.0.0)", f"{plugin}-heat (= 3.0.0)", f"{plugin}-keystone (= 0.19.0)"]
    assert deb.provides(package).split(", ") == provided


def test_a_package_has_one_set_of_plugins(version_folder: Path) -> None:
    lock = version_folder / "pylock.py311-x86_64.toml"
    lock.write_text(lock.read_text() + PLUGINS)
    with pytest.raises(BuildError, match=r"43\.0\.0 and 43\.0\.0-heat-keystone; a package has one set"):
        contents.read_locks(version_folder)


ASCENDING = ["47.0.0.dev3", "47.0.0a1", "47.0.0rc1.dev2", "47.0.0rc1", "47.0.0", "47.0.0+site.1", "47.0.0.post1",
             "47.0.1.dev5", "47.0.1.dev5+g1a2b3c4", "47.0.1.dev10", "47.0.1"]  # fmt: skip


@needs_dpkg
def test_dpkg_sorts_versions_as_python_does() -> None:
    assert sorted(ASCENDING, key=Version) == ASCENDING
    assert debian_version("47.0.1.dev5+g1a2b3c4") == "47.0.1~dev5+g1a2b3c4"
    for older, newer in zip(ASCENDING, ASCENDING[1:]):
        words = [f"{debian_version(older)}-2", "lt", f"{debian_version(newer)}-1"]
        assert subprocess.run(["dpkg", "--compare-versions", *words]).returncode == 0, words


@pytest.mark.skipif(not shutil.which("rpm"), reason="rpm is not installed")
def test_rpm_sorts_versions_as_python_does() -> None:
    for older, newer in zip(ASCENDING, ASCENDING[1:]):
        question = f'%{{lua:print(rpm.vercmp("{rpm_version(older)}", "{rpm_version(newer)}"))}}'
        done = subprocess.run(["rpm", "--eval", question], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "-1", (older, newer)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no pylock"):
        contents.read_locks(tmp_path)


def test_an_unknown_format_is_refused(version_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="flatpak"):
        contents.build(PackageRequest(version_folder, tmp_path, ("flatpak",)))


def test_a_validator_of_cyclonedx_accepts_the_bill(version_folder: Path) -> None:
    """By CycloneDX's own schema, strictly: no field that it does not know, licences and hashes as it writes them."""
    pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    make_wheel(version_folder / "wheels", "delta", licence="")
    wheels = sorted((version_folder / "wheels").iterdir())
    (version_folder / "pylock.py311-x86_64.toml").write_text(lock_of(wheels))
    locks = contents.read_locks(version_folder)
    text = sbom.bill("refstack-tempest-43.0.0", locks, contents.check_wheels(version_folder, locks), 0).decode()
    validator = JsonStrictValidator(SchemaVersion.V1_5)
    assert validator.validate_str(text) is None
    components = json.loads(text)["components"]
    assert len(components) == 4 and all(one["hashes"] and one["licenses"] for one in components)
    assert [one["licenses"] for one in components if one["name"] == "delta"] == [[{"license": {"name": "not stated"}}]]
    wrong = json.loads(text)
    wrong["components"][0]["hashes"] = [{"alg": "SHA-256", "content": "none"}]
    assert validator.validate_str(json.dumps(wrong)) is not None
