"""A monitor between a real ledger and a real gear server."""

from __future__ import annotations

from refstack_worker import gearman
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.monitor import Monitor, Pace
from refstack_worker.server.queue.client import QueueClient
from tests.support.ledgers import make_settings

EVERY_TIME = Pace(round=0.01, queue=0, grace=10)


class Site:
    """A ledger, a queue, a client and a monitor."""

    def __init__(self, folder, clock, **given):
        self.server = gearman.Server(port=0, host="127.0.0.1")
        address = f"127.0.0.1:{self.server.port}"
        self.settings = make_settings(folder, GEARMAN_SERVER=address, **given)
        self.clock = clock
        self.ledger = Ledger(self.settings, clock)
        self.ledger.upgrade()
        self.client = QueueClient(self.settings, timeout=2)
        self.monitor = Monitor(self.ledger, self.client, EVERY_TIME)

    def close(self):
        self.client.close()
        self.server.shutdown()
        self.ledger.close()

    def jobs(self):
        self.client.functions()
        return {job.binary_unique.decode(): job for job in self.server.getQueue()}

    def restart_queue(self):
        port = self.server.port
        self.server.shutdown()
        self.server = gearman.Server(port=port, host="127.0.0.1")

    def claim(self, test_id, secrets, worker="node-1"):
        attempt = self.ledger.runs.get(test_id).attempt
        claim = Claim(f"claim-{worker}", worker, "47.0.0")
        proof = Proof(test_id, secrets[f"{test_id}:{attempt}"], attempt, proofs.mark(claim.claim_id))
        assert self.ledger.attempts.claim(proof, claim).granted
        return proof

    def said(self, test_id):
        return " | ".join(message.message for message in self.ledger.runs.messages(test_id))
