"""Stands in for the SSH servers in virtual machines: one listener for all floating addresses.

    python -m democloud.standins.guests CLOUD.JSON SOCKET-FD

It accepts every key and password, asks Nova which server has the address, and answers from what Nova knows. The
listening socket is inherited: it belongs to a network namespace in which all floating addresses are local.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from calendar import timegm
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import requests

HOST_KEY = paramiko.RSAKey.generate(2048)
DISK = "{name:<6} 254:0    0 1073741824  0 disk \n"
SECONDS = 30.0


@dataclass(frozen=True)
class Guest:
    """What Nova knows of one server."""

    name: str
    cores: int
    disks: tuple[str, ...]
    uptime: int

    def answer(self, command: str) -> str:
        """The output of one of the commands that Tempest runs in a server."""
        if "cpuinfo" in command or "nproc" in command:
            return f"{self.cores}\n"
        if "lsblk" in command:
            return "NAME   MAJ:MIN RM       SIZE RO TYPE MOUNTPOINTS\n" + "".join(
                DISK.format(name=disk) for disk in ("vda", *self.disks)
            )
        if "/proc/uptime" in command:
            return f"{self.uptime}\n"
        return f"{self.name}\n" if re.search(r"\bhostname\b", command) else ""


class Nova:
    """Asks the cloud, as its administrator, which server has a floating address."""

    def __init__(self, auth_url: str, password: str) -> None:
        domain = {"id": "default"}
        user = {"name": "admin", "domain": domain, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": "admin", "domain": domain}}
        login = {"auth": {"identity": identity, "scope": scope}}
        answer = requests.post(f"{auth_url}/auth/tokens", json=login, timeout=SECONDS)
        answer.raise_for_status()
        self._headers = {"X-Auth-Token": answer.headers["X-Subject-Token"], "OpenStack-API-Version": "compute 2.90"}
        self._urls = {
            service["type"]: endpoint["url"]
            for service in answer.json()["token"]["catalog"]
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "internal"
        }

    def guest(self, address: str) -> Guest:
        """The server behind a floating address."""
        found = self._get("network", f"/v2.0/floatingips?floating_ip_address={address}")["floatingips"][0]
        port = self._get("network", f"/v2.0/ports/{found['port_id']}")["port"]
        path = f"/servers/{port['device_id']}"
        server = self._get("compute", path)["server"]
        volumes = self._get("compute", f"{path}/os-volume_attachments")["volumeAttachments"]
        changed = timegm(time.strptime(server["updated"], "%Y-%m-%dT%H:%M:%SZ"))
        disks = tuple(str(volume["device"]).rpartition("/")[2] for volume in volumes)
        return Guest(server["OS-EXT-SRV-ATTR:hostname"], server["flavor"]["vcpus"], disks, int(time.time() - changed))

    def _get(self, service: str, path: str) -> Any:
        answer = requests.get(self._urls[service] + path, headers=self._headers, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json()


class Login(paramiko.ServerInterface):
    """One SSH connection to one address."""

    def __init__(self, address: str, auth_url: str, password: str) -> None:
        self._address, self._auth_url, self._password = address, auth_url, password

    def get_allowed_auths(self, username: str) -> str:
        """Keys, as Tempest uses them, and passwords."""
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        """Nova's fake driver puts no key anywhere, so any key holds."""
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_auth_password(self, username: str, password: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Every channel may be opened."""
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        """Answer a command outside paramiko's own thread."""
        threading.Thread(target=self._answer, args=(channel, command.decode()), daemon=True).start()
        return True

    def _answer(self, channel: Any, command: str) -> None:
        try:
            text, status = Nova(self._auth_url, self._password).guest(self._address).answer(command), 0
        except (requests.RequestException, LookupError, ValueError) as error:
            text, status = f"{error}\n", 1
        channel.sendall(text.encode())
        channel.send_exit_status(status)
        channel.close()


def serve(connection: socket.socket, auth_url: str, password: str) -> None:
    """Speak SSH on one connection."""
    address = connection.getsockname()[0]
    try:
        transport = paramiko.Transport(connection)
        transport.add_server_key(HOST_KEY)
        transport.start_server(server=Login(address, auth_url, password))
    except (paramiko.SSHException, OSError, EOFError):
        connection.close()


def main() -> None:
    """Accept connections until the process is ended."""
    site = json.loads(Path(sys.argv[1]).read_text())["site"]
    auth_url = f"http://127.0.0.1:{site['ports']['identity']}/v3"
    listener = socket.socket(fileno=int(sys.argv[2]))
    while True:
        connection, _ = listener.accept()
        words = (connection, auth_url, site["passwords"]["admin"])
        threading.Thread(target=serve, args=words, daemon=True).start()


if __name__ == "__main__":
    main()
