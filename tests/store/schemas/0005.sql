BEGIN TRANSACTION;
CREATE TABLE banditroute_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT banditroute_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "banditroute_alembic_version" VALUES('0005');
CREATE TABLE banditroute_arm (
	router VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	active BOOLEAN NOT NULL, 
	input_usd_per_million_tokens DOUBLE, 
	output_usd_per_million_tokens DOUBLE, 
	CONSTRAINT pk_banditroute_arm PRIMARY KEY (router, name)
);
INSERT INTO "banditroute_arm" VALUES('r','a',1,NULL,NULL);
INSERT INTO "banditroute_arm" VALUES('r','b',1,NULL,NULL);
CREATE TABLE banditroute_decision (
	id VARCHAR(32) NOT NULL, 
	epoch_id INTEGER NOT NULL, 
	decided_at DOUBLE NOT NULL, 
	arm VARCHAR(255) NOT NULL, 
	propensity DOUBLE NOT NULL, 
	reason TEXT NOT NULL, 
	policy TEXT NOT NULL, 
	preference TEXT NOT NULL, 
	arms TEXT NOT NULL, 
	probabilities BLOB NOT NULL, 
	x BLOB, 
	session TEXT, 
	tags TEXT NOT NULL, 
	input_tokens BIGINT, 
	prompt TEXT, ordinal BIGINT DEFAULT '0' NOT NULL, reserved TEXT, 
	CONSTRAINT pk_banditroute_decision PRIMARY KEY (id), 
	CONSTRAINT fk_banditroute_decision_epoch_id FOREIGN KEY(epoch_id) REFERENCES banditroute_epoch (id)
);
INSERT INTO "banditroute_decision" VALUES('00000000000000000000000000000001',1,1700000001.0,'b',0.75,'policy','a test','{"quality": 1.0}','["b", "not b"]',X'000000000000E83F000000000000D03F',X'000000000000F03F000000000000F03F000000000000F03F','s','[]',NULL,'why?',0,NULL);
INSERT INTO "banditroute_decision" VALUES('00000000000000000000000000000002',1,1700000002.0,'a',0.75,'policy','a test','{"quality": 1.0}','["a", "not a"]',X'000000000000E83F000000000000D03F',X'00000000000000400000000000000040000000000000F03F','s','[]',NULL,NULL,1,NULL);
INSERT INTO "banditroute_decision" VALUES('00000000000000000000000000000003',1,1700000003.0,'b',0.75,'policy','a test','{"quality": 1.0}','["b", "not b"]',X'000000000000E83F000000000000D03F',X'00000000000008400000000000000840000000000000F03F','s','[]',NULL,NULL,2,'{"usd per hour": [0.25]}');
INSERT INTO "banditroute_decision" VALUES('00000000000000000000000000000004',2,1700000004.0,'a',0.75,'policy','a test','{"quality": 1.0}','["a", "not a"]',X'000000000000E83F000000000000D03F',X'00000000000010400000000000001040000000000000F03F','s','[]',NULL,NULL,0,NULL);
INSERT INTO "banditroute_decision" VALUES('00000000000000000000000000000005',2,1700000005.0,'b',0.75,'policy','a test','{"quality": 1.0}','["b", "not b"]',X'000000000000E83F000000000000D03F',X'00000000000014400000000000001440000000000000F03F','s','[]',NULL,NULL,1,NULL);
CREATE TABLE banditroute_epoch (
	id INTEGER NOT NULL, 
	router VARCHAR(255) NOT NULL, 
	features_version TEXT NOT NULL, 
	dimension INTEGER NOT NULL, 
	version BIGINT NOT NULL, heard BIGINT DEFAULT '0' NOT NULL, pruned BIGINT DEFAULT '0' NOT NULL, random_key VARCHAR(32), fold_settings TEXT, 
	CONSTRAINT pk_banditroute_epoch PRIMARY KEY (id), 
	CONSTRAINT uq_banditroute_epoch_router_features_version_dimension UNIQUE (router, features_version, dimension)
);
INSERT INTO "banditroute_epoch" VALUES(1,'r','1',3,1,2,0,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{}');
INSERT INTO "banditroute_epoch" VALUES(2,'r','2',3,1,1,0,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{}');
CREATE TABLE banditroute_feedback (
	id INTEGER NOT NULL, 
	decision_id VARCHAR(32) NOT NULL, 
	objective VARCHAR(255) NOT NULL, 
	value DOUBLE NOT NULL, 
	received_at DOUBLE NOT NULL, 
	epoch_id INTEGER NOT NULL, 
	folded_version BIGINT, source VARCHAR(255), 
	CONSTRAINT pk_banditroute_feedback PRIMARY KEY (id), 
	CONSTRAINT fk_banditroute_feedback_decision_id FOREIGN KEY(decision_id) REFERENCES banditroute_decision (id), 
	CONSTRAINT fk_banditroute_feedback_epoch_id FOREIGN KEY(epoch_id) REFERENCES banditroute_epoch (id), 
	CONSTRAINT uq_banditroute_feedback_decision_id_objective UNIQUE (decision_id, objective)
);
INSERT INTO "banditroute_feedback" VALUES(1,'00000000000000000000000000000001','quality',1.0,1700000002.0,1,1,NULL);
INSERT INTO "banditroute_feedback" VALUES(2,'00000000000000000000000000000002','quality',1.0,1700000003.0,1,1,NULL);
INSERT INTO "banditroute_feedback" VALUES(3,'00000000000000000000000000000004','quality',1.0,1700000005.0,2,1,NULL);
INSERT INTO "banditroute_feedback" VALUES(4,'00000000000000000000000000000001','cost_usd',2.0,1700000002.0,1,NULL,NULL);
CREATE TABLE banditroute_last_group (
	writer VARCHAR(32) NOT NULL, 
	number BIGINT NOT NULL, 
	written_at DOUBLE NOT NULL, 
	CONSTRAINT pk_banditroute_last_group PRIMARY KEY (writer)
);
CREATE TABLE banditroute_orphan (
	decision_id VARCHAR(32) NOT NULL, 
	objective VARCHAR(255) NOT NULL, 
	value DOUBLE NOT NULL, 
	received_at DOUBLE NOT NULL, 
	source VARCHAR(255), 
	kept_at DOUBLE NOT NULL, 
	CONSTRAINT pk_banditroute_orphan PRIMARY KEY (decision_id, objective)
);
CREATE TABLE banditroute_snapshot (
	epoch_id INTEGER NOT NULL, 
	version BIGINT NOT NULL, 
	arm VARCHAR(255) NOT NULL, 
	blob BLOB NOT NULL, 
	crc32 BIGINT NOT NULL, 
	taken_at DOUBLE NOT NULL, 
	CONSTRAINT pk_banditroute_snapshot PRIMARY KEY (epoch_id, version, arm), 
	CONSTRAINT fk_banditroute_snapshot_epoch_id FOREIGN KEY(epoch_id) REFERENCES banditroute_epoch (id)
);
CREATE TABLE banditroute_state (
	router VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	blob BLOB NOT NULL, 
	crc32 BIGINT NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	CONSTRAINT pk_banditroute_state PRIMARY KEY (router, name)
);
CREATE TABLE banditroute_statistics (
	epoch_id INTEGER NOT NULL, 
	arm VARCHAR(255) NOT NULL, 
	version BIGINT NOT NULL, 
	blob BLOB NOT NULL, 
	crc32 BIGINT NOT NULL, 
	CONSTRAINT pk_banditroute_statistics PRIMARY KEY (epoch_id, arm), 
	CONSTRAINT fk_banditroute_statistics_epoch_id FOREIGN KEY(epoch_id) REFERENCES banditroute_epoch (id)
);
INSERT INTO "banditroute_statistics" VALUES(1,'b',1,X'7B227175616C697479223A205B312C20312C20312C20315D7D',2832802496);
INSERT INTO "banditroute_statistics" VALUES(1,'a',1,X'7B227175616C697479223A205B312C20322C20322C20315D7D',398486699);
INSERT INTO "banditroute_statistics" VALUES(2,'a',1,X'7B227175616C697479223A205B312C20342C20342C20315D7D',2994992700);
CREATE TABLE banditroute_tally (
	router VARCHAR(255) NOT NULL, 
	budget VARCHAR(300) NOT NULL, 
	period BIGINT NOT NULL, 
	requests BIGINT NOT NULL, 
	spent DOUBLE NOT NULL, 
	balance DOUBLE NOT NULL, 
	CONSTRAINT pk_banditroute_tally PRIMARY KEY (router, budget, period)
);
INSERT INTO "banditroute_tally" VALUES('r','usd per hour',472222,3,0.75,0.0);
CREATE INDEX ix_banditroute_feedback_pending ON banditroute_feedback (epoch_id, id) WHERE folded_version IS NULL;
CREATE INDEX ix_banditroute_decision_epoch_id_id ON banditroute_decision (epoch_id, id);
CREATE INDEX ix_banditroute_decision_session ON banditroute_decision (epoch_id, session, id) WHERE session IS NOT NULL;
COMMIT;
