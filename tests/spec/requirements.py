"""Everything that was asked for, one id a promise.

Each id is proven by tests that carry `@pytest.mark.requirement(id, ...)`, or it is a deferral that names the issue
which brings it. A full test run fails where an id that is due has no test that ran (tests/spec/plugin.py).
`A…` are the acceptance lines of the issue in hand, `S.…` the bullets of the seed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """A promise in one line; `later` names the issue that brings it, None means it is due now."""

    id: str
    promise: str
    later: str | None = None


LLM = "LLM service"
GATEWAY = "Gateway and APIs"
TENANTS = "Tenants, auth and security"
LEDGER = "Ledger"
MEMORY = "Memory and sessions"
TOOLS = "Tools and MCP"
OPERATIONS = "Observability and operations"

ACCEPTANCE = (
    Requirement("A1", "README command one reports on the time-zone tables by three agents through the sandbox"),
    Requirement("A2", "95% of facts planted in 50 generated tables are found, no number is invented"),
    Requirement("A3", "kill -9 at any moment: nothing lost, stuck, run twice or paid twice"),
    Requirement("A4.exact", "64 concurrent calls at exactly the bound, a budget of 10 bounds: exactly 10 succeed"),
    Requirement("A4.less", "a model that bills less is never over, and none is refused while its least need fits"),
    Requirement("A4.kills", "after kills: vendor bill <= settled + lost <= limit in every scope"),
    Requirement("A5.replay", "every run of the test suite replays identically in another process and hash seed"),
    Requirement("A5.edits", "ten edits applied to the product's workflow files are each detected by replay"),
    Requirement("A6", "the sandbox contains every attack with its typed error and stays healthy over 1,000 runs"),
    Requirement("A7.seed", "policy: the seed's cases"),
    Requirement("A7.malformed", "policy: malformed input denies"),
    Requirement("A7.bundle", "policy: a broken bundle is refused and the old one kept"),
    Requirement("A7.error", "policy: an engine error denies"),
    Requirement("A8.clone", "a fresh clone installs from hash-locked files; CI calls the README's command two"),
    Requirement("A8.bites", "the house tests bite"),
)

STEERING = (
    Requirement("C5.step", "a finished run is stepped through on a terminal"),
    Requirement("C2.fork", "a fork at each cut runs later steps only, inherits for nothing, repeats nothing"),
    Requirement("C3.pause", "no step starts after PAUSED, and resume goes on"),
    Requirement("C1.kills", "100 kills -9 over 200 steered tasks: nothing lost, stuck, repeated or taken twice"),
    Requirement("C1.commands", "an owner killed while commands wait: none is lost, none is taken twice"),
    Requirement("C3.cancel", "steps, streams and programs stop within a second, nothing is spent after"),
    Requirement("C4.refused", "changed, used, expired, foreign, concurrent decisions are each refused"),
    Requirement("C4.edited", "edited arguments are checked by schema and policy, bound, and run as edited"),
    Requirement("C4.days", "a task that waits for a person survives a restart, days later"),
    Requirement("C5.states", "the state at a cut equals the state recorded live at that point"),
    Requirement("C7", "a 40-task session stays under its limit and answers a question about task 1"),
    Requirement("C6.belief", "a belief's update equals a brute-force Bayes calculation"),
    Requirement("C6.judge", "the judge rejects 95% of corrupted answers and accepts 95% of the others"),
    Requirement("C8.golden", "golden histories of each kind replay, and a tampered copy of each fails"),
)
"""The acceptance lines of "Control and time travel", by their numbers."""

DURABLE = (
    Requirement("T1.suite", "the engine suite passes on Temporal's server"),
    Requirement("T1.job", "the README's job: same plan, tool results and answer on both engines"),
    Requirement("T2", "one of seven processes killed every few seconds: nothing lost, stuck or repeated"),
    Requirement("T3.temporal", "Temporal away for a minute: nothing lost, no stored result made again"),
    Requirement("T3.postgres", "PostgreSQL away for a minute: nothing lost, no stored result made again"),
    Requirement("T4.patched", "a deploy with a patched change: all finish, both branches taken"),
    Requirement("T4.check", "an unpatched change is caught by the check before a deploy"),
    Requirement("T5", "forks at ten events on each engine and across: only later steps run"),
    Requirement("T6", "cancel closes vendor connections within a second, nothing is spent after"),
    Requirement("T7.exact", "64 calls of two processes, a budget of 10 bounds: exactly 10, no hold leaked"),
    Requirement("T7.mixes", "10^4 random mixes of reservations: no deadlock, no leak"),
    Requirement("T7.kills", "after kills: vendor bill <= settled + lost <= limit on PostgreSQL"),
    Requirement("T8", "killed between any two lines of the wrapper: events and journal equal the Replayer's"),
)
"""The acceptance lines of "Durable on Temporal", by their numbers."""

SEED = (
    # 核心特性, 成本控制, 令牌成本优化
    Requirement("S.cost.exact-cache", "identical requests are answered from the cache at no cost"),
    Requirement("S.cost.semantic-cache", "similar prompts (cosine >= 0.95, TTL 1 h) are served or shadowed", LLM),
    Requirement("S.cost.70-percent", "a typical workload costs 70% less", LLM),
    Requirement("S.cost.session-reuse", "context is reused within a session instead of sent again"),
    Requirement("S.cost.routing", "models are chosen by complexity, in tiers allotted 50/40/10", LLM),
    Requirement("S.cost.batch", "similar requests are batched", LLM),
    Requirement("S.cost.per-request", "at most $0.10 a request"),
    Requirement("S.cost.per-day", "at most $100 a user and day, in a scope with a window"),
    Requirement("S.cost.alert", "an alert from 80% of a budget", LLM),
    Requirement("S.cost.budget", "tokens are tracked and limited per task, user and session as they are spent"),
    # 可靠性, 错误处理和恢复
    Requirement("S.reliability.durable", "a workflow survives the death of its process"),
    Requirement("S.reliability.temporal", "workflows run on Temporal"),
    Requirement("S.reliability.replay", "a recorded run replays deterministically"),
    Requirement("S.reliability.time-travel", "a run is stepped through and forked at any point"),
    Requirement("S.reliability.breaker", "circuit breakers with the seed's states, counts and generations"),
    Requirement("S.reliability.retry", "retries with exponential back-off and jitter"),
    Requirement("S.reliability.degrade", "a failed part degrades the answer instead of losing it"),
    # 安全性, 零信任安全模型
    Requirement("S.safety.sandbox", "Python runs in a WASI sandbox with memory, CPU, table, instance and time limits"),
    Requirement("S.safety.sandbox-files", "a sandboxed program sees only granted folders and no network"),
    Requirement("S.safety.sandbox-metrics", "each sandboxed run reports the fuel, memory and time it took"),
    Requirement("S.safety.javascript", "JavaScript runs in the sandbox as well", TOOLS),
    Requirement("S.safety.policy", "every tool call passes the policy, which denies by default"),
    Requirement("S.safety.policy-server", "the same bundle runs on an OPA server", TENANTS),
    Requirement("S.safety.input", "every external input is validated as a potential threat"),
    Requirement("S.safety.hidden-prompts", "uploads are scanned for hidden prompts", TENANTS),
    Requirement("S.safety.merkle", "facts are kept in an append-only Merkle log", LEDGER),
    Requirement("S.safety.output", "sensitive output is redacted", TENANTS),
    Requirement("S.safety.audit", "everything that happened is in one append-only event log"),
    Requirement("S.safety.least-privilege", "an agent has its user's permissions, narrowed to the task, never admin's"),
    Requirement("S.safety.secrets", "stored secrets are encrypted", TENANTS),
    Requirement("S.safety.auth", "JWT and API keys, rate limits per key", TENANTS),
    Requirement("S.safety.tenants", "tenants, users and sessions are isolated", TENANTS),
    # 可扩展性
    Requirement("S.scaling.vendors", "15+ model vendors, switched without a restart", LLM),
    Requirement("S.scaling.one-interface", "an OpenAI-compatible vendor works by base URL and key"),
    Requirement("S.scaling.horizontal", "the services scale out as separate processes"),
    # Orchestrator
    Requirement("S.orchestrator.decompose", "a query becomes a validated, acyclic plan of agent tasks"),
    Requirement("S.orchestrator.modes", "SIMPLE below 0.3, STANDARD below 0.7, COMPLEX from there"),
    Requirement("S.orchestrator.parallel", "up to five agents at once, as their dependencies finish"),
    Requirement("S.orchestrator.attest", "a task's execution is attested", LEDGER),
    Requirement("S.orchestrator.sessions", "session context is kept and shown"),
    Requirement("S.orchestrator.approvals", "a human approves what the policy holds back"),
    Requirement("S.orchestrator.cancel", "a task can be cancelled from outside"),
    # Agent core
    Requirement("S.agents.fsm", "an agent is a finite-state machine with bounded turns"),
    Requirement("S.agents.belief", "hypotheses with evidence and confidence"),
    Requirement("S.agents.memory", "memory is bounded and given back", OPERATIONS),
    Requirement("S.agents.custom", "users write agents of their own", TOOLS),
    # Tools
    Requirement("S.tools.schema", "tools have a name, a description, a schema and an async execute"),
    Requirement("S.tools.calculator", "a calculator"),
    Requirement("S.tools.text", "a text processor"),
    Requirement("S.tools.mcp", "MCP tools are discovered and called", TOOLS),
    Requirement("S.tools.search", "a search tool", TOOLS),
    # LLM service
    Requirement("S.llm.score", "the router's score", LLM),
    Requirement("S.llm.stream", "answers stream"),
    Requirement("S.llm.embeddings", "text is embedded", LLM),
    Requirement("S.llm.complexity", "a query's complexity is scored, with reasons"),
    Requirement("S.llm.http", "POST /v1/completions on port 8000", LLM),
    # 数据持久化层
    Requirement("S.data.tables", "users, sessions, task_executions, agent_executions with the seed's columns"),
    Requirement("S.data.postgres", "PostgreSQL"),
    Requirement("S.data.redis", "Redis caches in levels", LLM),
    Requirement("S.data.objects", "large values are stored once, by hash"),
    Requirement("S.data.vectors", "collections memories, context and tools", MEMORY),
    # API
    Requirement("S.api.orchestrator", "gRPC OrchestratorService", GATEWAY),
    Requirement("S.api.agent", "gRPC AgentService", GATEWAY),
    Requirement("S.api.llm", "gRPC LLMService", GATEWAY),
    Requirement("S.api.client", "an async Python client", GATEWAY),
    Requirement("S.api.load", "100 concurrent requests: >= 95% succeed, mean < 2 s, p95 < 5 s", GATEWAY),
    # 部署和运维, 可观测性
    Requirement("S.ops.compose", "Docker Compose brings up everything", OPERATIONS),
    Requirement("S.ops.health", "health checks per part", OPERATIONS),
    Requirement("S.ops.metrics", "Prometheus metrics on 2112 and 2113", OPERATIONS),
    Requirement("S.ops.dashboards", "Grafana dashboards", OPERATIONS),
    Requirement("S.ops.tracing", "OpenTelemetry traces", OPERATIONS),
    Requirement("S.ops.alerts", "the four alert rules", OPERATIONS),
    # 区块链
    Requirement("S.ledger.wallet", "wallets", LEDGER),
    Requirement("S.ledger.attest", "attestations recorded on Solana", LEDGER),
    Requirement("S.ledger.tokens", "token transactions", LEDGER),
    # 最佳实践
    Requirement("S.config.environments", "settings differ by environment without code changes", OPERATIONS),
    Requirement("S.config.reload", "settings reload while running", OPERATIONS),
    Requirement("S.config.versions", "settings have versions and roll back", OPERATIONS),
    Requirement("S.errors.layers", "each error has a code, says whether to retry, and what to do"),
    Requirement("S.performance.async", "a long task is accepted at once and runs apart from its submission"),
    Requirement("S.performance.preload", "sandbox workers wait ready before they are needed"),
)

ALL = ACCEPTANCE + STEERING + DURABLE + SEED
