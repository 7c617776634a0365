"""Makes messages of events and sends them, beside the monitor and in separate threads.

A receiver that is slow keeps one of the few threads until its time is up, and never the watch over the runs.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from refstack_worker.errors import RefstackError
from refstack_worker.server.domain.notifications import DueDelivery, MessageChannel, Sent
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify import mail, webhook
from refstack_worker.server.notify.messages import Composer

LOG = logging.getLogger(__name__)

THREADS = 8
ROUND_SECONDS = 1.0
PRUNE_SECONDS = 3600.0


class Notifier:
    """Sends what one ledger has to tell; several at once share the work."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._compose = Composer(ledger)
        self._next_prune = 0.0
        self._lock = threading.Lock()
        self._busy = 0
        """Threads that send a message."""

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set. Trouble with the database is logged and outlived."""
        troubled = False
        with ThreadPoolExecutor(THREADS, thread_name_prefix="notify") as pool:
            while not stop.is_set():
                try:
                    self.work(pool)
                    troubled = False
                except RefstackError as error:
                    if not troubled:
                        LOG.error("notifications: %s", error)
                    troubled = True
                except Exception:
                    LOG.exception("notifications: unexpected error")
                stop.wait(ROUND_SECONDS)

    def work(self, pool: ThreadPoolExecutor) -> int:
        """Make the messages of new events, and begin to send what is due; return how many that are."""
        self._ledger.deliveries.fan_out(self._compose)
        if time.monotonic() >= self._next_prune:
            self._next_prune = time.monotonic() + PRUNE_SECONDS
            self._ledger.deliveries.prune()
        due = self._ledger.deliveries.take(THREADS - self._busy)
        for one in due:
            with self._lock:
                self._busy += 1
            pool.submit(self._deliver, one)
        return len(due)

    def _deliver(self, due: DueDelivery) -> None:
        try:
            sent = self._send(due)
            if not sent.is_accepted:
                LOG.warning("message %s (%s): %s", due.message_id, due.channel.value, sent.error)
            self._ledger.deliveries.note(due.id, sent)
        except RefstackError as error:
            LOG.error("message %s: how it was sent could not be recorded: %s", due.message_id, error)
        finally:
            with self._lock:
                self._busy -= 1

    def _send(self, due: DueDelivery) -> Sent:
        settings, now = self._ledger.settings.notify, time.time()
        try:
            if due.channel is MessageChannel.MAIL:
                return mail.send(due, settings, now)
            return webhook.send(due, settings.hook_networks, now)
        except Exception as error:
            # a message that cannot be put together must not keep the others
            LOG.exception("message %s: unexpected error", due.message_id)
            return Sent(False, error=f"{type(error).__name__} while sending")
