"""Frequent statements, which PostgreSQL plans once for each connection: that takes longer than to carry one out.

A statement with the options :data:`PREPARED` is sent as ``PREPARE`` when a connection has it for the first time, and as
``EXECUTE`` from then on. On SQLite the options mean nothing.
"""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import CompileError

LOG = logging.getLogger(__name__)

PREPARED = {"refstack_prepared": True}
"""Execution options of a statement whose text is always the same."""
MAX_STATEMENTS = 50
"""Statements that a connection keeps; more have texts that change, and are sent as they are."""
_KNOWN = "refstack_prepared"
_PARAMETER = re.compile(r"%\((\w+)\)s|%%")
_UNKNOWN, _OUTDATED = "26000", "0A000"
"""PostgreSQL's errors: no such statement, and one whose tables have other types since."""


def prepare_statements(engine: Engine) -> None:
    """Let the connections of an engine to PostgreSQL prepare what is to be prepared."""
    _Statements(engine)


class _Statements:
    def __init__(self, engine: Engine) -> None:
        self._is_off = False
        event.listen(engine, "before_cursor_execute", self._before, retval=True)
        event.listen(engine, "handle_error", self._failed)

    def _before(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, is_many: bool
    ) -> tuple[str, Any]:
        options = context.execution_options if context is not None else {}
        if is_many or self._is_off or not options.get(_KNOWN):
            return statement, parameters
        known: dict[str, str] = connection.info.setdefault(_KNOWN, {})
        execute = known.get(statement)
        if execute is None:
            if len(known) >= MAX_STATEMENTS:
                return statement, parameters
            try:
                execute = known[statement] = _prepare(cursor, statement, context)
            except context.dialect.dbapi.Error as error:
                if not context.dialect.is_disconnect(error, connection.connection, cursor):
                    raise
                # the statement itself fails now as well, which gives all connections up
                return statement, parameters
        return execute, parameters

    def _failed(self, failure: Any) -> None:
        code = getattr(failure.original_exception, "pgcode", None)
        if code not in (_UNKNOWN, _OUTDATED) or not (failure.statement or "").startswith("EXECUTE refstack_"):
            return
        # for the caller the database is away; it tries again
        if failure.connection is not None:
            failure.connection.info.pop(_KNOWN, None)
        if code == _UNKNOWN and not self._is_off:
            self._is_off = True
            LOG.warning(
                "a prepared statement is gone; this process prepares none from now on, which costs time: let PgBouncer "
                "pool sessions (pool_mode = session)"
            )


def _prepare(cursor: Any, statement: str, context: Any) -> str:
    """Prepare a statement; return the one that carries it out."""
    # a pooler may have others' statements on the same connection
    name = f"refstack_{uuid.uuid4().hex}"
    order: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        parameter = found.group(1)
        if parameter is None:
            return "%"
        if parameter not in order:
            order.append(parameter)
        return f"${order.index(parameter) + 1}"

    text = _PARAMETER.sub(numbered, statement)
    kinds = ", ".join(_kind(context, parameter) for parameter in order)
    cursor.execute(f"PREPARE {name}{f' ({kinds})' if kinds else ''} AS {text}")
    values = ", ".join(f"%({parameter})s" for parameter in order)
    return f"EXECUTE {name}{f' ({values})' if values else ''}"


def _kind(context: Any, parameter: str) -> str:
    """Return the type of a parameter as SQL; what SQLAlchemy does not know PostgreSQL finds by the place."""
    bound = context.compiled.binds.get(parameter)
    try:
        return str(bound.type.compile(dialect=context.dialect)) if bound is not None else "unknown"
    except CompileError:
        return "unknown"
