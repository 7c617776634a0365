"""Who sent a request: the address behind trusted proxies, and the owner of its bearer token."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Union

from flask import Request

from refstack_worker.config.server_values import Network
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract.scopes import SCOPES
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.attempts import Proof
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services.callers import Caller

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

KNOWN_TOKEN = "refstack.token"  # noqa: S105 - where a request keeps what was found out


def proof(request: Request, test_id: int, attempt: int | None = None, payload_digest: str | None = None) -> Proof:
    """Return what a request shows to act for a run; whether that is enough, the ledger knows."""
    secret, mark = proofs.split(bearer(request))
    return Proof(test_id, secret, attempt, mark, payload_digest)


def caller(request: Request, ledger: Ledger) -> Caller:
    """Return who asks. :raises RefusedError: ``no-token`` or ``wrong-token``."""
    secret = bearer(request)
    if not secret:
        raise refused("no-token", "an API token is needed: 'Authorization: Bearer <token>'")
    token = known_token(request, ledger)
    if token is None or not set(token.scopes) & set(SCOPES):
        raise refused("wrong-token", "this API token is unknown, revoked or expired")
    return Caller(token)


def known_token(request: Request, ledger: Ledger) -> Token | None:
    """Return the good token that a request has, if any; the ledger is asked once for a request."""
    if KNOWN_TOKEN not in request.environ:
        request.environ[KNOWN_TOKEN] = ledger.tokens.find(bearer(request))
    found: Token | None = request.environ[KNOWN_TOKEN]
    return found


def bearer(request: Request) -> str:
    """Return the bearer token of a request, or an empty text."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def is_from(request: Request, networks: Sequence[Network], proxies: Sequence[Network]) -> bool:
    """Return whether a request comes from one of these networks; trusted proxies are looked through."""
    address = client_address(request, proxies)
    return address is not None and is_in(address, networks)


def client_address(request: Request, proxies: Sequence[Network]) -> Address | None:
    """Return the address that a request comes from; None if unknown.

    ``X-Forwarded-For`` is read from the right, as far as the addresses in it are trusted proxies: what stands further
    left was written by the client.
    """
    address = address_in(request.remote_addr or "")
    lines = request.headers.getlist("X-Forwarded-For")
    forwarded = ",".join(lines).split(",") if lines else []
    while forwarded and address is not None and is_in(address, proxies):
        address = address_in(forwarded.pop().strip())
    return address


def network_of(address: Address | None) -> str:
    """Return what limits count an address by: of IPv6 a customer of a provider has at least a /64."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return str(address or "unknown")


def address_in(text: str) -> Address | None:
    """Return the address in a text, IPv4 inside IPv6 as IPv4; None: there is none."""
    try:
        found = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether an address is in one of these networks."""
    return any(address.version == network.version and address in network for network in networks)
