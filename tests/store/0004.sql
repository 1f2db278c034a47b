CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE api_keys (
    organization_id VARCHAR(100) NOT NULL,
    salt BLOB NOT NULL,
    tag SMALLINT NOT NULL,
    hash BLOB NOT NULL,
    created_at BIGINT NOT NULL, name VARCHAR(100) DEFAULT 'key' NOT NULL, scopes TEXT DEFAULT '["report","read","admin"]' NOT NULL, expires_at BIGINT, revoked_at BIGINT, last_used_at BIGINT,
    PRIMARY KEY (organization_id, salt)
);
INSERT INTO "api_keys" VALUES('org',X'59590997EE64E617152C0E736BF75E86',26221,X'9F968E0ACA0D9AA5CFCFCD02A14ED7A9F21A361D342CD5FB9B23EADAA2ADDC4C',1760000000000000,'serve-666d','["report","read","admin"]',NULL,NULL,NULL);
CREATE TABLE metric_movements (
    organization_id VARCHAR(100) NOT NULL,
    id BIGINT NOT NULL,
    amounts TEXT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO "metric_movements" VALUES('org',3160361946005611036,'{"search agent":{"1760004000000000":{"completed runs":1,"completed duration":3000000,"completed bucket 754":1,"completed unpriced":1}},"support":{"1759996800000000":{}}}');
CREATE TABLE metric_rollups (
    organization_id VARCHAR(100) NOT NULL,
    agent_id VARCHAR(255) NOT NULL,
    hours SMALLINT NOT NULL,
    start BIGINT NOT NULL,
    amounts TEXT NOT NULL,
    PRIMARY KEY (organization_id, agent_id, hours, start)
);
INSERT INTO "metric_rollups" VALUES('org','',1,1754812800000000,'{"completed runs":1,"completed duration":2000000,"completed bucket 734":1,"completed tool_calls search":1,"completed tool_runs search":1,"completed unpriced":1,"completed agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',1,1756540800000000,'{"failed runs":1,"failed duration":500000,"failed bucket 664":1,"failed unpriced":1,"failed agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',1,1759996800000000,'{"executing runs":1,"executing unpriced":1,"completed runs":1,"completed duration":1500000,"completed bucket 719":1,"completed prompt_tokens":1000000,"completed tool_calls search":2,"completed tool_runs search":1,"completed cost":2500000000,"completed model_runs gpt-4o":1,"completed model_tokens gpt-4o":1000000,"completed model_cost gpt-4o":2500000000,"completed agent_runs support":1,"executing agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',24,1754784000000000,'{"completed runs":1,"completed duration":2000000,"completed bucket 734":1,"completed tool_calls search":1,"completed tool_runs search":1,"completed unpriced":1,"completed agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',24,1756512000000000,'{"failed runs":1,"failed duration":500000,"failed bucket 664":1,"failed unpriced":1,"failed agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',24,1759968000000000,'{"executing runs":1,"executing unpriced":1,"completed runs":1,"completed duration":1500000,"completed bucket 719":1,"completed prompt_tokens":1000000,"completed tool_calls search":2,"completed tool_runs search":1,"completed cost":2500000000,"completed model_runs gpt-4o":1,"completed model_tokens gpt-4o":1000000,"completed model_cost gpt-4o":2500000000,"completed agent_runs support":1,"executing agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',768,1752883200000000,'{"completed runs":1,"completed duration":2000000,"completed bucket 734":1,"completed tool_calls search":1,"completed tool_runs search":1,"completed unpriced":1,"completed agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',768,1755648000000000,'{"failed runs":1,"failed duration":500000,"failed bucket 664":1,"failed unpriced":1,"failed agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','',768,1758412800000000,'{"executing runs":1,"executing unpriced":1,"completed runs":1,"completed duration":1500000,"completed bucket 719":1,"completed prompt_tokens":1000000,"completed tool_calls search":2,"completed tool_runs search":1,"completed cost":2500000000,"completed model_runs gpt-4o":1,"completed model_tokens gpt-4o":1000000,"completed model_cost gpt-4o":2500000000,"completed agent_runs support":1,"executing agent_runs support":1}');
INSERT INTO "metric_rollups" VALUES('org','support',1,1754812800000000,'{"completed runs":1,"completed duration":2000000,"completed bucket 734":1,"completed tool_calls search":1,"completed tool_runs search":1,"completed unpriced":1}');
INSERT INTO "metric_rollups" VALUES('org','support',1,1756540800000000,'{"failed runs":1,"failed duration":500000,"failed bucket 664":1,"failed unpriced":1}');
INSERT INTO "metric_rollups" VALUES('org','support',1,1759996800000000,'{"executing runs":1,"executing unpriced":1,"completed runs":1,"completed duration":1500000,"completed bucket 719":1,"completed prompt_tokens":1000000,"completed tool_calls search":2,"completed tool_runs search":1,"completed cost":2500000000,"completed model_runs gpt-4o":1,"completed model_tokens gpt-4o":1000000,"completed model_cost gpt-4o":2500000000}');
INSERT INTO "metric_rollups" VALUES('org','support',24,1754784000000000,'{"completed runs":1,"completed duration":2000000,"completed bucket 734":1,"completed tool_calls search":1,"completed tool_runs search":1,"completed unpriced":1}');
INSERT INTO "metric_rollups" VALUES('org','support',24,1756512000000000,'{"failed runs":1,"failed duration":500000,"failed bucket 664":1,"failed unpriced":1}');
INSERT INTO "metric_rollups" VALUES('org','support',24,1759968000000000,'{"executing runs":1,"executing unpriced":1,"completed runs":1,"completed duration":1500000,"completed bucket 719":1,"completed prompt_tokens":1000000,"completed tool_calls search":2,"completed tool_runs search":1,"completed cost":2500000000,"completed model_runs gpt-4o":1,"completed model_tokens gpt-4o":1000000,"completed model_cost gpt-4o":2500000000}');
INSERT INTO "metric_rollups" VALUES('org','support',768,1752883200000000,'{"completed runs":1,"completed duration":2000000,"completed bucket 734":1,"completed tool_calls search":1,"completed tool_runs search":1,"completed unpriced":1}');
INSERT INTO "metric_rollups" VALUES('org','support',768,1755648000000000,'{"failed runs":1,"failed duration":500000,"failed bucket 664":1,"failed unpriced":1}');
INSERT INTO "metric_rollups" VALUES('org','support',768,1758412800000000,'{"executing runs":1,"executing unpriced":1,"completed runs":1,"completed duration":1500000,"completed bucket 719":1,"completed prompt_tokens":1000000,"completed tool_calls search":2,"completed tool_runs search":1,"completed cost":2500000000,"completed model_runs gpt-4o":1,"completed model_tokens gpt-4o":1000000,"completed model_cost gpt-4o":2500000000}');
CREATE TABLE retention (
    organization_id VARCHAR(100) NOT NULL,
    forgotten_before BIGINT NOT NULL,
    PRIMARY KEY (organization_id)
);
INSERT INTO "retention" VALUES('org',1755676800000000);
CREATE TABLE sessions (
    organization_id VARCHAR(100) NOT NULL,
    digest BLOB NOT NULL,
    key_salt BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, digest)
);
INSERT INTO "sessions" VALUES('org',X'D7E83E28A04B537E64424546B14CAF9B67BAD2F28DABCE68116E0D372319FA00',X'59590997EE64E617152C0E736BF75E86',1760000000000000,4000000000000000);
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
    reported_at TEXT NOT NULL, model VARCHAR(255), cost BIGINT, changes TEXT,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO "tasks" VALUES('org','old','support',1756544000000005,1756544000000005,1756544000000005,NULL,NULL,NULL,0,'"no answer"',0.5,NULL,NULL,NULL,NULL,'{"is_success":1756544000000005,"result":1756544000000005,"duration":1756544000000005}',NULL,NULL,NULL);
INSERT INTO "tasks" VALUES('org','executing','support',1760000000000000,1760000000000000,NULL,'"Summarize"',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"input":1760000000000000}',NULL,NULL,NULL);
INSERT INTO "tasks" VALUES('org','priced','support',1760000000000001,1760007200000000,1760000000000001,NULL,'{"model":"gpt-4o"}','{"completion_tokens":0,"prompt_tokens":1000000,"cache_read_tokens":0,"cache_write_tokens":0}',1,'"changed later"',1.5,'["search","search"]','user-1',NULL,NULL,'{"is_success":1760000000000001,"llm_response":1760000000000001,"tokens":1760000000000001,"used_tools":1760000000000001,"duration":1760000000000001,"user_id":1760000000000001,"result":1760007200000000}','gpt-4o',2500000000,'[{"reported_at":1760007200000000,"at":1760007200000000,"before":{"result":null},"lengths":{}}]');
INSERT INTO "tasks" VALUES('org','new','search agent',1760007200000007,1760007200000007,1760007200000007,NULL,NULL,NULL,1,NULL,3.0,NULL,NULL,NULL,NULL,'{"is_success":1760007200000007,"duration":1760007200000007}',NULL,NULL,NULL);
CREATE INDEX tasks_of_agent ON tasks (organization_id, agent_id, created_at);
CREATE INDEX tasks_of_user ON tasks (organization_id, user_id, created_at);
CREATE INDEX api_keys_by_tag ON api_keys (tag);
CREATE INDEX tasks_of_organization ON tasks (organization_id, created_at);
