CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version (version_num) VALUES ('0006');
CREATE TABLE agent_executions (
	tenant_id TEXT NOT NULL,
	task_execution_id TEXT NOT NULL,
	agent_id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	"query" TEXT DEFAULT '' NOT NULL,
	status TEXT DEFAULT '' NOT NULL,
	result TEXT DEFAULT '' NOT NULL,
	model_used TEXT DEFAULT '' NOT NULL,
	provider TEXT DEFAULT '' NOT NULL,
	tokens BIGINT DEFAULT 0 NOT NULL,
	usage TEXT DEFAULT '' NOT NULL,
	cost_pico BIGINT DEFAULT 0 NOT NULL,
	execution_time_ms BIGINT DEFAULT 0 NOT NULL,
	tool_calls_count BIGINT DEFAULT 0 NOT NULL,
	created_at BIGINT DEFAULT 0 NOT NULL,
	updated_at BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, task_execution_id, agent_id)
)
 WITHOUT ROWID;
CREATE TABLE approvals (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	task TEXT DEFAULT '' NOT NULL,
	step TEXT DEFAULT '' NOT NULL,
	tool TEXT DEFAULT '' NOT NULL,
	args_hash TEXT DEFAULT '' NOT NULL,
	arguments BLOB,
	state TEXT DEFAULT '' NOT NULL,
	requested_at BIGINT DEFAULT 0 NOT NULL,
	expires BIGINT DEFAULT 0 NOT NULL,
	decided_by TEXT DEFAULT '' NOT NULL,
	decided_at BIGINT,
	reason TEXT DEFAULT '' NOT NULL,
	consumed_by TEXT DEFAULT '' NOT NULL,
	consumed_at BIGINT,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE INDEX approvals_pending ON approvals (tenant_id, expires) WHERE state = 'pending';
CREATE INDEX approvals_task ON approvals (tenant_id, task, args_hash);
CREATE TABLE blobs (
	tenant_id TEXT NOT NULL,
	hash TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	size BIGINT DEFAULT 0 NOT NULL,
	body BLOB,
	ref TEXT DEFAULT '' NOT NULL,
	time BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, hash)
)
 WITHOUT ROWID;
CREATE TABLE budget_scopes (
	tenant_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	window TEXT NOT NULL,
	window_start BIGINT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	limit_tokens BIGINT,
	limit_pico BIGINT,
	used_tokens BIGINT DEFAULT 0 NOT NULL,
	used_pico BIGINT DEFAULT 0 NOT NULL,
	held_tokens BIGINT DEFAULT 0 NOT NULL,
	held_pico BIGINT DEFAULT 0 NOT NULL,
	closed BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, kind, id, window, window_start)
)
 WITHOUT ROWID;
CREATE TABLE commands (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	task TEXT DEFAULT '' NOT NULL,
	kind TEXT DEFAULT '' NOT NULL,
	payload BLOB,
	principal BLOB,
	time BIGINT DEFAULT 0 NOT NULL,
	delivered_at BIGINT,
	error TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE INDEX commands_open ON commands (time, id) WHERE delivered_at IS NULL;
CREATE INDEX commands_task ON commands (tenant_id, task, id);
CREATE TABLE completions (
	tenant_id TEXT NOT NULL,
	"key" TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	request_hash TEXT DEFAULT '' NOT NULL,
	answer BLOB,
	time BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, "key")
)
 WITHOUT ROWID;
CREATE TABLE event_payloads (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	"key" TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	seq BIGINT DEFAULT 0 NOT NULL,
	salt BLOB,
	payload BLOB,
	PRIMARY KEY (tenant_id, task, "key")
)
 WITHOUT ROWID;
CREATE TABLE events (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	seq BIGINT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	id TEXT DEFAULT '' NOT NULL,
	"key" TEXT DEFAULT '' NOT NULL,
	kind TEXT DEFAULT '' NOT NULL,
	time BIGINT DEFAULT 0 NOT NULL,
	principal TEXT DEFAULT '' NOT NULL,
	on_behalf_of TEXT DEFAULT '' NOT NULL,
	cause TEXT DEFAULT '' NOT NULL,
	trace_id TEXT DEFAULT '' NOT NULL,
	commitment TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (tenant_id, task, seq)
)
 WITHOUT ROWID;
CREATE TABLE intents (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	step TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	tool TEXT DEFAULT '' NOT NULL,
	args_hash TEXT DEFAULT '' NOT NULL,
	outcome BLOB,
	time BIGINT DEFAULT 0 NOT NULL,
	resolved_at BIGINT,
	PRIMARY KEY (tenant_id, task, step)
)
 WITHOUT ROWID;
CREATE TABLE journal (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	n BIGINT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	kind TEXT DEFAULT '' NOT NULL,
	"key" TEXT DEFAULT '' NOT NULL,
	time BIGINT DEFAULT 0 NOT NULL,
	value BLOB,
	digest TEXT DEFAULT '' NOT NULL,
	patches BLOB,
	event_seq BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, task, n)
)
 WITHOUT ROWID;
CREATE TABLE log (
	tenant_id TEXT NOT NULL,
	position BIGINT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	task TEXT DEFAULT '' NOT NULL,
	seq BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, position)
)
 WITHOUT ROWID;
CREATE TABLE log_head (
	tenant_id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	position BIGINT DEFAULT 0 NOT NULL,
	epoch BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id)
)
 WITHOUT ROWID;
CREATE TABLE log_pending (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	seq BIGINT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	PRIMARY KEY (tenant_id, task, seq)
)
 WITHOUT ROWID;
CREATE TABLE messages (
	tenant_id TEXT NOT NULL,
	hash TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	parent TEXT DEFAULT '' NOT NULL,
	body BLOB,
	ref TEXT DEFAULT '' NOT NULL,
	time BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, hash)
)
 WITHOUT ROWID;
CREATE TABLE reservation_scopes (
	tenant_id TEXT NOT NULL,
	reservation TEXT NOT NULL,
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	window TEXT NOT NULL,
	window_start BIGINT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	PRIMARY KEY (tenant_id, reservation, kind, id, window, window_start)
)
 WITHOUT ROWID;
CREATE TABLE reservations (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	"key" TEXT DEFAULT '' NOT NULL,
	attempt BIGINT DEFAULT 0 NOT NULL,
	task TEXT DEFAULT '' NOT NULL,
	model TEXT DEFAULT '' NOT NULL,
	state TEXT DEFAULT '' NOT NULL,
	need_tokens BIGINT DEFAULT 0 NOT NULL,
	need_pico BIGINT DEFAULT 0 NOT NULL,
	billed_tokens BIGINT,
	billed_pico BIGINT,
	overrun BIGINT DEFAULT 0 NOT NULL,
	vendor_request TEXT DEFAULT '' NOT NULL,
	deadline BIGINT DEFAULT 0 NOT NULL,
	owner TEXT DEFAULT '' NOT NULL,
	time BIGINT DEFAULT 0 NOT NULL,
	settled_at BIGINT,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE INDEX reservations_held ON reservations (deadline) WHERE state = 'held';
CREATE UNIQUE INDEX reservations_key ON reservations (tenant_id, "key", attempt);
CREATE INDEX reservations_lost ON reservations (tenant_id, task) WHERE state = 'lost';
CREATE TABLE results (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	"key" TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	input_hash TEXT DEFAULT '' NOT NULL,
	status TEXT DEFAULT '' NOT NULL,
	value BLOB,
	ref TEXT DEFAULT '' NOT NULL,
	error BLOB,
	owner TEXT DEFAULT '' NOT NULL,
	lease_until BIGINT DEFAULT 0 NOT NULL,
	attempts BIGINT DEFAULT 0 NOT NULL,
	deaths BIGINT DEFAULT 0 NOT NULL,
	inherited BIGINT DEFAULT 0 NOT NULL,
	started_at BIGINT DEFAULT 0 NOT NULL,
	finished_at BIGINT,
	PRIMARY KEY (tenant_id, task, "key")
)
 WITHOUT ROWID;
CREATE TABLE schedules (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	definition BLOB,
	state BLOB,
	revision BIGINT DEFAULT 0 NOT NULL,
	created_at BIGINT DEFAULT 0 NOT NULL,
	updated_at BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE TABLE sessions (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	user_id TEXT DEFAULT '' NOT NULL,
	context TEXT DEFAULT '{}' NOT NULL,
	token_budget BIGINT DEFAULT 10000 NOT NULL,
	tokens_used BIGINT DEFAULT 0 NOT NULL,
	created_at BIGINT DEFAULT 0 NOT NULL,
	expires_at BIGINT,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (tenant_id, user_id, id);
CREATE TABLE task_executions (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	workflow TEXT DEFAULT '' NOT NULL,
	workflow_id TEXT DEFAULT '' NOT NULL,
	user_id TEXT DEFAULT '' NOT NULL,
	session_id TEXT DEFAULT '' NOT NULL,
	"query" TEXT DEFAULT '' NOT NULL,
	mode TEXT DEFAULT '' NOT NULL,
	status TEXT DEFAULT '' NOT NULL,
	input BLOB,
	principal BLOB,
	result BLOB,
	error BLOB,
	total_tokens BIGINT DEFAULT 0 NOT NULL,
	total_cost_pico BIGINT DEFAULT 0 NOT NULL,
	usage TEXT DEFAULT '' NOT NULL,
	duration_ms BIGINT,
	metadata TEXT DEFAULT '{}' NOT NULL,
	idempotency_key TEXT DEFAULT '' NOT NULL,
	root_id TEXT DEFAULT '' NOT NULL,
	parent_id TEXT DEFAULT '' NOT NULL,
	forked_at BIGINT,
	deadline BIGINT,
	last_seq BIGINT DEFAULT 0 NOT NULL,
	waits_for TEXT DEFAULT '' NOT NULL,
	created_at BIGINT DEFAULT 0 NOT NULL,
	updated_at BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX tasks_idempotency ON task_executions (tenant_id, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX tasks_session ON task_executions (tenant_id, session_id, id) WHERE session_id <> '';
CREATE INDEX tasks_status ON task_executions (tenant_id, status, id);
CREATE INDEX tasks_unfinished ON task_executions (created_at, id) WHERE status IN ('queued', 'running', 'waiting', 'paused');
CREATE UNIQUE INDEX tasks_workflow ON task_executions (tenant_id, workflow_id);
CREATE TABLE tenants (
	tenant_id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	name TEXT DEFAULT '' NOT NULL,
	created_at BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id)
)
 WITHOUT ROWID;
CREATE TABLE usage (
	tenant_id TEXT NOT NULL,
	task TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	step TEXT DEFAULT '' NOT NULL,
	agent TEXT DEFAULT '' NOT NULL,
	endpoint TEXT DEFAULT '' NOT NULL,
	vendor TEXT DEFAULT '' NOT NULL,
	model TEXT DEFAULT '' NOT NULL,
	user_id TEXT DEFAULT '' NOT NULL,
	session_id TEXT DEFAULT '' NOT NULL,
	"key" TEXT DEFAULT '' NOT NULL,
	end_user TEXT DEFAULT '' NOT NULL,
	tags TEXT DEFAULT '' NOT NULL,
	request_id TEXT DEFAULT '' NOT NULL,
	prompt BIGINT DEFAULT 0 NOT NULL,
	completion BIGINT DEFAULT 0 NOT NULL,
	cached BIGINT DEFAULT 0 NOT NULL,
	written BIGINT DEFAULT 0 NOT NULL,
	reasoning BIGINT DEFAULT 0 NOT NULL,
	cost_pico BIGINT DEFAULT 0 NOT NULL,
	saved_pico BIGINT DEFAULT 0 NOT NULL,
	head_hash TEXT DEFAULT '' NOT NULL,
	estimated BIGINT DEFAULT 0 NOT NULL,
	time BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, task, id)
)
 WITHOUT ROWID;
CREATE INDEX usage_head ON usage (tenant_id, head_hash, model) WHERE head_hash <> '' AND estimated = 0;
CREATE TABLE users (
	tenant_id TEXT NOT NULL,
	id TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	external_id TEXT DEFAULT '' NOT NULL,
	email TEXT DEFAULT '' NOT NULL,
	metadata TEXT DEFAULT '{}' NOT NULL,
	created_at BIGINT DEFAULT 0 NOT NULL,
	updated_at BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX users_external ON users (tenant_id, external_id) WHERE external_id <> '';
CREATE TABLE waiters (
	tenant_id TEXT NOT NULL,
	scope TEXT NOT NULL,
	ticket TEXT NOT NULL,
	v BIGINT DEFAULT 1 NOT NULL,
	passed BIGINT DEFAULT 0 NOT NULL,
	expires BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (tenant_id, scope, ticket)
)
 WITHOUT ROWID;
CREATE INDEX waiters_ticket ON waiters (tenant_id, ticket);
