"""The pages of tokens (everybody's own) and of the fleet (operators)."""

from __future__ import annotations

from flask import g, redirect, request

from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.responses import MAX_ID, number, text
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.queue.capacity import SILENT_SECONDS, demand
from refstack_worker.server.web.pages import Answer, Web


class AdminPages:
    """Tokens and fleet."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._ledger = web.ledger
        for method, path, view in (
            ("GET", "/tokens", self.tokens),
            ("POST", "/tokens", self.add_token),
            ("POST", "/tokens/<int:token_id>/revoke", self.revoke),
            ("GET", "/fleet", self.fleet),
            ("POST", "/fleet/pause", self.pause),
            ("POST", "/fleet/resume", self.resume),
        ):
            web.page(method, path, view, f"admin_{view.__name__}")

    def tokens(self, made: str = "", wrong: str = "") -> Answer:
        """List the tokens that the caller may revoke."""
        now = self._ledger.clock()
        users = self._ledger.accounts.users() if g.caller.is_operator else []
        return self._web.show("tokens.html", tokens=self._own(), made=made, wrong=wrong, now=now, users=users)

    def add_token(self) -> Answer:
        """Make a token: a vendor one of his own, with no more rights than he has."""
        form, caller = request.form, g.caller
        try:
            name = text(form, "name", 200, needed=True)
            days = number(form.get("days", "90"), "days", 0, 3650)
            scopes, user_id = _rights(caller, form.get("scope", auth.VENDOR), form.get("user_id", ""))
        except UsageError as error:
            return self.tokens(wrong=str(error))
        expires = self._ledger.clock() + days * 86400 if days else 0.0
        if not caller.is_operator and caller.token.expires_at:
            expires = min(expires or caller.token.expires_at, caller.token.expires_at)
        _token, secret = self._ledger.tokens.add(name, scopes, user_id, expires)
        return self.tokens(made=secret)

    def revoke(self, token_id: int) -> Answer:
        """End a token."""
        if token_id not in {token.id for token in self._own()}:
            raise NotFoundError(f"there is no token {token_id}")
        self._ledger.tokens.revoke(token_id)
        return redirect("/tokens", 303)

    def fleet(self) -> Answer:
        """Show nodes, queue, and what is needed."""
        g.caller.need_operator()
        return self._web.show(
            "fleet.html",
            nodes=self._ledger.nodes.all(),
            now=self._ledger.clock(),
            silent=SILENT_SECONDS,
            paused=self._ledger.queue.is_paused(),
            states=self._ledger.queue.count_states(),
            demand=demand(self._ledger),
        )

    def pause(self) -> Answer:
        """Give no more runs to workers."""
        g.caller.need_operator()
        self._ledger.queue.pause(g.caller.name)
        return redirect("/fleet", 303)

    def resume(self) -> Answer:
        """Go on."""
        g.caller.need_operator()
        self._ledger.queue.resume(g.caller.name)
        self._web.around.nudge()
        return redirect("/fleet", 303)

    def _own(self) -> list[Token]:
        user_id = g.caller.token.user_id
        found = self._ledger.tokens.all()
        if g.caller.is_operator:
            return found
        return [token for token in found if user_id is not None and token.user_id == user_id]


def _rights(caller: auth.Caller, scope: str, user: str) -> tuple[list[str], int | None]:
    if scope not in auth.SCOPES or (scope == auth.OPERATOR and not caller.is_operator):
        raise UsageError("that right is not yours to give")
    user_id = caller.token.user_id
    if caller.is_operator:
        user_id = number(user, "user", 1, MAX_ID) if user else None
        if user_id is None and scope == auth.VENDOR:
            raise UsageError("a vendor's token belongs to a user; please choose one")
    return ([auth.VENDOR, auth.READ] if scope == auth.READ and user_id is not None else [scope]), user_id
