"""The network that each prepared account's servers join, where the vendor did not say: its own project's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from refstack_worker.execute_test.cloud.catalog import service_endpoint
from refstack_worker.execute_test.cloud.keystone import Keystone, KeystoneToken, sensible_answers
from refstack_worker.execute_test.cloud.network import project_network
from refstack_worker.execute_test.cloud.service_api import ServiceApi
from refstack_worker.execute_test.failures import CloudFailure


def add_networks(keystone: Keystone, accounts: Iterable[tuple[dict[str, Any], KeystoneToken]], region: str) -> None:
    """Add to accounts without a network the one of their project, as Tempest's accounts file has it.

    :param accounts: each with a token of its user.
    """
    for account, token in accounts:
        endpoint = service_endpoint(token, "neutron", region)
        if not endpoint or account.get("resources"):
            continue
        api = ServiceApi(keystone, token, endpoint)
        # a network service that does not respond is reported by the search for options
        with contextlib.suppress(CloudFailure), sensible_answers():
            networks = api.records(f"{api.versioned('v2.0')}/networks", "networks")
            if name := project_network(networks, token.project_id):
                account["resources"] = {"network": name}
