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
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX tasks_of_agent ON tasks (organization_id, agent_id, created_at);
CREATE INDEX tasks_of_user ON tasks (organization_id, user_id, created_at);
CREATE TABLE api_keys (
    organization_id VARCHAR(100) NOT NULL,
    salt BLOB NOT NULL,
    tag SMALLINT NOT NULL,
    hash BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, salt)
);
CREATE INDEX api_keys_by_tag ON api_keys (tag);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO alembic_version VALUES ('0001');
INSERT INTO tasks (organization_id, id, agent_id, created_at, updated_at, finished_at, is_success, duration, reported_at)
VALUES ('org', '1', 'a', 1760000000000000, 1760000000000000, 1760000000000000, TRUE, 1.5, '{"duration":1760000000000000}');
INSERT INTO tasks (organization_id, id, agent_id, created_at, updated_at, finished_at, is_success, used_tools, llm_response, tokens, reported_at)
VALUES ('org', '2', 'a', 1760000000000001, 1760000000000001, 1760000000000001, TRUE, '["search"]', '{"model":"gpt-4o"}', '{"completion_tokens":0,"prompt_tokens":1000000,"cache_read_tokens":0,"cache_write_tokens":0}', '{}');
INSERT INTO tasks (organization_id, id, agent_id, created_at, updated_at, reported_at)
VALUES ('org', '3', 'b', 1770000000000000, 1770000000000000, '{}');
