"""Sends one message as e-mail."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any

from refstack_worker.config.notifications import NotifySettings
from refstack_worker.server.domain.notifications import DueDelivery, EventKind, Sent

SECONDS = 20.0
"""For each answer of the mail server ..."""
MAX_SECONDS = 90.0
"""... and for all of them together, or each of their lines could take as long: a message is leased for two minutes."""
_RESULTS = {"passed": "passed", "tests-failed": "tests failed", "error": "error", "cancelled": "cancelled"}


def send(due: DueDelivery, settings: NotifySettings, now: float) -> Sent:
    """Give a message to the mail server. A refusal for good (5xx) is final."""
    if settings.smtp_server is None:
        return Sent(False, error="no mail server is configured (SMTP_SERVER)")
    watch = _Watch()
    try:
        with watch, _connection(settings, watch) as server:
            server.send_message(message_of(due, settings.mail_from, now))
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = next(iter(error.recipients.values()))
        return _refused(code, reason)
    except smtplib.SMTPResponseException as error:
        # a wrong log-in gets fixed: only what the server says about the message is for good
        is_login = isinstance(error, smtplib.SMTPAuthenticationError)
        return _refused(error.smtp_code, error.smtp_error, is_login)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        why = f"no answer within {MAX_SECONDS:g} s" if watch.is_over else error or type(error).__name__
        return Sent(False, error=f"mail server {settings.smtp_server}: {why}")
    return Sent(True, 250)


def message_of(due: DueDelivery, sender: str, now: float) -> EmailMessage:
    """Return the e-mail of a message."""
    message = EmailMessage()
    message["Subject"] = subject_of(due.body)
    message["From"] = sender
    message["To"] = due.target
    message["Date"] = format_datetime(datetime.fromtimestamp(now, timezone.utc))
    # the same at each try: a mail server that had accepted it may leave out the second
    message["Message-ID"] = f"<{due.message_id}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(_lines(due.body)) + "\n")
    return message


def subject_of(body: Mapping[str, Any]) -> str:
    """Return the subject of a message, on one line."""
    data = body["data"]
    run = data.get("run")
    if run is None:
        return _line(f"RefStack: {_other_subject(data)}")
    name = f"run {run['test_id']}" + (f" ({run['label']})" if run["label"] else "")
    if body["type"] == EventKind.RUN_FAILING.value:
        return _line(f"RefStack: {name}: a test has failed")
    if body["type"] == EventKind.RUN_WAITING.value:
        return _line(f"RefStack: {name} waits for a node")
    return _line(f"RefStack: {name}: {_RESULTS.get(run['result'], run['state'])}")


def _other_subject(data: Mapping[str, Any]) -> str:
    if "node" in data:
        return f"node {data['node']['name']} has stopped reporting"
    if "schedule" in data:
        schedule = data["schedule"]
        return f"schedule {schedule['id']}{' (' + schedule['label'] + ')' if schedule['label'] else ''} started no run"
    return "test message"


def _lines(body: Mapping[str, Any]) -> Iterator[str]:
    data = body["data"]
    run = data.get("run")
    if run:
        yield from _run_lines(run)
    if data.get("text"):
        yield _line(data["text"])
    if data.get("url"):
        yield from ("", data["url"])
    yield from (
        "",
        "-- ",
        "You receive this because of a notification on the RefStack server. You can delete it on its page.",
    )


def _run_lines(run: Mapping[str, Any]) -> Iterator[str]:
    counts = run["counts"]
    if any(counts.values()):
        yield f"Tests: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
    for name, value in (("Cloud", run["cloud"]), ("Program", run["program"]), ("Reason", run["reason"])):
        if value:
            yield _line(f"{name}: {value}")
    verdict = run["verdict"]
    if verdict:
        word = "passed" if verdict["passed"] else "not passed"
        yield f"Verdict: {word} ({verdict['count']} of {verdict['total']} required tests)"


def _line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:400]


class _Watch:
    """Closes the connection to a mail server that has taken all the time there is."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.is_over = False
        self._timer = threading.Timer(MAX_SECONDS, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        if self.socket is not None:
            with suppress(OSError):
                # not TLS's own way to end, which belongs to the thread that waits
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _Server(smtplib.SMTP):
    def __init__(self, watch: _Watch, *where: Any, **options: Any) -> None:
        self._watch = watch
        super().__init__(*where, **options)

    def getreply(self) -> tuple[int, bytes]:
        self._watch.socket = self.sock
        if self._watch.is_over:
            raise TimeoutError
        return super().getreply()


class _TlsServer(_Server, smtplib.SMTP_SSL):
    """The same over TLS from the start."""


@contextmanager
def _connection(settings: NotifySettings, watch: _Watch) -> Iterator[smtplib.SMTP]:
    server = settings.smtp_server
    assert server is not None  # noqa: S101 - checked by the caller
    context = ssl.create_default_context(cafile=str(settings.smtp_ca_file) if settings.smtp_ca_file else None)
    made: smtplib.SMTP
    if settings.smtp_security == "tls":
        made = _TlsServer(watch, server.host, server.port, timeout=SECONDS, context=context)
    else:
        made = _Server(watch, server.host, server.port, timeout=SECONDS)
    try:
        if settings.smtp_security == "starttls":
            made.starttls(context=context)
        if settings.smtp_user:
            made.login(settings.smtp_user, _password(settings))
        yield made
    finally:
        # what it says to that decides nothing: the message is accepted, or refused, already
        with suppress(OSError):
            made.quit()
        made.close()


def _password(settings: NotifySettings) -> str:
    return settings.smtp_password.read_text("utf-8").strip() if settings.smtp_password else ""


def _refused(code: int, reason: Any, is_login: bool = False) -> Sent:
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    is_final = 500 <= code < 600 and not is_login
    return Sent(False, code, _line(f"the mail server answered {code}: {text}"), is_final=is_final)
