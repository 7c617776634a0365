"""What the operator says of the users' side: sessions, rates, and what may be fetched from where."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from refstack_worker.config.values import Values

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

NAMES = frozenset(
    {
        "LIST_URLS",
        "CLOUD_NETWORKS",
        "SESSION_HOURS",
        "RATE_LIMIT",
        "SIGN_IN_LIMIT",
        "EVENT_STREAMS",
        "UPLOAD_URL",
        "UPLOAD_KEY_FILE",
        "RETENTION_DAYS",
    }
)


@dataclass(frozen=True)
class UserSettings:
    """All of it."""

    list_urls: tuple[str, ...] = ()
    """What addresses of guidelines and test lists must begin with; none: nothing is fetched."""
    cloud_networks: tuple[Network, ...] = ()
    """Networks that are not public and in which clouds may be all the same."""
    session_hours: float = 12.0
    """After which a browser has to sign in anew."""
    rate_limit: int = 1200
    """Calls of the API that one token may make a minute, per process of the server; 0: any number."""
    sign_in_limit: int = 10
    """Failed sign-ins and wrong tokens from one address a minute, per process; 0: any number."""
    event_streams: int = 8
    """Live streams that one process keeps open; each holds one of its threads. Those above are told to ask again."""
    upload_url: str = ""
    """RefStack server to which results may be uploaded."""
    upload_key: Path | None = field(default=None, repr=False)
    """RSA key that signs them."""
    retention_days: float = 0.0
    """Age, counted from its end, at which the monitor removes a run with its result; 0: never."""

    @property
    def retention_seconds(self) -> float:
        """The same in seconds."""
        return self.retention_days * 86400


def read(values: Values) -> UserSettings:
    """Return what settings say. :raises ConfigError: something that cannot be."""
    usual = UserSettings()
    urls = values.texts("LIST_URLS", ())
    for url in urls:
        if not url.startswith(("https://", "http://")) or url.count("/") < 3:
            raise values.wrong("LIST_URLS", f"{url}: is no start of an address (as https://opendev.org/openstack/)")
    upload = values.text("UPLOAD_URL", "")
    if upload and not upload.startswith(("https://", "http://")):
        raise values.wrong("UPLOAD_URL", "is no address (as https://refstack.example)")
    return UserSettings(
        list_urls=tuple(urls),
        cloud_networks=_networks(values, "CLOUD_NETWORKS"),
        session_hours=values.number("SESSION_HOURS", usual.session_hours, 0.1, 720),
        rate_limit=int(values.number("RATE_LIMIT", usual.rate_limit, 0, 10**6)),
        sign_in_limit=int(values.number("SIGN_IN_LIMIT", usual.sign_in_limit, 0, 10**6)),
        event_streams=int(values.number("EVENT_STREAMS", usual.event_streams, 0, 10**4)),
        upload_url=upload.rstrip("/"),
        upload_key=values.path("UPLOAD_KEY_FILE", None),
        retention_days=values.number("RETENTION_DAYS", usual.retention_days, 0, 36500),
    )


def _networks(values: Values, name: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in values.texts(name, ()))
    except ValueError as error:
        raise values.wrong(name, f"{error}; addresses and networks (as 10.1.0.0/16) are expected") from None
