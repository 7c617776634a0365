"""The manual pages name what ``--help`` and ``docs/exit-codes.md`` name."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from refstack_worker.cli.app import INTERRUPTED
from refstack_worker.worker.daemon import RESTART_STATUS

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Program to the text of its manual page, without the marks of fonts."""
    folder = tmp_path_factory.mktemp("manuals")
    subprocess.run([sys.executable, TOP / "packaging" / "manuals", "--out", folder], check=True, timeout=120)
    texts = {path.stem: path.read_text() for path in folder.glob("*.[18]")}
    return {name: re.sub(r"\\f[A-Z]|\\&|\\(?=-)", "", text) for name, text in texts.items()}


@pytest.mark.parametrize("name", ["refstack-worker", "refstack-queue", "refstack-package"])
def test_options_of_each_command_are_named_once_for_all(pages: Mapping[str, str], name: str) -> None:
    options = pages[name].partition(".SH OPTIONS")[2].partition(".SH COMMANDS")[0]
    for option in ("--version", "-v, --verbose", "-q, --quiet", "--log-file LOG_FILE", "--debug"):
        assert f"\n{option}\n" in options
    assert "\n.SS complete\n" in pages[name]


def test_options_for_the_output_are_named_once(pages: Mapping[str, str]) -> None:
    page = pages["refstack-queue"]
    assert "\nrefstack-queue run list [-h] [--state" in page and "[--long] [FORMAT OPTIONS]\n" in page
    formats = page.partition(".SH FORMAT OPTIONS")[2].partition(".SH FILES")[0]
    for option in (
        "-f {csv,json,table,value,yaml}, --format {csv,json,table,value,yaml}",
        "-f {json,shell,table,value,yaml}, --format {json,shell,table,value,yaml}",
        "--fit-width",
        "--sort-descending",
    ):
        assert page.count(f"\n{option}\n") == formats.count(f"\n{option}\n") == 1
    assert "SUPPRESS" not in page


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("execute_test", "-callback SERVER [TEST_ID ...], --callback SERVER [TEST_ID ...]"),
        ("execute_test", "--progress {text,json}"),
        ("execute_test", "--conf-json JSON"),
        ("refstack-queue", "--priority {low,normal,high}"),
        ("refstack-queue", "[keystone]"),
        ("refstack-package", "--machine {x86_64,aarch64}"),
    ],
)
def test_what_an_option_takes_is_named_as_in_its_help(pages: Mapping[str, str], name: str, line: str) -> None:
    assert f"\n{line}\n" in pages[name]


def test_exit_codes_are_those_of_the_page(pages: Mapping[str, str]) -> None:
    codes = pages["refstack-queue"].partition(".SH EXIT STATUS")[2]
    assert "\n.B 9\n'run watch': the run was cancelled\n" in codes
    documented = [int(code) for code in re.findall(r"^\.B (\d+)$", codes, re.MULTILINE)]
    assert documented == [*range(1, 17), RESTART_STATUS, INTERRUPTED]


def test_the_manual_of_gears_server_has_all_its_options() -> None:
    program = [sys.executable, "-c", "from gear.cmd.geard import main; main()", "--help"]
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", subprocess.check_output(program, text=True, timeout=60)))
    page = (TOP / "packaging" / "python3-gear" / "debian" / "geard.8").read_text().replace("\\-", "-")
    assert {one for one in options - {"-h", "--help"} if one not in page} == set()
