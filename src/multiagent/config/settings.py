"""Every setting there is, typed, with its default. ``configs/multiagent.yaml`` shows the same with comments."""

import math
import re
from typing import Final, Literal

import msgspec

from multiagent.core.money import usd
from multiagent.core.settings import FailedAgent
from multiagent.core.tier import Tier

LAST_PORT: Final = 65533
"""Of the first service; the others listen on the two ports after it."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the configuration; an unknown key is an error."""


class StorageSettings(_Section, frozen=True, kw_only=True):
    """``url`` names a PostgreSQL database (``postgresql://…``), where there is to be more than one process; empty: a
    SQLite file in the home. ``connections`` is the most that one process opens to PostgreSQL.

    ``synchronous`` FULL survives power loss, NORMAL only the death of the process (SQLite).
    """

    url: str = ""
    connections: int = 8
    synchronous: Literal["FULL", "NORMAL"] = "FULL"


class TemporalSettings(_Section, frozen=True, kw_only=True):
    """Where Temporal is. ``key_file`` holds the key (32 bytes, base64) that payloads are encrypted with; empty:
    ``temporal.key`` in the home. Task queues are named ``<queues>-<service>``.
    """

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    queues: str = "multiagent"
    key_file: str = ""
    tls: bool = False
    api_key: str = ""


class ServeSettings(_Section, frozen=True, kw_only=True):
    """``multiagent serve``: where health and metrics listen (port 0: any free one), how many ``steps`` of a service one
    process does at once (on Temporal), how long a drain may take.

    The metrics of orchestrator, agent and llm are at ``metrics_port`` and the two ports after it by default.
    """

    host: str = "127.0.0.1"
    health_port: int = 8081
    metrics_port: int = 2112
    steps: int = 64
    drain_s: float = 30.0


class TaskLimits(_Section, frozen=True, kw_only=True):
    """How a task is analysed, split and bounded; scores are 0–1."""

    simple_below: float = 0.3
    complex_from: float = 0.7
    max_agents: int = 5
    max_nodes: int = 12
    max_turns: int = 8
    max_repeats: int = 3
    max_output: int = 4096
    temperature: float = 0.0
    tier: Tier | None = None
    model: str = ""
    failed_agent: FailedAgent = "continue"


class BudgetSettings(_Section, frozen=True, kw_only=True):
    """Limits in US dollars (decimal text) and tokens; a user's, the tenant's and each model's are for one UTC day.

    Empty text, or None, is no limit.
    """

    request_usd: str = "0.10"
    task_usd: str = "1.00"
    task_tokens: int = 200_000
    user_day_usd: str = "100.00"
    tenant_day_usd: str = ""
    model_day_usd: str = ""
    session_tokens: int | None = None


class SandboxSettings(_Section, frozen=True, kw_only=True):
    """Sizes in MiB, times in seconds."""

    workers: int = 2
    memory_mib: int = 256
    timeout_s: float = 30.0
    output_kib: int = 256


class CacheSettings(_Section, frozen=True, kw_only=True):
    """The exact answer cache."""

    enabled: bool = True
    ttl_s: float = 3600.0


class AttachmentSettings(_Section, frozen=True, kw_only=True):
    """Largest attachment, in MiB, and how many a task may have."""

    max_mib: int = 100
    max_count: int = 50


class ApprovalSettings(_Section, frozen=True, kw_only=True):
    """How long a person has to approve, in seconds."""

    expire_s: int = 604_800


class SessionSettings(_Section, frozen=True, kw_only=True):
    """The most tokens that a task is told of the earlier tasks of its session."""

    max_tokens: int = 2_000


class PolicySettings(_Section, frozen=True, kw_only=True):
    """``url`` names an OPA server (``http://host:port``) that runs the bundle; empty: it is decided in this process.

    ``token`` is the bearer token the server asks for; ``timeout_s`` the seconds one answer may take.
    """

    url: str = ""
    token: str = ""
    timeout_s: float = 2.0


class OwnerSettings(_Section, frozen=True, kw_only=True):
    """The background owner (``run --detach``): ends when idle for so many seconds; asked to stop, gives running steps
    so many to end.
    """

    idle_s: float = 5.0
    drain_s: float = 10.0


class OfflineSettings(_Section, frozen=True, kw_only=True):
    """The built-in stand-in model: added latency a call in seconds, share of calls that fail (0–1)."""

    latency_s: float = 0.0
    failure_rate: float = 0.0


class Settings(_Section, frozen=True, kw_only=True):
    """The whole configuration. Empty paths mean the files shipped with the package.

    ``load`` names tools and agents of one's own, as ``module:name``, separated by commas.
    """

    engine: Literal["embedded", "temporal"] = "embedded"
    storage: StorageSettings = StorageSettings()
    temporal: TemporalSettings = TemporalSettings()
    serve: ServeSettings = ServeSettings()
    task: TaskLimits = TaskLimits()
    budget: BudgetSettings = BudgetSettings()
    sandbox: SandboxSettings = SandboxSettings()
    cache: CacheSettings = CacheSettings()
    attachments: AttachmentSettings = AttachmentSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    session: SessionSettings = SessionSettings()
    policy: PolicySettings = PolicySettings()
    owner: OwnerSettings = OwnerSettings()
    offline: OfflineSettings = OfflineSettings()
    models_file: str = ""
    policy_dir: str = ""
    load: str = ""


class Places(msgspec.Struct, frozen=True):
    """Where things live: ``home`` holds data, ``cache`` what can be made again."""

    home: str
    cache: str


def check(settings: Settings) -> list[str]:
    """Return what is wrong with values that types alone do not catch, one sentence each."""
    wrong: list[str] = []
    task = settings.task
    if not 0 <= task.simple_below <= task.complex_from <= 1:
        wrong.append("task.simple_below and task.complex_from must be 0 ≤ simple_below ≤ complex_from ≤ 1")
    at_least_one = {
        "serve.steps": settings.serve.steps,
        "storage.connections": settings.storage.connections,
        "task.max_agents": task.max_agents,
        "task.max_nodes": task.max_nodes,
        "task.max_turns": task.max_turns,
        "task.max_repeats": task.max_repeats,
        "task.max_output": task.max_output,
        "budget.task_tokens": settings.budget.task_tokens,
        "sandbox.workers": settings.sandbox.workers,
        "sandbox.memory_mib": settings.sandbox.memory_mib,
        "sandbox.output_kib": settings.sandbox.output_kib,
        "attachments.max_mib": settings.attachments.max_mib,
        "attachments.max_count": settings.attachments.max_count,
        "approvals.expire_s": settings.approvals.expire_s,
    }
    if settings.session.max_tokens < 200:
        wrong.append(f"session.max_tokens must be at least 200, not {settings.session.max_tokens}")
    wrong.extend(f"{name} must be at least 1, not {value}" for name, value in at_least_one.items() if value < 1)
    if not 0 < settings.sandbox.timeout_s <= 3600 or not 0 < settings.cache.ttl_s < math.inf:
        wrong.append("sandbox.timeout_s must be over 0 and at most 3600, cache.ttl_s over 0")
    if not 0 <= settings.offline.failure_rate <= 1 or not 0 <= settings.offline.latency_s < math.inf:
        wrong.append("offline.failure_rate must be 0–1 and offline.latency_s not negative")
    wrong.extend(_policy(settings.policy))
    wrong.extend(_served(settings.serve, settings.temporal))
    if not 0 <= settings.owner.idle_s < math.inf or not 0 <= settings.owner.drain_s <= 3600:
        wrong.append("owner.idle_s must not be negative, owner.drain_s 0–3600")
    if settings.budget.session_tokens is not None and settings.budget.session_tokens < 1:
        wrong.append(
            f"budget.session_tokens must be at least 1, or null for none, not {settings.budget.session_tokens}"
        )
    budget = settings.budget
    amounts = (budget.request_usd, budget.task_usd, budget.user_day_usd, budget.tenant_day_usd, budget.model_day_usd)
    for amount in amounts:
        if amount:
            usd(amount)
    return wrong


def _policy(policy: PolicySettings) -> list[str]:
    wrong: list[str] = []
    if not 0 < policy.timeout_s <= 60:
        wrong.append(f"policy.timeout_s must be over 0 and at most 60, not {policy.timeout_s}")
    if policy.url and not re.fullmatch(r"https?://[^/@?#\s]+(/[^?#@\s]*)?", policy.url):
        wrong.append("policy.url must be like http://127.0.0.1:8181, without user, password or query")
    return wrong


def _served(serve: ServeSettings, temporal: TemporalSettings) -> list[str]:
    wrong: list[str] = []
    ports = {"serve.health_port": serve.health_port, "serve.metrics_port": serve.metrics_port}
    wrong.extend(
        f"{name} must be 0–{LAST_PORT}, not {port}" for name, port in ports.items() if not 0 <= port <= LAST_PORT
    )
    if not 0 <= serve.drain_s <= 3600:
        wrong.append(f"serve.drain_s must be 0–3600, not {serve.drain_s}")
    named = {"temporal.address": temporal.address, "temporal.namespace": temporal.namespace}
    for name, value in {**named, "temporal.queues": temporal.queues}.items():
        if not value.strip():
            wrong.append(f"{name} must not be empty")
    return wrong
