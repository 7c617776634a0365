"""Mail servers that behave oddly: a message that was accepted is not sent again, and none holds a sender for long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from refstack_worker.config.notifications import NotifySettings
from refstack_worker.gearman import Address
from refstack_worker.server.domain.notifications import DueDelivery, MessageChannel, Sent
from refstack_worker.server.ledger.deliveries import LEASE_SECONDS
from refstack_worker.server.notify import mail
from tests.support.dripping import dripping

BODY = {"type": "test", "timestamp": None, "data": {"text": "hello"}}
DUE = DueDelivery(1, "msg_1_1", MessageChannel.MAIL, "ann@acme.example", 0, BODY)


@dataclass
class MailServer:
    """Says what a mail server says, but for some commands."""

    replies: dict[str, bytes] = field(default_factory=dict)
    messages: int = 0

    def talk(self, peer: socket.socket) -> None:
        with peer, suppress(OSError), peer.makefile("rb") as lines:
            peer.sendall(b"220 mail.example\r\n")
            for line in lines:
                command = line[:4].decode().upper().strip()
                if command == "DATA":
                    peer.sendall(b"354 go on\r\n")
                    while next(lines) != b".\r\n":
                        pass
                    self.messages += 1
                peer.sendall(self.replies.get(command, b"221 bye\r\n" if command == "QUIT" else b"250 ok\r\n"))
                if command == "QUIT":
                    return


@contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[NotifySettings]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    talk(listener.accept()[0])

        threading.Thread(target=serve, daemon=True).start()
        yield settings_of(listener.getsockname()[1])


def settings_of(port: int) -> NotifySettings:
    return NotifySettings(smtp_server=Address("127.0.0.1", port), smtp_security="none")


@pytest.mark.parametrize("said", [b"421 too busy to say goodbye\r\n", b"500 what?\r\n", b"250 ok\r\n", b""])
def test_what_a_server_says_when_it_is_left_changes_nothing(said: bytes) -> None:
    server = MailServer({"QUIT": said})
    with listening(server.talk) as settings:
        assert mail.send(DUE, settings, 0.0) == Sent(True, 250)
    assert server.messages == 1


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_refusal_is_not_hidden_by_what_follows_it(command: str) -> None:
    server = MailServer({command: b"550 not here\r\n", "QUIT": b"421 later\r\n"})
    with listening(server.talk) as settings:
        sent = mail.send(DUE, settings, 0.0)
    assert (sent.is_accepted, sent.status, sent.is_final) == (False, 550, True) and "not here" in sent.error


def test_a_server_that_drips_is_left_before_another_sender_may_take_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert mail.MAX_SECONDS + mail.SECONDS < LEASE_SECONDS
    monkeypatch.setattr(mail, "MAX_SECONDS", 0.5)
    began = time.monotonic()
    with dripping(b"220-") as url:
        sent = mail.send(DUE, settings_of(int(url.rpartition(":")[2])), 0.0)
    assert not sent.is_accepted and not sent.is_final and time.monotonic() - began < 10
    assert "no answer within 0.5 s" in sent.error
