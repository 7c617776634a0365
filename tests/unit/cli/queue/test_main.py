"""``refstack-queue`` on a real ledger (SQLite) and real key files."""

from __future__ import annotations

import json
import logging
import pkgutil
import re
import stat
from pathlib import Path

import pytest

from refstack_worker.cli import app
from refstack_worker.cli.queue import main
from refstack_worker.cli.queue.standalone import files
from refstack_worker.cli.queue.standalone.files import Folder, Wish
from refstack_worker.cli.worker import main as worker_main
from refstack_worker.config import server, worker
from refstack_worker.errors import ConfigError


@pytest.fixture(autouse=True)
def quiet_root():
    root = logging.getLogger()
    before = list(root.handlers), root.level, app.LOG.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    app.LOG.setLevel(before[2])


@pytest.fixture
def call(tmp_path, capsys):
    folder = Folder(tmp_path / "queue")
    folder.path.mkdir()
    files.prepare(folder, Wish())

    def run(*words):
        status = main.main(["--config", str(folder.settings), *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    run.folder = folder
    return run


def test_database_up_down_and_version(call):
    assert call("db", "version", "-f", "json")[0] == 0
    assert call("token", "list")[0] == 16, "no tables yet: says 'db upgrade'"
    status, out, _ = call("db", "upgrade")
    assert status == 0
    assert json.loads(call("db", "version", "-f", "json")[1]) == {"database": out.strip(), "software": out.strip()}
    assert call("db", "downgrade", "base")[0] == 0
    assert json.loads(call("db", "version", "-f", "json")[1])["database"] == "none"


def test_a_downgrade_deletes_data_only_when_asked_to(call):
    call("db", "upgrade")
    newest = json.loads(call("db", "version", "-f", "json")[1])
    call("token", "create", "me", "--scope", "operator")
    for revision in ("0001", "base"):
        status, _, err = call("db", "downgrade", revision)
        assert status == 2 and "1 token" in err and "--delete-data" in err and "backup create" in err
    assert json.loads(call("db", "version", "-f", "json")[1]) == newest
    status, out, _ = call("db", "downgrade", "0001", "--delete-data")
    assert (status, out) == (0, "0001\n")


def test_tokens_are_shown_once_and_end(call):
    call("db", "upgrade")
    made = json.loads(call("token", "create", "me", "--scope", "operator", "--expires", "30d", "-f", "json")[1])
    assert made["token"].startswith("rsq_")
    listed = call("token", "list", "-f", "json")[1]
    assert made["token"] not in listed
    assert [row["State"] for row in json.loads(listed)] == ["good"]
    assert call("token", "revoke", str(made["id"]))[0] == 0
    assert json.loads(call("token", "list", "-f", "json")[1])[0]["State"] == "revoked"
    assert call("token", "revoke", "99")[0] == 6
    assert call("token", "create", "vendor without user")[0] == 2
    assert call("token", "create", "x", "--scope", "operator", "--expires", "soon")[0] == 2


def test_keys_are_listed_rotated_and_never_shown(call):
    before = json.loads(call("keys", "show", "-f", "json")[1])
    assert [row["Key"] for row in before] == ["sign", "fleet", "store"]
    assert json.loads(call("keys", "generate", str(call.folder.keys), "-f", "json")[1]) == {}
    rotated = json.loads(call("keys", "rotate", "fleet", str(call.folder.keys), "-f", "json")[1])
    fleet = [row for row in json.loads(call("keys", "show", "-f", "json")[1]) if row["Key"] == "fleet"]
    assert [(row["Id"], row["State"]) for row in fleet] == [(rotated["id"], "in use"), (before[1]["Id"], "still valid")]
    shown = call("keys", "show")[1]
    for file in call.folder.keys.iterdir():
        assert file.read_text().split()[1] not in shown
    assert call("keys", "rotate", "sign", str(call.folder.path))[0] == 3


def test_keys_are_made_in_the_folder_of_the_settings(call):
    for file in call.folder.keys.iterdir():
        file.unlink()
    assert call("keys", "generate", "-f", "json")[0] == 0
    assert [row["State"] for row in json.loads(call("keys", "show", "-f", "json")[1])] == ["in use"] * 3


def test_lost_halves_of_keys(call):
    folder = call.folder.keys
    before = {file.name: file.read_text() for file in folder.iterdir()}
    call("keys", "rotate", "sign", str(folder))
    public = (folder / "sign.pub").read_text()
    assert len(public.splitlines()) == 2
    # public halves are those of the private ones
    (folder / "sign.pub").unlink()
    (folder / "fleet.pub").unlink()
    assert call("keys", "generate")[0] == 0
    assert (folder / "sign.pub").read_text() == public and (folder / "fleet.pub").read_text() == before["fleet.pub"]
    # the fleet's private key may be on the nodes alone: another one would be sealed to, which they do not have
    (folder / "fleet.key").unlink()
    assert call("keys", "generate")[0] == 0
    assert (folder / "fleet.pub").read_text() == before["fleet.pub"] and not (folder / "fleet.key").exists()
    (folder / "store.key").unlink()
    status, _, err = call("keys", "generate")
    assert status == 3 and "store.key here from a backup" in err
    assert (folder / "store.pub").read_text() == before["store.pub"]


def test_pause_resume_and_status_with_the_queue_away(call):
    call("db", "upgrade")
    assert call("pause")[0] == 0
    status, out, _ = call("status", "-f", "json")
    assert status == 7
    shown = json.loads(out)
    assert (shown["paused"], shown["nodes"], shown["functions"]) == (True, 0, "not known")
    assert any("cannot be reached" in str(value) for value in shown.values())
    assert call("resume")[0] == 0
    assert json.loads(call("status", "-f", "json")[1])["paused"] is False


def test_help_names_all_that_talk_to_the_api():
    over_http = {words.split()[0] for words, where in main.COMMANDS.items() if "queue_users:" in where}
    over_http |= {words.split()[0] for words, where in main.COMMANDS.items() if "queue_runs:" in where}
    assert {word for word in over_http if f"'{word}" not in main.PROGRAM.description} == set()


@pytest.mark.parametrize("commands", [main.COMMANDS, worker_main.COMMANDS], ids=["queue", "worker"])
def test_the_list_of_commands_has_whole_sentences(commands):
    for name, place in commands.items():
        said = pkgutil.resolve_name(place).__doc__.strip()
        # the list shows the first line
        assert said.partition("\n")[0] == said.partition("\n\n")[0], name


def test_run_commands_need_url_and_token(call, monkeypatch):
    monkeypatch.delenv("REFSTACK_URL", raising=False)
    status, _, err = call("run", "list")
    assert (status, "--url" in err) == (3, True)


def test_what_the_first_start_makes_is_read_by_both_sides(call):
    folder = call.folder
    of_server, of_worker = server.load(folder.settings), worker.load(folder.worker_settings)
    assert of_worker.server.urls == (of_server.web.address,)
    assert of_worker.gearman.addresses == of_server.queue.servers
    for private in folder.keys.glob("*.key"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_later_start_keeps_what_is_there(call):
    text = call.folder.settings.read_text() + 'TEMPEST_VERSION = "47.0.0"\n'
    call.folder.settings.write_text(text)
    assert files.prepare(call.folder, Wish()).tempest.version == "47.0.0"
    with pytest.raises(ConfigError, match="APP_ADDRESS"):
        files.prepare(call.folder, Wish(port=1))


def test_another_start_with_other_folders_of_locks_is_refused_and_not_ignored(call, tmp_path):
    with pytest.raises(ConfigError, match=r"worker.toml: has lock_folders = .*change it there"):
        files.prepare(call.folder, Wish(locks=(tmp_path,)))
    with pytest.raises(ConfigError, match="says slots = 1, not 2"):
        files.prepare(call.folder, Wish(slots=2))
    files.prepare(call.folder, Wish(slots=1))


def test_one_owner_of_a_folder(call):
    with files.owned(call.folder), pytest.raises(ConfigError, match="another"):  # noqa: SIM117
        with files.owned(call.folder):
            pass


@pytest.mark.parametrize("text", ["page", "description"])
def test_each_command_is_named_where_it_is_said_what_commands_need(text):
    words = {name.partition(" ")[0] for name in main.COMMANDS}
    if text == "page":
        page = Path(__file__).resolve().parents[4] / "docs" / "refstack-queue.md"
        cells = re.findall(r"^\| (`.*?) \|", page.read_text().partition("| commands |")[2], re.MULTILINE)
        named = {name.partition(" ")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
        assert words <= named
    else:  # what it does not name runs on the server
        on_the_server = {"api", "monitor", "db", "keys", "backup", "config", "doctor"}
        assert words - on_the_server <= set(re.findall(r"'([a-z]+)", main.PROGRAM.description))
