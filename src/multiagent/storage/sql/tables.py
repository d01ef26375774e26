"""The tables, as SQLAlchemy Core sees them: the source of migrations, of list reads and of the SQLite script.

Loaded only where one of those is needed. Times are milliseconds UTC, money is 10⁻¹² USD, ids are ULID text.
"""

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False, server_default=None if key else sa.text("''"))


def _int(name: str, default: int | None = 0, *, key: bool = False) -> sa.Column[int]:
    given = None if key or default is None else sa.text(str(default))
    return sa.Column(
        name,
        sa.BigInteger,
        primary_key=key,
        nullable=default is None and not key,
        server_default=given,
        autoincrement=False,
    )


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=True)


def _table(name: str, keys: tuple[sa.Column[str] | sa.Column[int], ...], *rest: sa.schema.SchemaItem) -> sa.Table:
    """A table keyed by tenant first, with the version of its rows; clustered by that key on SQLite."""
    tenant = _text("tenant_id", key=True)
    return sa.Table(name, METADATA, tenant, *keys, _int("v", 1), *rest, sqlite_with_rowid=False)


def _key(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(_text(name, key=True) for name in names)


def _index(name: str, *columns: str, unique: bool = False, where: str = "") -> sa.Index:
    if not where:
        return sa.Index(name, *columns, unique=unique)
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


TENANTS = _table("tenants", (), _text("name"), _int("created_at"))
USERS = _table(
    "users", _key("id"), _text("external_id"), _text("email"),
    sa.Column("metadata", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    _int("created_at"), _int("updated_at"),
    _index("users_external", "tenant_id", "external_id", unique=True, where="external_id <> ''"),
)  # fmt: skip
SESSIONS = _table(
    "sessions", _key("id"), _text("user_id"),
    sa.Column("context", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    _int("token_budget", 10000), _int("tokens_used"), _int("created_at"), _int("expires_at", None),
    _index("sessions_user", "tenant_id", "user_id", "id"),
)  # fmt: skip
# ``last_seq`` is how far the log has a task's events on SQLite, where events are counted, and the number of its newest
# event on PostgreSQL, where the row is what several processes number events under.
TASK_EXECUTIONS = _table(
    "task_executions", _key("id"), _text("workflow"), _text("workflow_id"), _text("user_id"), _text("session_id"),
    _text("query"), _text("mode"), _text("status"), _blob("input"), _blob("principal"), _blob("result"), _blob("error"),
    _int("total_tokens"), _int("total_cost_pico"), _text("usage"), _int("duration_ms", None),
    sa.Column("metadata", sa.Text, nullable=False, server_default=sa.text("'{}'")),
    _text("idempotency_key"), _text("root_id"), _text("parent_id"), _int("forked_at", None), _int("deadline", None),
    _int("last_seq"), _text("waits_for"), _int("created_at"), _int("updated_at"),
    _index("tasks_workflow", "tenant_id", "workflow_id", unique=True),
    _index("tasks_idempotency", "tenant_id", "idempotency_key", unique=True, where="idempotency_key <> ''"),
    _index("tasks_status", "tenant_id", "status", "id"),
    _index(
        "tasks_unfinished", "created_at", "id", where="status IN ('queued', 'running', 'waiting', 'paused')"
    ),
    _index("tasks_session", "tenant_id", "session_id", "id", where="session_id <> ''"),
)  # fmt: skip
AGENT_EXECUTIONS = _table(
    "agent_executions", _key("task_execution_id", "agent_id"), _text("query"), _text("status"), _text("result"),
    _text("model_used"), _text("provider"), _int("tokens"), _text("usage"), _int("cost_pico"),
    _int("execution_time_ms"), _int("tool_calls_count"), _int("created_at"), _int("updated_at"),
)  # fmt: skip
COMMANDS = _table(
    "commands", _key("id"), _text("task"), _text("kind"), _blob("payload"), _blob("principal"), _int("time"),
    _int("delivered_at", None), _text("error"),
    _index("commands_open", "time", "id", where="delivered_at IS NULL"),
    _index("commands_task", "tenant_id", "task", "id"),
)  # fmt: skip
RESULTS = _table(
    "results", _key("task", "key"), _text("input_hash"), _text("status"), _blob("value"), _text("ref"), _blob("error"),
    _text("owner"), _int("lease_until"), _int("attempts"), _int("deaths"), _int("inherited"), _int("started_at"),
    _int("finished_at", None),
)  # fmt: skip
JOURNAL = _table(
    "journal", (_text("task", key=True), _int("n", key=True)), _text("kind"), _text("key"), _int("time"),
    _blob("value"), _text("digest"), _blob("patches"), _int("event_seq"),
)  # fmt: skip
MESSAGES = _table("messages", _key("hash"), _text("parent"), _blob("body"), _text("ref"), _int("time"))
BLOBS = _table("blobs", _key("hash"), _int("size"), _blob("body"), _text("ref"), _int("time"))
EVENTS = _table(
    "events", (_text("task", key=True), _int("seq", key=True)), _text("id"), _text("key"), _text("kind"), _int("time"),
    _text("principal"), _text("on_behalf_of"), _text("cause"), _text("trace_id"), _text("commitment"),
)  # fmt: skip
# Keyed by the event's key, so that this one index both finds a payload and keeps keys unique: one page less to write
# an event. Forgetting a payload clears salt and payload, never the row.
EVENT_PAYLOADS = _table("event_payloads", _key("task", "key"), _int("seq"), _blob("salt"), _blob("payload"))
# Events without a place in the log yet, on PostgreSQL; SQLite's writer knows them.
LOG_PENDING = _table("log_pending", (_text("task", key=True), _int("seq", key=True)))
LOG = _table("log", (_int("position", key=True),), _text("task"), _int("seq"))
# How far the log goes, on PostgreSQL, and which of the processes that would fill it may: whose epoch this is.
LOG_HEAD = _table("log_head", (), _int("position"), _int("epoch"))
BUDGET_SCOPES = _table(
    "budget_scopes", (*_key("kind", "id", "window"), _int("window_start", key=True)), _int("limit_tokens", None),
    _int("limit_pico", None), _int("used_tokens"), _int("used_pico"), _int("held_tokens"), _int("held_pico"),
    _int("closed"),
)  # fmt: skip
RESERVATIONS = _table(
    "reservations", _key("id"), _text("key"), _int("attempt"), _text("task"), _text("model"), _text("state"),
    _int("need_tokens"), _int("need_pico"), _int("billed_tokens", None), _int("billed_pico", None), _int("overrun"),
    _text("vendor_request"), _int("deadline"), _text("owner"), _int("time"), _int("settled_at", None),
    _index("reservations_key", "tenant_id", "key", "attempt", unique=True),
    _index("reservations_held", "deadline", where="state = 'held'"),
    _index("reservations_lost", "tenant_id", "task", where="state = 'lost'"),
)  # fmt: skip
RESERVATION_SCOPES = _table(
    "reservation_scopes", (*_key("reservation", "kind", "id", "window"), _int("window_start", key=True))
)
# The line of those who wait for room in a scope, across processes, on PostgreSQL.
WAITERS = _table(
    "waiters", _key("scope", "ticket"), _int("passed"), _int("expires"),
    _index("waiters_ticket", "tenant_id", "ticket"),
)  # fmt: skip
COMPLETIONS = _table("completions", _key("key"), _text("request_hash"), _blob("answer"), _int("time"))
USAGE = _table(
    "usage", _key("task", "id"), _text("step"), _text("agent"), _text("endpoint"), _text("vendor"),
    _text("model"), _text("user_id"), _text("session_id"), _text("key"), _text("end_user"), _text("tags"),
    _text("request_id"), _int("prompt"), _int("completion"), _int("cached"), _int("written"), _int("reasoning"),
    _int("cost_pico"), _int("saved_pico"), _text("head_hash"), _int("estimated"), _int("time"),
    _index("usage_head", "tenant_id", "head_hash", "model", where="head_hash <> '' AND estimated = 0"),
)  # fmt: skip
INTENTS = _table(
    "intents", _key("task", "step"), _text("tool"), _text("args_hash"), _blob("outcome"), _int("time"),
    _int("resolved_at", None),
)  # fmt: skip
APPROVALS = _table(
    "approvals", _key("id"), _text("task"), _text("step"), _text("tool"), _text("args_hash"), _blob("arguments"),
    _text("state"), _int("requested_at"), _int("expires"), _text("decided_by"), _int("decided_at", None),
    _text("reason"), _text("consumed_by"), _int("consumed_at", None),
    _index("approvals_task", "tenant_id", "task", "args_hash"),
    _index("approvals_pending", "tenant_id", "expires", where="state = 'pending'"),
)  # fmt: skip
SCHEDULES = _table(
    "schedules", _key("id"), _blob("definition"), _blob("state"), _int("revision"), _int("created_at"),
    _int("updated_at"),
)  # fmt: skip
