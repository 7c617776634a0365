"""The server's settings for messages: the mail server, and where webhooks may go."""

from __future__ import annotations

from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import HeaderRegistry
from pathlib import Path
from typing import Any

from refstack_worker.config import server_values as read
from refstack_worker.config.declared import setting
from refstack_worker.config.server_values import Network
from refstack_worker.config.values import Values
from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address

SECURITIES = ("starttls", "tls", "none")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _security(values: Values, name: str, default: str) -> str:
    found = values.text(name, default).lower()
    if found not in SECURITIES:
        raise values.wrong(name, f"must be one of {', '.join(SECURITIES)}")
    return found


def _server(values: Values, name: str, _: None) -> Address | None:
    text = values.text(name, "")
    port = _PORTS[_security(values, "SMTP_SECURITY", "starttls")]
    try:
        return Address.parse(text, port) if text else None
    except ConfigError:
        raise values.wrong(name, "must be host or host:port, e.g. smtp.example:587") from None


def _sender(values: Values, name: str, default: str) -> str:
    text = values.text(name, default)
    try:
        header: Any = HeaderRegistry()("From", text)
        addresses = list(header.addresses) if text.isprintable() else []
    except (IndexError, ValueError, HeaderParseError):  # raised by the standard library for some malformed ones
        addresses = []
    if len(addresses) != 1 or not addresses[0].username:
        raise values.wrong(name, 'must be one address on one line, e.g. "RefStack <refstack@example.org>"')
    return text


@dataclass(frozen=True)
class NotifySettings:
    smtp_server: Address | None = setting(
        "SMTP_SERVER", None, 'Mail server, `"host"` or `"host:port"`; without one no e-mail is sent.', read=_server
    )
    smtp_security: str = setting(
        "SMTP_SECURITY",
        "starttls",
        'How the mail server is reached: `"starttls"` (refused if it does not offer it), `"tls"`, or `"none"`.',
        read=_security,
    )
    smtp_user: str = setting("SMTP_USER", "", "User name at the mail server.")
    smtp_password: Path | None = setting("SMTP_PASSWORD_FILE", None, "File with the password of `SMTP_USER`.")
    smtp_ca_file: Path | None = setting(
        "SMTP_CA_FILE", None, "CA certificates (PEM) to verify the mail server's with; default: the system's."
    )
    mail_from: str = setting("MAIL_FROM", "refstack@localhost", "Sender of the e-mails.", read=_sender)
    hook_networks: tuple[Network, ...] = setting(
        "HOOK_NETWORKS",
        (),
        "Private networks to which webhooks may be sent, but to no metadata service.",
        read=read.networks,
    )
