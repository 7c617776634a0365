"""The real RefStack 2.1.0 with MariaDB, on free loopback ports, for the length of a block.

Guidelines come from local files; people sign in with an OpenID provider that believes everything.
"""

from __future__ import annotations

import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import refstack
from tests.support.http_server import Asked, Reply, Scripted, as_json, serving
from tests.support.processes import Program, eventually, free_port

HERE = Path(__file__).resolve().parent
ADD_ON = re.compile(r"[a-z_]+\.(?:[0-9]{4}\.[0-9]{2}|next)\.json")
DATABASE_SERVER = "/usr/sbin/mariadbd"


@dataclass(frozen=True)
class RefStack:
    """A RefStack server that answers."""

    url: str
    """Of the API, without ``/v1``."""
    database: tuple[str, ...]
    """The command that puts SQL to its database."""

    def sign_in(self, name: str) -> requests.Session:
        """Return a session of a person who has just signed in; the account is made."""
        person = requests.Session()
        asked = person.get(f"{self.url}/v1/auth/signin", allow_redirects=False, timeout=30)
        asked.raise_for_status()
        back = urllib.parse.parse_qs(urllib.parse.urlsplit(asked.headers["Location"]).query)["openid.return_to"][0]
        answers = {
            "openid.mode": "id_res",
            "openid.claimed_id": openid(name),
            "openid.sreg.email": f"{name}@example.org",
            "openid.sreg.fullname": name,
        }
        person.get(back, params=answers, allow_redirects=False, timeout=30).raise_for_status()
        return person

    def register_key(self, person: requests.Session, public_key: str, proof: str) -> None:
        """Enter a person's public key, as the profile page does."""
        body = {"raw_key": public_key, "self_signature": proof}
        answer = person.post(f"{self.url}/v1/profile/pubkeys", json=body, timeout=30)
        assert answer.status_code == 201, answer.text

    def result(self, person: requests.Session, test_id: str) -> Any:
        """Return a stored result as its owner sees it."""
        answer = person.get(f"{self.url}/v1/results/{test_id}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def test_list(self, guideline: str, **question: str) -> list[str]:
        """Return the tests that ``GET /v1/guidelines/NAME/tests`` lists."""
        answer = requests.get(f"{self.url}/v1/guidelines/{guideline}/tests", params=question, timeout=30)
        answer.raise_for_status()
        return answer.text.split("\n")


def openid(name: str) -> str:
    """Return the OpenID of a person."""
    return f"https://openid.example.org/{name}"


@contextmanager
def running(folder: Path, guidelines: Mapping[str, Path]) -> Iterator[RefStack]:
    """Start RefStack in a folder, with these guideline files."""
    if not Path(DATABASE_SERVER).exists():
        pytest.skip(f"{DATABASE_SERVER} is missing: RefStack's own migrations need MySQL's dialect")
    with mariadb(folder / "database") as (address, client), serving() as outside:
        provide(outside, guidelines)
        port = free_port()
        configuration = folder / "refstack.conf"
        configuration.write_text(settings(f"http://127.0.0.1:{port}", address, outside.url), encoding="utf-8")
        environment = {**os.environ, "REFSTACK_OSLO_CONFIG": str(configuration), "PYTHONPATH": ""}
        manage = [refstack.home() / "env" / "bin" / "refstack-manage", "--config-file", configuration, "upgrade"]
        subprocess.run(manage, check=True, env=environment, cwd=folder, timeout=300, capture_output=True)
        command = [str(refstack.python()), str(HERE / "wsgi.py"), str(port)]
        with process(command, folder / "log", environment):
            url = f"http://127.0.0.1:{port}"
            eventually("RefStack answers", lambda: answers(f"{url}/v1/results"))
            yield RefStack(url, client)


@contextmanager
def mariadb(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Start a MariaDB with a database for RefStack: its SQLAlchemy address, and the command that asks it."""
    data, socket, port = folder / "data", folder / "socket", free_port()
    data.mkdir(parents=True)
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--user=root"], check=True, capture_output=True, timeout=300)
    server = [DATABASE_SERVER, "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}"]
    server += ["--bind-address=127.0.0.1", f"--port={port}", f"--pid-file={folder / 'pid'}"]
    client = ("mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "--batch", "--skip-column-names")
    with process(server, folder / "log", {}):
        eventually("MariaDB answers", lambda: subprocess.run([*client, "-e", "select 1"], capture_output=True).stdout)
        subprocess.run([*client, "-e", "create database refstack character set utf8"], check=True)
        yield f"mysql+pymysql://root@127.0.0.1:{port}/refstack?charset=utf8", (*client, "refstack", "-e")


@contextmanager
def process(command: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a program for the length of the block."""
    started = Program(command, log, environment)
    try:
        yield
    finally:
        started.end()


def settings(url: str, database: str, outside: str) -> str:
    """Return RefStack's configuration: only registered keys may upload, as on the official server."""
    return (
        f"[DEFAULT]\nui_url = {url}\n"
        f"[api]\napi_url = {url}\nenable_anonymous_upload = False\n"
        f"opendev_api_capabilities_url = {outside}/contents/guidelines\n"
        f"additional_capability_urls = {outside}/contents/add-ons\n"
        f"opendev_raw_base_url = {outside}/raw/\n"
        f"[database]\nconnection = {database}\n"
        f"[osid]\nopenstack_openid_endpoint = {outside}/openid\n"
    )


def provide(outside: Scripted, guidelines: Mapping[str, Path]) -> None:
    """Answer what RefStack asks elsewhere: the guideline repository, and whether a signing in is genuine."""
    add_ons = {name: path for name, path in guidelines.items() if ADD_ON.match(name)}
    powered = {name: path for name, path in guidelines.items() if name not in add_ons}
    places = {"guidelines": powered, "add-ons/guidelines": add_ons}
    for question, folder in (("guidelines", "guidelines"), ("add-ons", "add-ons/guidelines")):
        listed = [{"name": name, "path": f"{folder}/{name}", "type": "file"} for name in places[folder]]
        outside.on(f"/contents/{question}", as_json(listed))
    files = {f"/raw/{folder}/{name}": path for folder, of in places.items() for name, path in of.items()}
    outside.on("/openid", Reply(200, b"is_valid:true\n", {"Content-Type": "text/plain"}))

    def otherwise(asked: Asked) -> Reply:
        found = files.get(asked.path)
        return Reply(200, found.read_bytes()) if found else Reply(404, b"{}")

    outside.otherwise = otherwise


def answers(url: str) -> bool:
    """Return whether an address answers."""
    try:
        return requests.get(url, timeout=5).status_code < 500
    except requests.RequestException:
        return False
