"""Completion scripts: read by the shells that are here, and complete where the commands are."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker.cli import completion
from refstack_worker.cli.queue.main import main


def parser(*options: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    for option in options:
        made.add_argument(option, help="It's 100%% of: all, e.g. this. And more.")
    return made


COMMANDS = {"run create": parser("--cloud"), "run list": parser("--limit"), "pause": parser("--reason")}


@pytest.mark.parametrize("shell", list(completion.SHELLS))
def test_shells_that_are_here_read_it(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(completion.SHELLS[shell]("prog", COMMANDS))
    for word in ("create", "cloud", "reason", "pause"):
        assert word in script.read_text()
    assert "And more" not in script.read_text()
    if shell != "bash":
        assert "all, e.g. this" in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("''", "help pause run"), ("run ''", "create list"), ("run create --", "--cloud --help"), ("pa", "pause")],
)
def test_bash_completes(words: str, expected: str, tmp_path: Path) -> None:
    script = completion.bash("prog", COMMANDS)
    count = len(words.split())
    ask = f"COMP_WORDS=(prog {words}); COMP_CWORD={count}; _prog; printf '%s ' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert " ".join(sorted(done.stdout.split())) == expected


WITHOUT_SERVER = """
import sys
for name in ("flask", "sqlalchemy", "alembic", "waitress", "werkzeug", "subunit", "jwt"):
    sys.modules[name] = None
from refstack_worker.cli.queue.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_help_and_completion_are_clean_without_the_servers_part() -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        # in a process of its own: modules that are imported again would not be those that other tests know
        return subprocess.run([sys.executable, "-c", WITHOUT_SERVER, *words], capture_output=True, text=True)

    told = call("--help")
    assert told.returncode == 0 and told.stderr == "" and "Could not" not in told.stdout
    commands, _, lacking = told.stdout.partition(
        "Not available here (this needs the server's part: install refstack-worker[server]"
    )
    assert "  run create " in commands and "db upgrade" not in commands
    assert "  api, " in lacking and "db upgrade" in lacking and "run create" not in lacking, (
        "what the others need is shown"
    )
    assert "Not available" not in call("run", "create", "--help").stdout
    completed = call("complete", "fish")
    assert completed.returncode == 0 and completed.stderr == "" and "run" in completed.stdout
    refused = call("db", "upgrade", "--whatever")
    assert refused.returncode == 3 and "this needs the server's part" in refused.stderr


def test_the_program_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complete", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef refstack-queue")
