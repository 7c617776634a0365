"""Answers are read from files, variables and arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
from refstack_install.answers import sources
from refstack_install.errors import AnswersError


def test_a_file_has_settings_and_sections_for_the_worker(tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    file.write_text('[gearman]\nservers = ["file:1"]\n[node]\nslots = 2\n[configuration.limits]\nmin_free_mb = 5\n')
    values, configuration = sources.from_file(file)
    assert values == {"gearman.servers": ["file:1"], "node.slots": 2}
    assert configuration == {"limits": {"min_free_mb": 5}}


@pytest.mark.parametrize("text", ["[node\n", "node = 1\n", "[configuration]\nx = 1\n", '[node]\nnick = "x"\n', "\xff"])
def test_an_error_names_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(AnswersError, match="answers.toml"):
        sources.from_file(file)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnswersError, match="cannot read .*No such file.*--answers"):
        sources.from_file(tmp_path / "none.toml")


def test_only_variables_of_settings_are_read() -> None:
    environ = {"REFSTACK_INSTALL_GEARMAN_SERVERS": "a:1, b:2", "REFSTACK_INSTALL_OTHER": "x", "OTHER": "x"}
    assert sources.from_environment(environ) == {"gearman.servers": "a:1, b:2"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("gearman.server=x", "unknown setting gearman.server: did you mean gearman.servers?"),
        ("nonsense", "expected: section.key=value"),
    ],
)
def test_malformed_assignments_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(AnswersError) as caught:
        sources.from_assignments([assignment])
    assert message in str(caught.value)


def test_settings_of_the_worker_are_json() -> None:
    sections = sources.configuration_from_assignments(["limits.min_free_mb=5", 'log.level="debug"', "limits.x=[1, 2]"])
    assert sections == {"limits": {"min_free_mb": 5, "x": [1, 2]}, "log": {"level": "debug"}}


@pytest.mark.parametrize("assignment", ["limits.x", "limits=5", ".x=5", "limits.=5", "log.level=debug"])
def test_malformed_settings_of_the_worker_are_refused(assignment: str) -> None:
    with pytest.raises(AnswersError, match="expected: section.key=<JSON value>"):
        sources.configuration_from_assignments([assignment])
