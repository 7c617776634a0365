"""What has to agree before a release can be cut: setup.cfg, the changelogs, the spec file."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from packaging.version import Version

TOP = Path(__file__).resolve().parents[3]


def stated() -> str:
    settings = configparser.ConfigParser()
    settings.read(TOP / "setup.cfg")
    return settings["metadata"]["version"]


def debian() -> str:
    first = (TOP / "packaging" / "debian" / "changelog").read_text().partition("\n")[0]
    found = re.fullmatch(r"refstack-worker \(([0-9.]+)-\d+\) \S+; urgency=\w+", first)
    assert found, f"packaging/debian/changelog: {first}"
    return found[1]


def test_the_changelog_begins_with_the_version_under_way() -> None:
    headings = re.findall(r"^## (.*)$", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(stated())} \((unreleased|20\d\d-\d\d-\d\d)\)", headings[0]), headings[0]
    assert all(re.fullmatch(r"[0-9.]+ \(20\d\d-\d\d-\d\d\)", heading) for heading in headings[1:])


def test_no_package_is_ahead_of_the_version_under_way() -> None:
    assert Version(debian()) <= Version(stated())


def test_the_spec_file_names_the_version_of_debians_changelog_and_has_its_entry() -> None:
    spec = (TOP / "packaging" / "rpm" / "refstack-worker.spec").read_text()
    assert re.findall(r"global refstack_version ([0-9.]+)\}", spec) == [debian()]
    entries = spec.partition("%changelog\n")[2].splitlines()
    assert re.fullmatch(rf"\* \w{{3}} \w{{3}} \d\d 20\d\d .* - {re.escape(debian())}-1", entries[0]), entries[0]
