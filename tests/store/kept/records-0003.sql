BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE "datasources" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	options JSON NOT NULL, 
	created_at VARCHAR NOT NULL, 
	deleted_at VARCHAR, 
	workspace_id INTEGER DEFAULT '1' NOT NULL, 
	CONSTRAINT datasources_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspaces (id)
);
INSERT INTO "datasources" VALUES(1,'trips','csv','{"path": "trips.csv", "allow_missing_columns": false, "encoding": null, "delimiter": null, "quote": null, "escape": null, "no_header": false, "header_row": null, "skip": 0, "comment": null, "decimal": null, "thousands": null, "date_format": null, "types": {}, "null_words": ["", "NULL", "null", "\\N"], "no_default_nulls": false, "any_line_ends": false, "allow_rejects": false}','2026-11-28T08:54:16.477105+00:00',NULL,1);
CREATE TABLE locks (
	name VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	token VARCHAR NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE "pipelines" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	config_name VARCHAR NOT NULL, 
	config_text TEXT NOT NULL, 
	datasource_id INTEGER NOT NULL, 
	created_at VARCHAR NOT NULL, 
	workspace_id INTEGER DEFAULT '1' NOT NULL, 
	CONSTRAINT pipelines_workspace_id_fkey FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT pipeline_name UNIQUE (workspace_id, name), 
	FOREIGN KEY(datasource_id) REFERENCES datasources (id)
);
INSERT INTO "pipelines" VALUES(1,'first','c.yaml','features:
  x: {}
  word: {}
labels:
  y: {loss: mse, metrics: [mae]}
split:
  categorize_by: word
  index_ratio: {train: 0.8, eval: 0.2}
trainer:
  type: regression
  layers: [{type: dense, units: 4}]
  train_batch_size: 32
  train_steps: 20
  save_checkpoints_steps: 10
evaluator:
  word: {}
',1,'2026-11-28T08:54:21.329134+00:00',1);
INSERT INTO "pipelines" VALUES(2,'second','l.yaml','features:
  x: {}
  word: {}
labels:
  y: {loss: mse, metrics: [mae]}
split:
  categorize_by: word
  index_ratio: {train: 0.8, eval: 0.2}
trainer:
  type: regression
  layers: [{type: dense, units: 4}]
  train_batch_size: 32
  train_steps: 4000000
  save_checkpoints_steps: 10
evaluator:
  word: {}
',1,'2026-11-28T08:54:27.269251+00:00',1);
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	pipeline_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	snapshot_id INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	completion_ratio FLOAT NOT NULL, 
	compute_cost FLOAT NOT NULL, 
	training_cost FLOAT NOT NULL, 
	started_at VARCHAR NOT NULL, 
	ended_at VARCHAR, 
	process_id INTEGER NOT NULL, 
	message TEXT, 
	stages JSON NOT NULL, process VARCHAR, heartbeat_at VARCHAR, attempt INTEGER DEFAULT '1' NOT NULL, cancelled_at VARCHAR, options JSON DEFAULT '{}' NOT NULL, progress JSON, saved_cost FLOAT DEFAULT '0' NOT NULL, seconds FLOAT, 
	UNIQUE (pipeline_id, number), 
	FOREIGN KEY(pipeline_id) REFERENCES pipelines (id), 
	FOREIGN KEY(snapshot_id) REFERENCES snapshots (id)
);
INSERT INTO "runs" VALUES(1,1,1,1,'Succeeded',1.0,0.0,0.0,'2026-11-28T08:54:32.576187+00:00','2026-11-28T08:54:57.556869+00:00',26947,NULL,'[{"name": "Split", "fingerprint": "7510426b0267c78dc669e523c446302c6e90b7239f94ec108d7dbcc78d811ab7", "reused": false, "seconds": 1.7547135259956121, "saved_seconds": 0.0, "load": {"cells": 1200}, "guessed_load": {"cells": 1200}, "cpu_seconds": 0.49702223, "peak_bytes": 229572608, "slowdown": 3.360496770883908, "num_bytes": 1003, "scanned_bytes": 11436, "limited_at": null}, {"name": "Fit", "fingerprint": "d984e43fde139d26dbb9fc64139a85afc5d806107290338074b5cb6a93bc4678", "reused": false, "seconds": 0.34745112000382505, "saved_seconds": 0.0, "load": {"cells": 1200}, "guessed_load": {"cells": 1200}, "cpu_seconds": 0.20019099800000006, "peak_bytes": 230637568, "slowdown": 1.854285624937801, "num_bytes": 416, "scanned_bytes": 12822, "limited_at": null}, {"name": "Transform", "fingerprint": "c046b42e6cf0071e9e620771bd8508b6d5f57ea281b0672b0431bf34553b386e", "reused": false, "seconds": 0.2106547790026525, "saved_seconds": 0.0, "load": {"cells": 1200}, "guessed_load": {"cells": 1200}, "cpu_seconds": 0.07147167000000021, "peak_bytes": 228478976, "slowdown": 3.008779428155414, "num_bytes": 2492, "scanned_bytes": 4274, "limited_at": null}, {"name": "Train", "fingerprint": "5e421baa7e40bd53ce10302069742a2a7cd219361bde70750e7a8e75996e7316", "reused": false, "seconds": 20.807262784997874, "saved_seconds": 0.0, "load": {"cells": 1200, "steps": 20, "drawn_cells": 1920, "products": 18560, "updates": 580, "weights": 29, "measured_rows": 800, "measured_products": 23200}, "guessed_load": {"cells": 1200, "steps": 20, "drawn_cells": 1920, "products": 62080, "updates": 43940, "weights": 2197, "measured_rows": 800, "measured_products": 77600}, "cpu_seconds": 6.713244437, "peak_bytes": 581066752, "slowdown": 4.012322160769718, "num_bytes": 38626, "scanned_bytes": 0, "limited_at": null}, {"name": "Evaluate", "fingerprint": "65cf4f91ac140cb4300b1f60d5ccdc1dc69b1c5879b825be8196ad827327afa9", "reused": false, "seconds": 1.4542917880025925, "saved_seconds": 0.0, "load": {"cells": 1200, "rows": 81, "sliced_rows": 162, "products": 2349}, "guessed_load": {"cells": 1200, "rows": 80, "sliced_rows": 160, "products": 7760}, "cpu_seconds": 0.4441534580000006, "peak_bytes": 560136192, "slowdown": 4.378546607195939, "num_bytes": 5088, "scanned_bytes": 3812, "limited_at": null}]','vm@3e1289a3-4026531836/26947/5245073','2026-11-28T08:54:52.727605+00:00',1,NULL,'{"memory_bytes": null, "threads": null, "max_parallel": null, "max_minutes": null, "max_cost": null, "max_scanned_bytes": null, "engine": {}}','null',0.0,2.49564345379985752515e+01);
INSERT INTO "runs" VALUES(2,1,2,1,'Running',0.4,0.0,0.0,'2026-11-28T08:55:05.636247+00:00',NULL,999999999,NULL,'[{"name": "Split", "fingerprint": "7510426b0267c78dc669e523c446302c6e90b7239f94ec108d7dbcc78d811ab7", "reused": true, "seconds": 0.0, "saved_seconds": 1.755399101995863, "load": {}, "guessed_load": {}, "cpu_seconds": null, "peak_bytes": null, "slowdown": null, "num_bytes": 1003, "scanned_bytes": 11436, "limited_at": null}, {"name": "Fit", "fingerprint": "d984e43fde139d26dbb9fc64139a85afc5d806107290338074b5cb6a93bc4678", "reused": true, "seconds": 0.0, "saved_seconds": 0.34765700600109994, "load": {}, "guessed_load": {}, "cpu_seconds": null, "peak_bytes": null, "slowdown": null, "num_bytes": 416, "scanned_bytes": 12822, "limited_at": null}, {"name": "Transform", "fingerprint": "c046b42e6cf0071e9e620771bd8508b6d5f57ea281b0672b0431bf34553b386e", "reused": true, "seconds": 0.0, "saved_seconds": 0.21086797900352394, "load": {}, "guessed_load": {}, "cpu_seconds": null, "peak_bytes": null, "slowdown": null, "num_bytes": 2492, "scanned_bytes": 4274, "limited_at": null}, {"name": "Train", "fingerprint": "5e421baa7e40bd53ce10302069742a2a7cd219361bde70750e7a8e75996e7316", "reused": true, "seconds": 0.0, "saved_seconds": 20.808562733000144, "load": {}, "guessed_load": {}, "cpu_seconds": null, "peak_bytes": null, "slowdown": null, "num_bytes": 38626, "scanned_bytes": 0, "limited_at": null}, {"name": "Evaluate", "fingerprint": "65cf4f91ac140cb4300b1f60d5ccdc1dc69b1c5879b825be8196ad827327afa9", "reused": true, "seconds": 0.0, "saved_seconds": 1.4555131289962446, "load": {}, "guessed_load": {}, "cpu_seconds": null, "peak_bytes": null, "slowdown": null, "num_bytes": 5088, "scanned_bytes": 3812, "limited_at": null}]',NULL,'2026-11-28T08:55:05.679473+00:00',1,NULL,'{"memory_bytes": null, "threads": 2, "max_parallel": null, "max_minutes": null, "max_cost": null, "max_scanned_bytes": null, "engine": {}}','null',0.0,NULL);
CREATE TABLE settings (
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('active_datasource/1',1);
CREATE TABLE snapshots (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	datasource_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	content VARCHAR NOT NULL, 
	num_rows BIGINT NOT NULL, 
	num_columns INTEGER NOT NULL, 
	num_bytes BIGINT NOT NULL, 
	num_rejected BIGINT NOT NULL, 
	created_at VARCHAR NOT NULL, 
	UNIQUE (datasource_id, number), 
	FOREIGN KEY(datasource_id) REFERENCES datasources (id)
);
INSERT INTO "snapshots" VALUES(1,1,1,'7a069c2504eb62add5a75cea01a80f0bc4d106c244071f0fe9db43f5a5d6ead0',400,3,4812,0,'2026-11-28T08:54:16.495458+00:00');
CREATE TABLE workspaces (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	UNIQUE (name)
);
INSERT INTO "workspaces" VALUES(1,'default','2026-11-28T08:54:14.577311+00:00');
CREATE UNIQUE INDEX datasource_name ON datasources (workspace_id, name) WHERE deleted_at IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('workspaces',1);
INSERT INTO "sqlite_sequence" VALUES('datasources',1);
INSERT INTO "sqlite_sequence" VALUES('pipelines',2);
INSERT INTO "sqlite_sequence" VALUES('snapshots',1);
INSERT INTO "sqlite_sequence" VALUES('runs',2);
COMMIT;
