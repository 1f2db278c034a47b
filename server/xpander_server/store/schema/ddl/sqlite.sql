CREATE TABLE api_keys (
    organization_id VARCHAR(100) NOT NULL,
    salt BLOB NOT NULL,
    tag SMALLINT NOT NULL,
    hash BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    name VARCHAR(100) DEFAULT 'key' NOT NULL,
    scopes TEXT DEFAULT '["report","read","admin"]' NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    PRIMARY KEY (organization_id, salt)
);

CREATE INDEX api_keys_by_tag ON api_keys (tag);

CREATE TABLE audit_log (
    organization_id VARCHAR(100) NOT NULL,
    at BIGINT NOT NULL,
    id BLOB NOT NULL,
    action VARCHAR(100) NOT NULL,
    actor VARCHAR(255) NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (organization_id, at, id)
);

CREATE TABLE erased_tasks (
    organization_id VARCHAR(100) NOT NULL,
    id VARCHAR(255) NOT NULL,
    agent_id VARCHAR(255) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    is_success BOOLEAN,
    duration FLOAT,
    tokens TEXT,
    used_tools TEXT,
    model VARCHAR(255),
    cost BIGINT,
    calls TEXT,
    call_costs TEXT,
    erased_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE metadata_pairs (
    organization_id VARCHAR(100) NOT NULL,
    digest BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    task_id VARCHAR(255) NOT NULL,
    PRIMARY KEY (organization_id, digest, created_at, task_id)
)
 WITHOUT ROWID;

CREATE TABLE metric_deltas (
    organization_id VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    amounts TEXT NOT NULL,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE metric_rollups (
    organization_id VARCHAR(100) NOT NULL,
    agent_id VARCHAR(255) NOT NULL,
    hours SMALLINT NOT NULL,
    start BIGINT NOT NULL,
    amounts TEXT NOT NULL,
    PRIMARY KEY (organization_id, agent_id, hours, start)
);

CREATE TABLE own_prices (
    organization_id VARCHAR(100) NOT NULL,
    provider VARCHAR(100) NOT NULL,
    model VARCHAR(255) NOT NULL,
    prompt BIGINT NOT NULL,
    completion BIGINT NOT NULL,
    cache_read BIGINT,
    cache_write BIGINT,
    PRIMARY KEY (organization_id, provider, model)
);

CREATE TABLE retention (
    organization_id VARCHAR(100) NOT NULL,
    deleted_before BIGINT NOT NULL,
    PRIMARY KEY (organization_id)
);

CREATE TABLE sessions (
    organization_id VARCHAR(100) NOT NULL,
    digest BLOB NOT NULL,
    key_salt BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, digest)
);

CREATE TABLE span_refusals (
    organization_id VARCHAR(100) NOT NULL,
    cause VARCHAR(32) NOT NULL,
    requests BIGINT NOT NULL,
    spans BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    reason VARCHAR(300) NOT NULL,
    PRIMARY KEY (organization_id, cause)
);

CREATE TABLE spans (
    organization_id VARCHAR(100) NOT NULL,
    trace_id VARCHAR(64) NOT NULL,
    span_id VARCHAR(64) NOT NULL,
    summary TEXT NOT NULL,
    PRIMARY KEY (organization_id, trace_id, span_id)
);

CREATE TABLE tasks (
    organization_id VARCHAR(100) NOT NULL,
    id VARCHAR(255) NOT NULL,
    agent_id VARCHAR(255) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    input TEXT,
    llm_response TEXT,
    tokens TEXT,
    is_success BOOLEAN,
    result TEXT,
    duration FLOAT,
    used_tools TEXT,
    user_id VARCHAR(255),
    parent_task_id VARCHAR(255),
    triggering_agent_id VARCHAR(255),
    reported_at TEXT NOT NULL,
    model VARCHAR(255),
    cost BIGINT,
    changes TEXT,
    error TEXT,
    calls TEXT,
    call_costs TEXT,
    conversation_id VARCHAR(255),
    metadata TEXT,
    reason TEXT,
    PRIMARY KEY (organization_id, id)
);

CREATE INDEX tasks_executing ON tasks (organization_id, created_at) WHERE is_success IS NULL;

CREATE INDEX tasks_failed ON tasks (organization_id, created_at) WHERE is_success IS 0;

CREATE INDEX tasks_failed_of_agent ON tasks (organization_id, agent_id, created_at) WHERE is_success IS 0;

CREATE INDEX tasks_of_agent ON tasks (organization_id, agent_id, created_at);

CREATE INDEX tasks_of_conversation ON tasks (organization_id, conversation_id, created_at) WHERE conversation_id IS NOT NULL;

CREATE INDEX tasks_of_organization ON tasks (organization_id, created_at);

CREATE INDEX tasks_of_parent ON tasks (organization_id, parent_task_id, created_at) WHERE parent_task_id IS NOT NULL;

CREATE INDEX tasks_of_user ON tasks (organization_id, user_id, created_at);

CREATE TABLE traces (
    organization_id VARCHAR(100) NOT NULL,
    trace_id VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    agent_id VARCHAR(255),
    tasks TEXT NOT NULL,
    PRIMARY KEY (organization_id, trace_id)
);

CREATE INDEX traces_by_due_at ON traces (due_at);
