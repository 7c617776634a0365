"""What the parts of a whole cloud run with: their software, their processes, and whether they answer."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from democloud import ports
from democloud.services import Services
from democloud.software import Say, Software
from refstack_worker import process

INSTALLER = Path(__file__).resolve().parents[2]
READY_SECONDS = 240.0
ANSWER_SECONDS = 5.0
MANAGE_SECONDS = 600.0

SCRIPTS = {
    "keystone.wsgi.api": "keystone-wsgi-public", "glance.wsgi.api": "glance-wsgi-api",
    "placement.wsgi.api": "placement-api", "neutron.wsgi.api": "neutron-api",
    "nova.wsgi.osapi_compute": "nova-api-wsgi", "cinder.wsgi.api": "cinder-wsgi",
}  # fmt: skip


@dataclass(frozen=True)
class Api:
    """A WSGI module to serve."""

    name: str
    module: str
    port: int
    workers: int
    arguments: str = ""
    """Command line that the module reads."""


@dataclass(frozen=True)
class Runtime:
    """The software of one cloud, its processes, and where progress is reported."""

    software: Software
    services: Services
    cache: Path
    say: Say

    def environment(self, **more: str | Path) -> dict[str, str]:
        """The environment of a program of the cloud; the stand-ins can be imported."""
        own = {
            "PYTHONPATH": f"{INSTALLER}:{self.services.folder}/entry-points",
            # stevedore keeps what it found of 200 distributions: seconds for each process
            "XDG_CACHE_HOME": str(self.cache / "entry-points"),
        }
        return {**own, **{name: str(value) for name, value in more.items()}}

    def manage(self, program: str, *words: str | Path, **env: str | Path) -> None:
        """Run one of the ``…-manage`` programs to its end.

        :raises ProcessError: it failed.
        """
        whole = {"PATH": "/usr/bin:/bin:/usr/sbin", "LANG": "C.UTF-8", **self.environment(**env)}
        path = self.software.program(program)
        process.run([path, *words], process.Options(env=whole, timeout=MANAGE_SECONDS))

    def program(self, name: str, *words: str | Path) -> None:
        """Start one of OpenStack's daemons."""
        self.services.start(name, [self.software.program(name), *words], self.environment())

    def web(self, api: Api, **env: str | Path) -> None:
        """Serve a WSGI module with uWSGI."""
        command: list[str | Path] = [
            self.software.program("uwsgi"), "--http", f"127.0.0.1:{api.port}", "--add-header", "Connection: close",
            # Glance takes images in chunks
            "--http-auto-chunked", "--http-chunked-input", "--http-raw-body",
            "--die-on-term", "--need-app", "--master", "--lazy-apps", "--enable-threads", "--thunder-lock",
            "--processes", str(api.workers), *self._one_at_first(api), "--buffer-size", "65535", "--disable-logging",
            "--virtualenv", self.software.home, *self._application(api.module),
            *(("--pyargv", api.arguments) if api.arguments else ()),
        ]  # fmt: skip
        self.services.start(api.name, command, self.environment(**env))

    def grow(self, workers: int) -> None:
        """Let each API have all its processes; returns before they are ready."""
        for path in self.services.folder.glob(self._fifo("*").name):
            path.write_text("+" * (workers - 1))

    def _application(self, module: str) -> list[str | Path]:
        """Where uWSGI finds a service: OpenStack has modules for that from 2025.1 on, and had scripts before."""
        path = Path(*module.split(".")).with_suffix(".py")
        if any(self.software.home.glob(f"lib/python3*/site-packages/{path}")):
            return ["--module", f"{module}:application"]
        return ["--wsgi-file", self.software.program(SCRIPTS[module])]

    def _one_at_first(self, api: Api) -> list[str | Path]:
        """A cloud is ready sooner with one process of each API; :meth:`grow` adds the others."""
        manual: list[str | Path] = ["--cheaper", "1", "--cheaper-algo", "manual", "--master-fifo", self._fifo(api.name)]
        return manual if api.workers > 1 else []

    def _fifo(self, name: str) -> Path:
        return self.services.folder / f"{name}.fifo"

    def await_answers(self, addresses: Sequence[tuple[str, str]]) -> None:
        """Return when each service answers with success; ``addresses`` are pairs of service and URL.

        :raises CloudError: a service ended, or does not answer in time.
        """
        for name, url in addresses:
            ports.wait(partial(self._answers, name, url), f"{name} to respond", READY_SECONDS)

    def _answers(self, name: str, url: str) -> bool:
        self.services.check(name)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=ANSWER_SECONDS):
                return True
        except urllib.error.HTTPError as error:
            # "300 Multiple Choices" is what several list their versions with
            return error.code < HTTPStatus.BAD_REQUEST
        except (OSError, ValueError):
            return False
