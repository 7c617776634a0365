"""One slot's connection to the Gearman servers: it asks for one job at a time, and only while the slot is free.

gear's own worker asks all servers at once and may get two jobs, one of which would wait for hours in a busy slot. It
may also unregister a function while a job runs, which makes gearmand give that job to another worker (``CANT_DO``
requeues). Here one server is asked after the other, and functions are withdrawn only while no job is under way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import gear

from refstack_worker.gearman import Address, Worker, add_servers

LOG = logging.getLogger(__name__)

GRAB_SECONDS = 5.0
"""A server that has not replied within this time is disconnected."""


class Interrupted(Exception):
    """No job: :meth:`SlotQueue.stop_waiting` was called."""


class SlotQueue(Worker):
    """A Gearman worker with the needs of one slot."""

    def __init__(self, client_id: str, functions: Iterable[str], may_take: Callable[[], bool]) -> None:
        self._may_take = may_take
        self._requested = frozenset(name.encode("utf-8") for name in functions)
        self._busy = False
        self._turn = 0
        super().__init__(client_id)
        self.functions = {name: gear.FunctionRecord(name) for name in self._requested}

    def connect(self, addresses: Iterable[Address]) -> None:
        """Connect to these servers, and again whenever a connection is lost."""
        add_servers(self, addresses)

    def connected(self) -> list[str]:
        """Return the servers with an open connection."""
        return [str(Address(conn.host, conn.port)) for conn in list(self.active_connections)]

    def next_job(self) -> Any:
        """Return the next job; no other is requested until :meth:`done`.

        :raises Interrupted: :meth:`stop_waiting` was called.
        """
        with self.job_lock:
            self._busy = False
            self._apply_functions()
        try:
            return self.getJob()
        except gear.InterruptedError:
            raise Interrupted() from None

    def done(self, job: Any) -> None:
        """Report the job as complete; if the connection was lost meanwhile, nothing depends on it."""
        try:
            job.sendWorkComplete()
        except Exception as error:  # gear raises various errors for a lost connection
            LOG.info("job %s: its end was not reported to the queue: %s", job.unique, error)

    def stop_waiting(self) -> None:
        """End the wait of :meth:`next_job`; a job that has been assigned already is still returned by it."""
        self.stopWaitingForJobs()

    def offer(self, functions: Iterable[str]) -> None:
        """Register exactly these functions: at once while the slot waits, else before its next job."""
        with self.job_lock:
            self._requested = frozenset(name.encode("utf-8") for name in functions)
            self._apply_functions()

    def tick(self) -> None:
        """Disconnect a server that does not respond; call this every few seconds."""
        with self.job_lock:
            stuck = [c for c in list(self.active_connections) if c.state == "GRAB_WAIT" and _age(c) > GRAB_SECONDS]
        for connection in stuck:
            LOG.warning("gearman server %s:%s does not respond; connecting again", connection.host, connection.port)
            self._lostConnection(connection)
        with self.job_lock:
            self._apply_functions()
            self._updateStateMachines()

    def _apply_functions(self) -> None:
        """With the lock held: update the registrations, unless a job is or may be under way."""
        removed = set(self.functions) - self._requested
        new = self._requested - set(self.functions)
        if not removed and not new or self._busy or (removed and self._is_asking()):
            return
        with self.broadcast_lock:
            for name in removed:
                del self.functions[name]
                self._sendCantDo(name)
            for name in new:
                self.functions[name] = gear.FunctionRecord(name)
                self._sendCanDo(name)
            for connection in list(self.active_connections):
                if new and connection.state == "SLEEP":
                    connection.changeState("IDLE")
        self._updateStateMachines()

    def _is_asking(self) -> bool:
        return any(connection.state == "GRAB_WAIT" for connection in list(self.active_connections))

    # gear's hooks, by their names; the lock is held in them, or taken first

    def _updateStateMachines(self) -> None:  # noqa: N802
        connections = list(self.active_connections)
        if self.waiting_for_jobs < 1:
            for connection in connections:
                if connection.state == "SLEEP":
                    connection.changeState("IDLE")
            return
        if self._busy or self._is_asking() or not self._may_take():
            return
        self._turn += 1
        for number in range(len(connections)):
            connection = connections[(self._turn + number) % len(connections)]
            if connection.state == "IDLE" and self._ask(connection):
                return

    def _ask(self, connection: Any) -> bool:
        """Ask a server for a job; return whether that was possible. gear reconnects to one that just went away.

        This must not raise: the slot's thread would end, and its connection take a job that no slot carries out.
        """
        connection.changeState("GRAB_WAIT")
        try:
            self._sendGrabJobUniq(connection)
        except Exception:  # sendPacket has logged the lost connection and dropped it
            return False
        return True

    def sendPacket(self, packet: Any, connection: Any) -> None:  # noqa: N802
        try:
            connection.sendPacket(packet)
        except Exception as error:
            LOG.info("gearman server %s:%s went away: %s", connection.host, connection.port, error)
            self._lostConnection(connection)
            raise

    def handleNoop(self, packet: Any) -> None:  # noqa: N802
        with self.job_lock:
            if packet.connection.state == "SLEEP":
                packet.connection.changeState("IDLE")
                self._updateStateMachines()

    def handleNoJob(self, packet: Any) -> None:  # noqa: N802
        super().handleNoJob(packet)
        with self.job_lock:
            self._updateStateMachines()

    def _handleJobAssignment(  # noqa: N802
        self, packet: Any, handle: bytes, name: bytes, arguments: bytes, unique: bytes
    ) -> None:
        # set before the job is visible, so that no function is withdrawn between its assignment and its start
        self._busy = True
        super()._handleJobAssignment(packet, handle, name, arguments, unique)

    def _lostConnection(self, conn: Any) -> None:  # noqa: N802
        super()._lostConnection(conn)
        # the next server has its turn now; this thread may hold the lock already
        threading.Thread(target=self._next_turn, name="next turn", daemon=True).start()

    def _next_turn(self) -> None:
        with self.job_lock:
            if self.running:
                self._updateStateMachines()


def _age(connection: Any) -> float:
    return time.time() - float(connection.state_time)
