"""``refstack-queue vendor …`` and ``user …``."""

from __future__ import annotations

from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


def test_a_user_is_added_to_a_vendor_by_name(site: Site, call_as: CallAs) -> None:
    made = call_as("operator", "user", "create", "dan", "--email", "dan@x", "--vendor", "acme cloud", "-f", "json").json
    assert site.ledger.accounts.user(made["id"]).vendor_id == site.ledger.accounts.user(site.users["ann"]).vendor_id
    assert "no vendor 'Zeta'" in call_as("operator", "user", "create", "eve", "--vendor", "Zeta").err


def test_invitations_need_a_provider(call_as: CallAs) -> None:
    refused = call_as("operator", "user", "invite", "ann")
    assert refused.status == 5 and "OIDC_ISSUER" in refused.err
