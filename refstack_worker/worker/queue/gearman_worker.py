"""One slot's connection to the Gearman servers: it asks for a job only when the slot is free, and for one at a time.

gear's own worker asks all servers at once and may be given two jobs, of which one would wait for hours in a busy slot;
and it may unregister a function while a job runs, which makes gearmand give that job to somebody else
(``CANT_DO`` requeues). Here one server is asked after the other, and functions go only while nothing is under way.
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
"""A server that has not answered in that time whether it has a job is let go."""


class Interrupted(Exception):
    """No job: the slot was told not to wait for one any longer."""


class SlotQueue(Worker):
    """gear's worker for one slot."""

    def __init__(self, client_id: str, functions: Iterable[str], may_ask: Callable[[], bool]) -> None:
        self._may_ask = may_ask
        self._wanted = frozenset(name.encode("utf-8") for name in functions)
        self._busy = False
        self._turn = 0
        super().__init__(client_id)
        self.functions = {name: gear.FunctionRecord(name) for name in self._wanted}

    def connect(self, addresses: Iterable[Address]) -> None:
        """Connect to all these servers, now or as soon as they are there."""
        add_servers(self, addresses)

    def connected(self) -> list[str]:
        """Return the servers that are connected now."""
        return [str(Address(conn.host, conn.port)) for conn in list(self.active_connections)]

    def next_job(self) -> Any:
        """Return the next job; until :meth:`done` no other is asked for.

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
        """Tell the server that the job is complete; if the connection went meanwhile, nothing depends on it."""
        try:
            job.sendWorkComplete()
        except Exception as error:  # gear raises whatever a lost connection makes of it
            LOG.info("job %s: the queue was not told of its end: %s", job.unique, error)

    def stop_waiting(self) -> None:
        """End the wait of :meth:`next_job`; a job that has been assigned already is still returned by it."""
        self.stopWaitingForJobs()

    def offer(self, functions: Iterable[str]) -> None:
        """Register exactly these functions: at once while the slot waits, else before it asks again."""
        with self.job_lock:
            self._wanted = frozenset(name.encode("utf-8") for name in functions)
            self._apply_functions()

    def tick(self) -> None:
        """Look after a server that does not answer; call it every few seconds."""
        with self.job_lock:
            stuck = [c for c in list(self.active_connections) if c.state == "GRAB_WAIT" and _age(c) > GRAB_SECONDS]
        for connection in stuck:
            LOG.warning("gearman server %s:%s does not answer; connecting anew", connection.host, connection.port)
            self._lostConnection(connection)
        with self.job_lock:
            self._apply_functions()
            self._updateStateMachines()

    def _apply_functions(self) -> None:
        """With the lock held: bring the registrations to what is wanted, unless a job is or may be under way."""
        gone = set(self.functions) - self._wanted
        new = self._wanted - set(self.functions)
        if not gone and not new or self._busy or (gone and self._is_asking()):
            return
        with self.broadcast_lock:
            for name in gone:
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
        if self._busy or self._is_asking() or not self._may_ask():
            return
        self._turn += 1
        for number in range(len(connections)):
            connection = connections[(self._turn + number) % len(connections)]
            if connection.state == "IDLE" and self._ask(connection):
                return

    def _ask(self, connection: Any) -> bool:
        """Ask a server for a job; return whether it could be asked: one that just went away is tried again by gear.

        Nothing may be raised here: the slot's own thread would end, and its connection take a job that nobody does.
        """
        connection.changeState("GRAB_WAIT")
        try:
            self._sendGrabJobUniq(connection)
        except Exception:  # whatever a lost connection makes of it; it was said and let go by sendPacket
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
        # set before the job can be seen, so that no function goes between its assignment and its start
        self._busy = True
        super()._handleJobAssignment(packet, handle, name, arguments, unique)

    def _lostConnection(self, conn: Any) -> None:  # noqa: N802
        super()._lostConnection(conn)
        # whoever was not asked because this server was has its turn now; the lock may be held by this very thread
        threading.Thread(target=self._next_turn, name="next turn", daemon=True).start()

    def _next_turn(self) -> None:
        with self.job_lock:
            if self.running:
                self._updateStateMachines()


def _age(connection: Any) -> float:
    return time.time() - float(connection.state_time)
