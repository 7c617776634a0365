"""The ledger: the only queries and the only state changes, for the HTTP side, the queue client and the monitor.

Each method of a part is one transaction. A run's row is locked before its state is looked at, every change of state
passes ``contract/states.py``, and what a worker may do is decided by the secret of its attempt and its claim. Several
processes may use one ledger at once.
"""

from __future__ import annotations

from collections.abc import Callable

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.db import migrate
from refstack_worker.server.db.database import Database
from refstack_worker.server.ledger.account_changes import AccountChanges
from refstack_worker.server.ledger.accounts import Accounts
from refstack_worker.server.ledger.attempts import Attempts
from refstack_worker.server.ledger.audit import Audit
from refstack_worker.server.ledger.clouds import Clouds
from refstack_worker.server.ledger.console import Console
from refstack_worker.server.ledger.deadlines import Deadlines
from refstack_worker.server.ledger.deliveries import Deliveries
from refstack_worker.server.ledger.durations import Durations
from refstack_worker.server.ledger.events import Events
from refstack_worker.server.ledger.guidelines import Guidelines
from refstack_worker.server.ledger.identities import Identities
from refstack_worker.server.ledger.links import Links
from refstack_worker.server.ledger.node_commands import NodeCommands
from refstack_worker.server.ledger.node_keys import NodeKeys
from refstack_worker.server.ledger.nodes import Nodes
from refstack_worker.server.ledger.notices import Notices
from refstack_worker.server.ledger.overview import Overview
from refstack_worker.server.ledger.pins import Pins
from refstack_worker.server.ledger.queue_state import QueueState
from refstack_worker.server.ledger.restoring import Restoring
from refstack_worker.server.ledger.results import Results
from refstack_worker.server.ledger.retention import Retention
from refstack_worker.server.ledger.runs import Runs
from refstack_worker.server.ledger.schedules import Schedules
from refstack_worker.server.ledger.server_clocks import ServerClocks
from refstack_worker.server.ledger.shards import Shards
from refstack_worker.server.ledger.statistics import Statistics
from refstack_worker.server.ledger.submissions import Submissions
from refstack_worker.server.ledger.subscriptions import Subscriptions
from refstack_worker.server.ledger.tokens import Sessions, Tokens
from refstack_worker.server.ledger.transactions import Transactions
from refstack_worker.server.ledger.uploads import Uploads


class Ledger:
    """The whole ledger, by subject. Nothing is connected before it is first used."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float] | None = None) -> None:
        """:param clock: seconds since 1970; None: the database's."""
        self.settings = settings
        self._transactions = Transactions(settings, clock)
        self.clock = self._transactions.clock
        self.runs = Runs(self._transactions)
        self.attempts = Attempts(self._transactions)
        self.submissions = Submissions(self._transactions, self.attempts)
        self.deadlines = Deadlines(self._transactions)
        self.durations = Durations(self._transactions)
        self.queue = QueueState(self._transactions)
        self.results = Results(self._transactions)
        self.shards = Shards(self._transactions, self.runs, self.results)
        self.nodes = Nodes(self._transactions)
        self.node_commands = NodeCommands(self._transactions)
        self.node_keys = NodeKeys(self._transactions)
        self.restoring = Restoring(self._transactions)
        self.tokens = Tokens(self._transactions)
        self.sessions = Sessions(self._transactions)
        self.accounts = Accounts(self._transactions)
        self.identities = Identities(self._transactions)
        self.links = Links(self._transactions)
        self.statistics = Statistics(self._transactions)
        self.retention = Retention(self._transactions, self.statistics)
        self.clouds = Clouds(self._transactions)
        self.guidelines = Guidelines(self._transactions)
        self.overview = Overview(self._transactions)
        self.audit = Audit(self._transactions)
        self.console = Console(self._transactions)
        self.notices = Notices(self._transactions)
        self.uploads = Uploads(self._transactions)
        self.server_clocks = ServerClocks(self._transactions)
        self.account_changes = AccountChanges(self._transactions)
        self.pins = Pins(self._transactions)
        self.schedules = Schedules(self._transactions)
        self.events = Events(self._transactions)
        self.subscriptions = Subscriptions(self._transactions)
        self.deliveries = Deliveries(self._transactions)

    @property
    def database(self) -> Database:
        """The database; connected when it is first used."""
        return self._transactions.database

    def upgrade(self) -> None:
        """Bring the database to the revision of this software (``refstack-queue db upgrade``)."""
        migrate.upgrade(self.database)

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()
