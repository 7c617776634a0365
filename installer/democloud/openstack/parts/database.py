"""MariaDB of a whole cloud, with the prepared copy of its files that later clouds start from."""

from __future__ import annotations

import shutil
from pathlib import Path

from democloud import ports
from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import Site
from refstack_worker import process

NAMES = ("keystone", "glance", "placement", "nova_api", "nova", "nova_cell0", "neutron", "cinder")
READY_SECONDS = 60.0

OPTIONS = (
    "--no-defaults", "--user=root", "--skip-networking", "--skip-log-bin", "--max-connections=600",
    "--performance-schema=0", "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=32M",
    # nothing of a test cloud has to survive a power cut
    "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0",
)  # fmt: skip


def create(folder: Path) -> None:
    """Make the files of an empty MariaDB in ``<folder>/database``."""
    process.run(
        ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={folder}/database",
         "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=32M"],
        process.Options(timeout=120),
    )  # fmt: skip


def copy(template: Path, folder: Path) -> None:
    """Take the files that a template has."""
    shutil.copytree(template / "database", folder / "database")


def start(site: Site, runtime: Runtime, statements: list[str]) -> None:
    """Start MariaDB; ``statements`` are carried out before it accepts connections."""
    first = site.folder / "first.sql"
    first.touch(mode=0o600)
    first.write_text("".join(f"{line};\n" for line in [*_account(site), *statements]))
    socket = site.folder / "database.sock"
    command: list[str | Path] = [
        "mariadbd", *OPTIONS, f"--datadir={site.folder}/database", f"--socket={socket}",
        f"--pid-file={site.folder}/database.pid", f"--init-file={first}",
    ]  # fmt: skip
    runtime.services.start("mariadb", command, {})
    ports.wait(lambda: _is_up(runtime, socket), "MariaDB to start", READY_SECONDS)


def stop(runtime: Runtime) -> None:
    """End MariaDB so that its files are complete."""
    runtime.services.stop("mariadb")


def _is_up(runtime: Runtime, socket: Path) -> bool:
    runtime.services.check("mariadb")
    return socket.exists()


def _account(site: Site) -> list[str]:
    password = site.passwords["database"]
    return [
        f"CREATE OR REPLACE USER 'openstack'@'localhost' IDENTIFIED BY '{password}'",
        "GRANT ALL ON *.* TO 'openstack'@'localhost'",
        *(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3" for name in NAMES),
    ]
