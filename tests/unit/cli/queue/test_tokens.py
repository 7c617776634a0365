"""``refstack-queue token …`` and ``whoami`` from anywhere: one's own tokens, and for operators all."""

from __future__ import annotations

from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


def test_a_vendor_makes_lists_and_revokes_tokens_of_their_own(site: Site, call_as: CallAs) -> None:
    made = call_as("ann", "token", "create", "CI pipeline", "--scope", "read", "--expires", "90m", "-f", "json").json
    assert made["token"].startswith("rsq_") and made["scopes"] == "read vendor"
    token = site.ledger.tokens.find(made["token"])
    assert token is not None and token.user_id == site.users["ann"]
    assert 5400 - 60 < token.expires_at - token.created_at <= 5400
    listed = call_as("ann", "token", "list", "-f", "json").json
    assert [row["Name"] for row in listed if row["Id"] == made["id"]] == ["CI pipeline"]
    assert call_as("bob", "token", "revoke", str(made["id"])).status == 6, "another vendor's"
    assert call_as("ann", "token", "revoke", "ci PIPELINE").status == 0
    assert site.ledger.tokens.find(made["token"]) is None


def test_no_vendor_makes_a_token_with_more_rights(call_as: CallAs) -> None:
    assert call_as("ann", "token", "create", "x", "--scope", "operator").status == 2
    assert call_as("ann", "token", "create", "x", "--user", "bob").status == 2


def test_an_operator_names_the_owner(site: Site, call_as: CallAs) -> None:
    made = call_as("operator", "token", "create", "laptop", "--user", "BOB", "-f", "json").json
    token = site.ledger.tokens.find(made["token"])
    assert token is not None and token.user_id == site.users["bob"]
    assert "no user 'nobody'" in call_as("operator", "token", "create", "x", "--user", "nobody").err


def test_whoami_tells_user_and_scopes(site: Site, call_as: CallAs) -> None:
    assert call_as("ann", "whoami", "-f", "json").json["user"] == "ann"
    assert call_as("operator", "whoami", "-f", "json").json["scopes"] == "operator"


def test_a_column_that_is_not_there_makes_no_token(site: Site, call_as: CallAs) -> None:
    before = len(site.ledger.tokens.all())
    refused = call_as("operator", "token", "create", "x", "--scope", "operator", "-c", "secret")
    assert refused.status == 2 and "token" in refused.err
    assert len(site.ledger.tokens.all()) == before
    assert "carried out" in call_as("operator", "whoami", "-c", "nothing").err


def test_a_new_token_cannot_outlive_the_one_in_use(site: Site, call_as: CallAs) -> None:
    _, site.tokens["short"] = site.ledger.tokens.add("short", ["operator"], expires_at=site.ledger.clock() + 86400)
    refused = call_as("short", "token", "create", "x", "--scope", "operator", "--expires", "2d")
    assert refused.status == 2 and "a new one can't outlive it" in refused.err
    made = call_as("short", "token", "create", "x", "--scope", "operator", "-f", "json").json
    assert made["expires"]
    assert call_as("operator", "token", "create", "x", "--scope", "operator", "-f", "json").json["expires"] is None
