"""Known vulnerabilities of locked wheels: OSV's records as they are published, matched as OSV says."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.builder.packages import contents, provenance
from refstack_worker.builder.packages.contents import PackageRequest
from refstack_worker.builder.packages.vulnerabilities import VulnerabilityReport, check_locks
from refstack_worker.errors import BuildError


def record(name: str = "beta", **more: Any) -> dict[str, Any]:
    affected = {"package": {"ecosystem": "PyPI", "name": name}, **more.pop("affected", {})}
    given = {"id": "GHSA-1111", "modified": "2026-01-01T00:00:00Z", "summary": "it\nleaks", "affected": [affected]}
    return {**given, **more}


def in_range(*events: dict[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"ranges": [{"type": kind, "events": list(events)}]}


def looked_up(folder: Path, *records: Any) -> VulnerabilityReport:
    """Look the wheels of ``folder`` up, which all have the version 1.0."""
    source = folder / "osv.json"
    source.write_text(json.dumps(list(records)))
    return check_locks(source, contents.read_locks(folder))


@pytest.mark.parametrize(
    ("affected", "is_found"),
    [
        ({"versions": ["0.9", "1.0"]}, True),
        ({"versions": ["1.0.0"]}, True),
        ({"versions": ["0.9", "nonsense"]}, False),
        (in_range({"introduced": "0"}, {"fixed": "1.1"}), True),
        (in_range({"introduced": "0"}, {"fixed": "1.0"}), False),
        (in_range({"introduced": "0"}), True),
        (in_range({"introduced": "0.5"}, {"last_affected": "1.0"}), True),
        (in_range({"introduced": "0.5"}, {"last_affected": "0.9"}), False),
        (in_range({"introduced": "1.0"}, {"fixed": "1.0.post1"}), True),
        (in_range({"introduced": "1.1"}), False),
        # events come in any order, and a second range of the same record counts by itself
        (in_range({"fixed": "2.0"}, {"introduced": "0.8"}, {"fixed": "0.5"}, {"introduced": "0"}), True),
        (in_range({"fixed": "2.0"}, {"introduced": "1.5"}, {"fixed": "0.5"}, {"introduced": "0"}), False),
        (in_range({"introduced": "0"}, kind="GIT"), False),
        (in_range({"introduced": "no version"}), False),
        ({}, False),
    ],
)
def test_a_version_is_matched_as_osv_says(version_folder: Path, affected: dict[str, Any], is_found: bool) -> None:
    found = looked_up(version_folder, record(affected=affected)).found
    assert [(one.id, one.package, one.version) for one in found] == [("GHSA-1111", "beta", "1.0")] * is_found


def test_a_finding_says_what_to_do(version_folder: Path) -> None:
    affected = in_range({"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "2"}, {"fixed": "2.1"})
    (one,) = looked_up(version_folder, record("BeTa", affected=affected, aliases=["CVE-2026-1"])).found
    assert str(one) == "beta 1.0: GHSA-1111, CVE-2026-1: it leaks (fixed in 1.10, 2.1)"


def test_what_is_not_about_these_wheels_is_left_out(version_folder: Path) -> None:
    everything = in_range({"introduced": "0"})
    npm = record(id="GHSA-2222", affected=everything)
    npm["affected"][0]["package"]["ecosystem"] = "npm"
    report = looked_up(
        version_folder,
        npm,
        record("delta", affected=everything),
        record(id="GHSA-3333", affected=everything, withdrawn="2026-02-01T00:00:00Z"),
    )
    assert report.found == () and report.records == 1


@pytest.mark.parametrize("kind", ["folder", "archive", "folder of archives", "answer of the API", "one record"])
def test_records_are_read_as_osv_gives_them_out(version_folder: Path, tmp_path: Path, kind: str) -> None:
    text = json.dumps(record(affected={"versions": ["1.0"]}))
    source = tmp_path / "osv"
    if "folder" in kind:
        source.mkdir()
    if "archive" in kind:
        source = source / "all.zip" if source.is_dir() else tmp_path / "all.zip"
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("GHSA-1111.json", text)
        source = source.parent if "folder" in kind else source
    elif kind == "folder":
        (source / "GHSA-1111.json").write_text(text)
        (source / "README").write_text("no record")
    else:
        source.write_text(f'{{"vulns": [{text}]}}' if "API" in kind else text)
    report = check_locks(source, contents.read_locks(version_folder))
    assert len(report.found) == 1 and report.newest == "2026-01-01T00:00:00Z" and len(report.sha256) == 64


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[3]", '[{"id": 3}]', '{"vulns": []}'])
def test_files_without_records_are_refused(version_folder: Path, tmp_path: Path, text: str) -> None:
    source = tmp_path / "osv.json"
    source.write_text(text)
    with pytest.raises(BuildError, match=r"osv\.json"):
        check_locks(source, contents.read_locks(version_folder))
    with pytest.raises(BuildError, match="cannot be read"):
        check_locks(tmp_path / "absent.json", contents.read_locks(version_folder))


@pytest.fixture
def no_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe(_package: object, _tree: Path, out: Path) -> Path:
        file = out / "some.deb"
        file.write_bytes(b"package")
        return file

    monkeypatch.setattr(contents, "RECIPES", {"deb": recipe})


@pytest.mark.usefixtures("no_recipes")
class TestBuild:
    def build(self, folder: Path, out: Path, **given: Any) -> Any:
        (file,) = contents.build(PackageRequest(folder, out, ("deb",), **given))
        details = provenance.read(file.with_name("some.deb.provenance.json"))["predicate"]["runDetails"]
        return details["byproducts"][0]["annotations"]

    def test_nobody_looked_and_that_is_said(
        self, version_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            assert self.build(version_folder, tmp_path / "out") == {"checked": False}
        assert "were not checked" in caplog.text and "--osv" in caplog.text

    def test_what_is_known_is_said_and_stands_in_the_provenance(
        self, version_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = tmp_path / "osv.json"
        source.write_text(json.dumps(record(affected={"versions": ["1.0"]})))
        with caplog.at_level(logging.WARNING):
            report = self.build(version_folder, tmp_path / "out", osv=source)
        assert [one["id"] for one in report["found"]] == ["GHSA-1111"] and report["database"]["records"] == 1
        assert "beta 1.0: GHSA-1111" in caplog.text
        with pytest.raises(BuildError, match=r"known vulnerabilities in beta 1\.0"):
            self.build(version_folder, tmp_path / "none", osv=source, fails_if_vulnerable=True)
        assert not (tmp_path / "none").exists()
