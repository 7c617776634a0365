"""The folders and environment of Tempest during a run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from refstack_worker.contract.execute_test import TEMPEST_LOG_FILE
from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.tempest.conf import Conf
from refstack_worker.execute_test.tempest.installation import Tempest

PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE",
             "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TZ", "LD_LIBRARY_PATH")  # fmt: skip
"""Variables that Tempest inherits; the caller's ``OS_*`` and ``TEMPEST_*`` are not among them."""

PLAIN = re.compile(r"[A-Za-z0-9_./+@:,=~-]+")
"""Paths that mean the same to a shell without quotes."""


@dataclass
class Workspace:
    """What is kept of a run, and what is removed at its end."""

    folder: Path
    scratch: Path = field(init=False)

    def __post_init__(self) -> None:
        self.scratch = self.folder / "workspace"

    @property
    def conf(self) -> Path:
        """Tempest's configuration, which holds the cloud's secrets."""
        return self.folder / "tempest.conf"

    @property
    def python_path(self) -> Path:
        """What Tempest's processes import beside their own virtualenv."""
        return self.scratch / "python"

    @property
    def test_path(self) -> Path:
        """Where stestr looks for the tests; it puts this path into a shell's command line, too."""
        return self.temporary / "tests"

    @property
    def accounts_file(self) -> Path:
        """The accounts that Tempest may use if there is no administrator."""
        return self.scratch / "accounts.yaml"

    @property
    def test_list(self) -> Path:
        """The list of tests that Tempest reads."""
        return self.scratch / "tests.txt"

    @property
    def running_log(self) -> Path:
        """Where Tempest writes its log while it runs."""
        return self.scratch / "log" / TEMPEST_LOG_FILE

    @property
    def kept_log(self) -> Path:
        """Where its log is afterwards."""
        return self.folder / TEMPEST_LOG_FILE

    @cached_property
    def temporary(self) -> Path:
        """Folder for Tempest's temporary files.

        stestr puts their paths unquoted into a shell's command line. Where the work folder's path means something else
        there (a blank, a quote), they are in a folder of the system's.
        """
        if PLAIN.fullmatch(str(self.scratch)):
            return self.scratch / "tmp"
        candidates = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 - mkdtemp makes a folder of its own
        parent = next((path for path in candidates if PLAIN.fullmatch(path)), None)
        return Path(tempfile.mkdtemp(prefix="execute_test-", dir=parent))

    def create(self) -> None:
        """Create the folders; only their owner can read them."""
        for name in ("run", "list", "cleanup", "home", "tmp", "lock", "log"):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)

    def forced_conf(self, prefix: str) -> Conf:
        """Return the options that only this program sets, so that Tempest writes nowhere else."""
        common = {"log_dir": str(self.scratch / "log"), "log_file": TEMPEST_LOG_FILE, "use_stderr": False}
        if prefix:
            common["resource_name_prefix"] = prefix
        return {"DEFAULT": common, "oslo_concurrency": {"lock_path": str(self.scratch / "lock")}}

    def environment(self, tempest: Tempest) -> dict[str, str]:
        """Return the environment of Tempest's processes; it holds no secret of the run."""
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        programs = tempest.program.parent
        if self.python_path.is_dir():
            inherited["PYTHONPATH"] = str(self.python_path)
        return {**inherited, "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV": str(programs.parent),
                "PYTHON": "python", "HOME": str(self.scratch / "home"),
                "TMPDIR": str(self.temporary), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                # Tempest keeps accounts in sets: they are handed out in the order in which it was tried beforehand
                "PYTHONHASHSEED": "0"}  # fmt: skip

    def keep_log(self) -> None:
        """Keep Tempest's log in the work folder, without the secrets."""
        with (
            contextlib.suppress(FileNotFoundError),
            open(self.running_log, encoding="utf-8", errors="surrogateescape") as log,
        ):
            with open(self.kept_log, "w", encoding="utf-8", errors="surrogateescape") as kept:
                for line in log:
                    kept.write(SECRETS.mask(line))

    def remove(self) -> None:
        """Remove what holds secrets or is of no use."""
        with contextlib.suppress(FileNotFoundError):
            self.conf.unlink()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if "temporary" in vars(self):
            shutil.rmtree(self.temporary, ignore_errors=True)
