"""A real cloud on one machine: Keystone and Swift on free loopback ports, all below one folder.

As a context manager it ends with the block, and with the process that holds it::

    with Cloud(folder) as cloud:
        print(cloud.auth_url, cloud.admin_user, cloud.admin_password, cloud.region)

As a command (``python3 -m democloud start|status|stop FOLDER``) it stays up until it is stopped.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from democloud import keystone, software, swift
from democloud.api import REGION, Account, Session
from democloud.ports import CloudError
from democloud.services import Services
from democloud.software import Say


def default_cache() -> Path:
    """Where downloads and prepared parts are kept between clouds.

    ``REFSTACK_DEMO_CACHE``, or a folder that the services' own account can enter too, or the user's cache.
    """
    chosen = os.environ.get("REFSTACK_DEMO_CACHE")
    if not chosen and os.geteuid() == 0:
        return Path("/var/cache/refstack-worker/demo")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(base) / "refstack-worker" / "demo"


def new_folder(folder: Path) -> None:
    """Make a folder, or take an empty one.

    :raises CloudError: there is something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CloudError(f"{folder}: not empty; choose another folder or remove it")
    folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Options:
    """How a cloud is made."""

    cache: Path | None = None
    without: tuple[str, ...] = ()
    """Swift middlewares to leave out, such as ``tempurl`` or ``slo``."""
    user: str | None = None
    """Account that the services run as, if root starts them; it must be able to enter the folder and the cache."""
    tied: bool = True
    """The services end with the process that starts them."""
    say: Say = lambda text: None  # noqa: E731 - a default for a field
    """Called with each step."""


DEFAULTS = Options()


class Cloud:
    """A Keystone with a Swift; see the module for its use."""

    region = REGION
    admin_user = "admin"
    admin_project = "admin"
    admin_domain = "Default"

    def __init__(self, folder: Path, options: Options = DEFAULTS) -> None:
        self.folder = folder.absolute()
        self.options = options
        self.services = Services(self.folder, options.tied, options.user)
        self._keystone: keystone.Keystone | None = None
        self._swift: swift.Swift | None = None
        self._software: software.Software | None = None

    def __enter__(self) -> Cloud:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def auth_url(self) -> str:
        """Address of Keystone's v3 API."""
        return str(self._known(self._keystone).auth_url)

    @property
    def admin_password(self) -> str:
        """The administrator's password, another one for each cloud."""
        return str(self._known(self._keystone).admin_password)

    @property
    def swift_url(self) -> str:
        return f"http://127.0.0.1:{self._known(self._swift).port}"

    def session(self, user: str = "", password: str = "", project: str = "") -> Session:  # nosec B107 - empty: none
        """Log in: as the administrator, or as another user."""
        admin = self._known(self._keystone).admin
        return Session(Account(self.auth_url, user or admin.user, password or admin.password, project or admin.project))

    def tempest_conf(self) -> dict[str, dict[str, Any]]:
        """What a vendor would give as ``conf_json`` for this cloud: section → option → value."""
        return {
            "auth": {
                "admin_username": self.admin_user,
                "admin_password": self.admin_password,
                "admin_project_name": self.admin_project,
                "admin_domain_name": self.admin_domain,
                "use_dynamic_credentials": True,
            },
            "identity": {"uri_v3": self.auth_url, "auth_version": "v3", "region": self.region},
            "object-storage": {"operator_role": "member", "reseller_admin_role": "ResellerAdmin"},
            # there is no second cluster here to synchronise with
            "object-storage-feature-enabled": {"container_sync": False, "discoverable_apis": list(swift.FEATURES)},
        }

    def start(self) -> None:
        """Prepare and start everything; returns when Keystone and Swift answer.

        :raises CloudError: something is missing, does not start, or the folder is in use.
        """
        new_folder(self.folder)
        cache = self.options.cache or default_cache()
        ware = self._software = software.prepare(cache, self.options.say)
        self.options.say("starting Keystone and Swift")
        object_store = swift.plan(self.folder / "swift", self.options.without)
        identity = keystone.create(ware, cache, self.folder / "keystone", object_store.port)
        swift.create(ware, object_store, identity.auth_url, self.options.user or getpass.getuser())
        self._hand_over()
        keystone.start(ware, identity, self.services)
        self._keystone = keystone.renew_passwords(identity, object_store.password)
        self._swift = object_store
        swift.start(ware, object_store, self.services)
        self._save()

    def stop(self) -> None:
        """End all the processes of this cloud; its files stay."""
        self.services.stop()

    def stop_swift(self) -> None:
        """End Swift and leave Keystone running; the catalogue still names it."""
        self.services.stop(*swift.names())

    def start_swift(self, without: tuple[str, ...] = ()) -> None:
        """Start Swift again after :meth:`stop_swift`: same data and ports, ``without`` some middlewares."""
        changed = replace(self._known(self._swift), without=without)
        swift.write_proxy(changed, self.auth_url, self.options.user or getpass.getuser())
        self._swift = changed
        swift.start(self._known(self._software), changed, self.services)

    def stop_keystone(self) -> None:
        self.services.stop("keystone")

    def forget_swift(self) -> None:
        """Take object-store out of the catalogue, as in a cloud that never had it."""
        session = self.session()
        for service in session.keystone("GET", "/services?type=object-store")["services"]:
            session.keystone("DELETE", f"/services/{service['id']}")

    def describe(self) -> dict[str, Any]:
        """What a person needs to use the cloud; the password stands in ``<folder>/cloud.json`` (0600) alone."""
        running = sorted(self.services.pids)
        return {"auth_url": self.auth_url, "region": self.region, "swift_url": self.swift_url, "user": self.admin_user,
                "credentials": str(self.folder / "cloud.json"), "running": running}  # fmt: skip

    @classmethod
    def load(cls, folder: Path) -> Cloud:
        """Take over the cloud that ``start`` of the command line left running below ``folder``.

        :raises CloudError: there is none.
        """
        cloud = cls(folder, Options(tied=False))
        try:
            saved = json.loads((cloud.folder / "cloud.json").read_text())
        except FileNotFoundError as error:
            raise CloudError(f"{folder}: no cloud was started here") from error
        known = saved["keystone"]
        cloud._keystone = keystone.Keystone(Path(known["folder"]), known["port"], known["admin_password"])
        known = saved["swift"]
        known.update(folder=Path(known["folder"]), without=tuple(known["without"]))
        cloud._swift = swift.Swift(**known)
        cloud.services.load()
        return cloud

    def _hand_over(self) -> None:
        if not self.options.user or os.geteuid() != 0:
            return
        for path in (self.folder, *self.folder.rglob("*")):
            shutil.chown(path, self.options.user)

    def _save(self) -> None:
        path = self.folder / "cloud.json"
        path.touch(mode=0o600)
        path.write_text(
            json.dumps({"keystone": asdict(self._known(self._keystone)), "swift": asdict(self._known(self._swift)),
                        "conf": self.tempest_conf()}, default=str, indent=1)
        )  # fmt: skip

    @staticmethod
    def _known(part: Any) -> Any:
        if part is None:
            raise CloudError("the cloud is not started")
        return part
