"""What the installer is told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from refstack_install import answers as asking
from refstack_install import questions, toml
from refstack_install.cli import main
from refstack_install.errors import AnswersError


def test_the_strongest_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    file.write_text(
        '[gearman]\nservers = ["file:1"]\n[node]\nslots = 2\nname = "n"\n[configuration.limits]\nmin_free_mb = 5\n'
    )
    values, configuration = asking.from_file(file)
    environment = asking.from_environment({"REFSTACK_INSTALL_GEARMAN_SERVERS": "a:1, b:2", "OTHER": "x"})
    made = asking.make([values, environment, asking.from_words(["node.slots=3"])], configuration)
    assert made.names("gearman.servers") == ("a:1", "b:2")
    assert made.number("node.slots") == 3
    assert made.text("node.name") == "n"
    assert made.configuration == {"limits": {"min_free_mb": 5}}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("gearman.server=x", "unknown setting gearman.server: did you mean gearman.servers?"),
        ("tempest.versions=47.0.0;rm -rf /", "not 'Tempest versions"),
        ("tempest.versions=47", None),
        ("gearman.servers=host:port", "not 'gearmand"),
        ("gearman.servers=[::1]:4730", None),
        ("server.urls=ftp://x", "not 'RefStack servers"),
        ("server.urls=https://user:pw@x", "not 'RefStack servers"),
        ("node.slots=many", "a whole number is expected"),
        ("node.slots=-1", "a whole number is expected"),
        ("tempest.warm=perhaps", "true or false is expected"),
        ("repository.fingerprint=abc", "not 'of that key"),
        ("repository.fingerprint=e36c 0ba2 d079 59b0 ed4a  4904 7588 8bc5 284d 0e70", None),
        ("node.name=../x", "not 'how the node"),
        ("packages.extra=-o=x", "not 'further packages"),
        ("nonsense", "section.key=value is expected"),
    ],
)
def test_every_answer_is_checked(word: str, says: str | None) -> None:
    if says is None:
        asking.make([asking.from_words([word])], {})
        return
    with pytest.raises(AnswersError) as caught:
        asking.make([asking.from_words([word])], {})
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["[node\n", "node = 1\n", "[configuration]\nx = 1\n", '[node]\nnick = "x"\n', "\xff"])
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(AnswersError, match="answers.toml"):
        asking.from_file(file)


def test_answers_are_kept_as_they_were_given(tmp_path: Path) -> None:
    given = {"tempest.versions": ["47.0.0"], "node.slots": 4, "server.urls": ["https://x"]}
    made = asking.make([given], {"run": {"stop_grace": 2.5}, "log": {"level": 'a"b\\c\n\x01'}})
    file = tmp_path / "kept.toml"
    file.write_text(asking.as_toml(made))
    values, configuration = asking.from_file(file)
    assert asking.make([values], configuration) == made


def test_toml_is_written_sorted_and_read_back() -> None:
    tables = {"b": {"y": [1, "two"], "x": True}, "a": {"z z": {"k": 1.5}}}
    text = toml.dumps(tables)
    assert toml.loads(text) == tables
    assert text.index("[a]") < text.index("[b]") and text.index("x =") < text.index("y =")


def test_questions_ask_again_until_it_makes_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["repo", "bad version", "47.0.0", "gm:4730", "https://s", "/fleet", "/server"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    given = questions.ask(asking.make([], {}))
    assert given["tempest.versions"] == "47.0.0"
    assert not asking.make([given], {}).missing()
    assert "bad" in capsys.readouterr().err
    with pytest.raises(AnswersError, match="no answer"):
        questions.ask(asking.make([], {}))


def test_what_is_missing_is_named_and_the_status_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text("ID=debian\n")
    assert main(["plan", "--json", "--root", str(tmp_path), "--set", "node.slots=1"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["reason"] == "answers"
    assert "keys.fleet" in error["what"]
    assert main(["plan", "--nonsense"]) == 3
    assert "see --help" in capsys.readouterr().err
