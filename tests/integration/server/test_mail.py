"""E-mails of a run's end, through a real mail server: with and without TLS and log-in, and when it refuses."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from refstack_worker.config.server import from_mapping
from refstack_worker.server.domain.notifications import MessageChannel
from refstack_worker.server.ledger.deliveries import BACK_OFF
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify.notifier import Notifier
from tests.support.certificate_authority import Authority
from tests.support.ledgers import Clock, make_settings, new_run
from tests.support.notifications import subscribe, work

USER, PASSWORD = "refstack", "mail-pass-1893"


class Mailbox:
    """Keeps what arrives; refuses recipients as a test tells it."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.logged_in: list[str] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 kept"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        if good:
            self.logged_in.append(USER)
        return AuthResult(success=good)


class OnFreePort(Controller):  # type: ignore[misc]
    """A mail server whose port the system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def serving(box: Mailbox, **options: Any) -> Iterator[int]:
    controller = OnFreePort(box, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca")


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(*authority.issue("mail", "DNS:localhost"))
    return made


@contextmanager
def told(folder: Path, clock: Clock, port: int, **settings: Any) -> Iterator[Ledger]:
    """A ledger that sends e-mail to this port and in which a run has ended."""
    base = make_settings(folder)
    given = {
        "DATABASE_URL": base.database.url,
        "DATA_FOLDER": str(base.data),
        "KEY_FOLDER": str(folder / "keys"),
        "SMTP_SERVER": f"localhost:{port}",
        "MAIL_FROM": "RefStack <refstack@refstack.example>",
    }
    ledger = Ledger(from_mapping({**given, **settings}), clock)
    ledger.upgrade()
    subscribe(ledger, channel=MessageChannel.MAIL, target="ops@cloud.example", secret="")
    ledger.runs.cancel(ledger.runs.add(new_run(label="nightly")).test_id, "ann")
    yield ledger
    ledger.close()


def with_login(folder: Path, authority: Authority) -> dict[str, str]:
    password = folder / "smtp.password"
    password.write_text(f"{PASSWORD}\n")
    return {"SMTP_USER": USER, "SMTP_PASSWORD_FILE": str(password), "SMTP_CA_FILE": str(authority.pem)}


def test_with_starttls_and_log_in(tmp_path: Path, clock: Clock, authority: Authority, context: ssl.SSLContext) -> None:
    box = Mailbox()
    options = {"tls_context": context, "require_starttls": True, "authenticator": box.authenticate}
    with serving(box, auth_required=True, **options) as port:
        with told(tmp_path, clock, port, **with_login(tmp_path, authority)) as ledger:
            work(Notifier(ledger))
            assert ledger.deliveries.of(1)[0].error == ""
    (message,) = box.messages
    assert box.logged_in == [USER]
    assert message["Subject"] == "RefStack: run 1 (nightly): cancelled" and message["To"] == "ops@cloud.example"
    assert "/runs/1" in message.get_content()


def test_over_tls_from_the_start(tmp_path: Path, clock: Clock, authority: Authority, context: ssl.SSLContext) -> None:
    box = Mailbox()
    with serving(box, ssl_context=context) as port:
        settings = {"SMTP_SECURITY": "tls", "SMTP_CA_FILE": str(authority.pem)}
        with told(tmp_path, clock, port, **settings) as ledger:
            work(Notifier(ledger))
    assert len(box.messages) == 1


def test_a_server_without_starttls_gets_neither_password_nor_message(
    tmp_path: Path, clock: Clock, authority: Authority
) -> None:
    box = Mailbox()
    with serving(box, authenticator=box.authenticate, auth_require_tls=False) as port:
        with told(tmp_path, clock, port, **with_login(tmp_path, authority)) as ledger:
            work(Notifier(ledger))
            assert "STARTTLS" in ledger.deliveries.of(1)[0].error
    assert box.messages == box.logged_in == []


def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path, clock: Clock, context: ssl.SSLContext) -> None:
    box = Mailbox()
    with serving(box, tls_context=context) as port:
        with told(tmp_path, clock, port) as ledger:
            work(Notifier(ledger))
            assert "certificate" in ledger.deliveries.of(1)[0].error.lower()
    assert box.messages == []


def test_a_refusal_for_good_is_final_and_one_for_now_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    box = Mailbox()
    with serving(box) as port:
        with told(tmp_path, clock, port, SMTP_SECURITY="none") as ledger:
            box.answer = "451 try later"
            notifier = Notifier(ledger)
            work(notifier)
            log = ledger.deliveries.of(1)[0]
            assert (log.is_open, log.status) == (True, 451)
            box.answer = "550 no such user"
            clock.forward(BACK_OFF[0])
            work(notifier)
            log = ledger.deliveries.of(1)[0]
            assert (log.is_open, log.status, log.error) == (False, 550, "the mail server answered 550: no such user")


def test_a_server_that_is_down_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    box = Mailbox()
    with serving(box) as port:
        pass
    with told(tmp_path, clock, port, SMTP_SECURITY="none") as ledger:
        work(Notifier(ledger))
        assert ledger.deliveries.of(1)[0].is_open and "refused" in ledger.deliveries.of(1)[0].error.lower()
