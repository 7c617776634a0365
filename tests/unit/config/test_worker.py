from __future__ import annotations

import re
from pathlib import Path

import pytest

from refstack_worker.config import worker
from refstack_worker.errors import ConfigError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "worker.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "worker.toml"


def test_an_empty_file_is_all_defaults(file: Path) -> None:
    file.write_text("")
    settings = worker.load(file)
    assert settings.node.slots == 1 and worker.NODE_NAME.match(settings.node.name)
    assert settings.control_socket == Path("/run/refstack-worker/control.sock")
    assert settings.spool_folder == Path("/var/lib/refstack-worker/spool")
    assert settings.environments.store == Path("/var/cache/refstack-worker/store")
    assert [str(address) for address in settings.gearman.addresses] == ["127.0.0.1:4730"]


def test_conf_d_goes_over_the_main_file(file: Path) -> None:
    file.write_text('[node]\nname = "a"\nslots = 2\n[environments]\nlock_folders = ["/x"]\n')
    (file.parent / "conf.d").mkdir()
    (file.parent / "conf.d" / "site.toml").write_text(
        '[node]\nslots = 4\ntags = ["eu", "gpu"]\n[spool]\nfolder = "/s"\n'
    )
    settings = worker.load(file)
    assert (settings.node.name, settings.node.slots, settings.node.tags) == ("a", 4, ("eu", "gpu"))
    assert settings.environments.lock_folders == (Path("/x"),)
    assert settings.spool_folder == Path("/s")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[node]\nslot = 1\n",
            "worker.toml:2: node.slot is not a setting; known settings: metrics_listen, name, runtime_folder",
        ),
        ("[nodes]\nslots = 1\n", "worker.toml:2: [nodes]: unknown section; known sections: environments, gearman"),
        ("[nonsense]\n", "worker.toml:1: [nonsense]: unknown section; known sections: environments, gearman"),
        ("[node]\nslots = 0\n", "worker.toml:2: node.slots must be a whole number from 1 to 64"),
        ("[node]\nslots = true\n", "worker.toml:2: node.slots must be a whole number"),
        ("[node]\nslots = 1.5\n", "worker.toml:2: node.slots must be a whole number"),
        ('[node]\nslots = "2"\n', "worker.toml:2: node.slots must be a whole number"),
        ("[node]\nname = 3\n", "worker.toml:2: node.name must be text"),
        ('[node]\nname = "a b"\n', "worker.toml:2: node.name must consist of letters"),
        ('[node]\ntags = ["EU"]\n', "worker.toml:2: node.tags 'EU' is not a tag"),
        ('\n[gearman]\nservers = ["host:port"]\n', "worker.toml:3: gearman.servers gearman server 'host:port'"),
        ("[gearman]\nservers = []\n", "worker.toml:2: gearman.servers names no server"),
        ("\n[node.x]\ny = 1\n", "worker.toml:2: node.x is not a setting"),
        ('[node]\nmetrics_listen = "x:y"\n', "worker.toml:2: node.metrics_listen must be host:port"),
        ('[server]\nurls = ["ftp://x"]\n', "worker.toml:2: server.urls 'ftp://x' is not an http or https URL"),
        ('[server]\nurls = ["https://u:p@x"]\n', "worker.toml:2: server.urls"),
        ("[server]\ntimeout = -1\n", "worker.toml:2: server.timeout must be a number from 1 to 600"),
        ('[run]\nrunner = "docker"\n', "worker.toml:2: run.runner must be one of auto, systemd, embedded"),
        ('[run]\nfolder = "runs"\n', "worker.toml:2: run.folder must be an absolute path"),
        ("[run]\nallow_testcase_urls = 1\n", "worker.toml:2: run.allow_testcase_urls must be true or false"),
        ('[log]\nlevel = "loud"\n', "worker.toml:2: log.level must be one of"),
        ('[environments]\nlock_folder = "/x"\n', "worker.toml:2: environments.lock_folder is not a setting"),
    ],
)
def test_a_bad_value_names_file_and_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        worker.load(file)
    assert str(caught.value).startswith(f"{file.parent}/{message}"), str(caught.value)


def test_an_error_in_conf_d_names_that_file(file: Path) -> None:
    file.write_text("[node]\nslots = 1\n")
    (file.parent / "conf.d").mkdir()
    (file.parent / "conf.d" / "90-mine.toml").write_text("# mine\n[node]\nslots = 99\n")
    with pytest.raises(ConfigError, match=re.escape("conf.d/90-mine.toml:3: node.slots")):
        worker.load(file)


def test_the_environment_names_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[node]\nname = "other"\n')
    monkeypatch.setenv("REFSTACK_WORKER_CONFIG", str(file))
    assert worker.load().node.name == "other"


def test_systemds_credential_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("/etc/refstack-worker/fleet.key")
    assert worker.credential(path) == path
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert worker.credential(path) == path
    (tmp_path / "fleet.key").touch()
    assert worker.credential(path) == tmp_path / "fleet.key"


def test_every_key_is_in_the_documentation() -> None:
    text = DOCS.read_text()
    for name, kind in worker.sections().items():
        section = text.split(f"### `[{name}]`", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
        named = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        assert named == {item.name for item in worker.dataclasses.fields(kind)}, name
