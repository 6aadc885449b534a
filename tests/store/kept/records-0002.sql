BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE datasources (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	options JSON NOT NULL, 
	created_at VARCHAR NOT NULL, 
	deleted_at VARCHAR
);
INSERT INTO "datasources" VALUES(1,'trips','csv','{"path": "trips.csv", "keep_headers": false, "delimiter": null, "null_words": ["", "NULL", "null", "\\N"], "allow_rejects": false}','2026-11-24T10:08:01.190973+00:00',NULL);
CREATE TABLE pipelines (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	config_name VARCHAR NOT NULL, 
	config_text TEXT NOT NULL, 
	datasource_id INTEGER NOT NULL, 
	created_at VARCHAR NOT NULL, 
	UNIQUE (name), 
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
',1,'2026-11-24T10:08:05.529865+00:00');
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
',1,'2026-11-24T10:08:09.405618+00:00');
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
INSERT INTO "runs" VALUES(1,1,1,1,'Succeeded',1.0,0.0,0.0,'2026-11-24T10:08:14.372986+00:00','2026-11-24T10:08:32.055051+00:00',26182,NULL,'[{"name": "Split", "fingerprint": "80355befbf17fb897df0fcd5e37d686437ed4ad2f3b30e8621f9faabf73164db", "reused": false, "seconds": 1.3419256480000286, "saved_seconds": 0.0}, {"name": "Fit", "fingerprint": "d24a0f2978bb76cedc8bd8078f83c4a82d61f2c5b10e6c4750b34e0a6cb7d519", "reused": false, "seconds": 1.120572151000033, "saved_seconds": 0.0}, {"name": "Transform", "fingerprint": "64b4ef7849913824fe36b1df0ff7601fffc423edb183d556fdb2827000d36559", "reused": false, "seconds": 0.24313877700001285, "saved_seconds": 0.0}, {"name": "Train", "fingerprint": "905232a6b06be8b10d4cec33c45d4feb465c3b414d5b19bec853b2358f7ec1b5", "reused": false, "seconds": 14.35132901899999, "saved_seconds": 0.0}, {"name": "Evaluate", "fingerprint": "59c361eca67726c7b1e1de202346a95f0ec3b4d31f43d30705244fa0d949352c", "reused": false, "seconds": 0.49868656300009206, "saved_seconds": 0.0}]','elsewhere@12345678/4242/99','2026-11-24T10:08:29.907530+00:00',1,NULL,'{"memory_bytes": null, "threads": null, "max_parallel": null}','null',0.0,1.76224526290000085282e+01);
INSERT INTO "runs" VALUES(2,1,2,1,'Running',0.4,0.0,0.0,'2026-11-24T10:08:36.099449+00:00',NULL,999999999,NULL,'[{"name": "Split", "fingerprint": "80355befbf17fb897df0fcd5e37d686437ed4ad2f3b30e8621f9faabf73164db", "reused": true, "seconds": 0.0, "saved_seconds": 1.2929421369999545}, {"name": "Fit", "fingerprint": "d24a0f2978bb76cedc8bd8078f83c4a82d61f2c5b10e6c4750b34e0a6cb7d519", "reused": true, "seconds": 0.0, "saved_seconds": 1.1035111400000233}, {"name": "Transform", "fingerprint": "64b4ef7849913824fe36b1df0ff7601fffc423edb183d556fdb2827000d36559", "reused": true, "seconds": 0.0, "saved_seconds": 0.23622763800005941}, {"name": "Train", "fingerprint": "905232a6b06be8b10d4cec33c45d4feb465c3b414d5b19bec853b2358f7ec1b5", "reused": true, "seconds": 0.0, "saved_seconds": 14.280534009999997}, {"name": "Evaluate", "fingerprint": "59c361eca67726c7b1e1de202346a95f0ec3b4d31f43d30705244fa0d949352c", "reused": true, "seconds": 0.0, "saved_seconds": 0.4958165509999617}]','elsewhere@12345678/4242/99','2026-11-24T10:10:00+00:00',1,NULL,'{"memory_bytes": null, "threads": null, "max_parallel": null}','{"stage": "Train", "done": 7, "total": 20, "unit": "steps", "note": "loss 3", "rate": 5.0, "seconds_left": 3.0}',0.0,6.44776511000031860021e-01);
CREATE TABLE settings (
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('active_datasource',1);
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
INSERT INTO "snapshots" VALUES(1,1,1,'a359664b974fabc6cc9401f9626f41f603dbb3a12181890ad21f22aeb249347c',400,3,4812,0,'2026-11-24T10:08:01.203016+00:00');
CREATE UNIQUE INDEX datasource_name ON datasources (name) WHERE deleted_at IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('datasources',1);
INSERT INTO "sqlite_sequence" VALUES('snapshots',1);
INSERT INTO "sqlite_sequence" VALUES('pipelines',2);
INSERT INTO "sqlite_sequence" VALUES('runs',2);
COMMIT;
