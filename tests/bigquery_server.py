"""A BigQuery on loopback for the official client: REST here, the Storage Read API in `bigquery_storage`, SQL by DuckDB.

It keeps versions of tables, counts the bytes that go over the wire and the bytes that queries read, and can be told to fail.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import socket
import threading
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
from bigquery_sql import Refused, parameters_of
from bigquery_storage import Storage
from bigquery_tables import LEAST_BILLED_BYTES, Tables, Version

HTTP_STATUS = {"notFound": 404, "accessDenied": 403, "quotaExceeded": 403, "rateLimitExceeded": 403, "authError": 401,
               "backendError": 503, "invalidQuery": 400, "invalid": 400, "duplicate": 409}  # fmt: skip
EPOCH = datetime.datetime(1970, 1, 1)


@dataclass
class Fault:
    """What a call answers instead of what it should; a stream is cut after so many messages."""

    reason: str
    message: str
    times: int
    after_messages: int = 0


class Faults:
    """Faults by the name of the call (`tables.get`, `jobs.insert`, `getQueryResults`, `ReadRows`, ...)."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()

    def add(self, call: str, reason: str, message: str = "", *, times: int = 1, after_messages: int = 0) -> None:
        self._waiting.setdefault(call, []).append(Fault(reason, message or reason, times, after_messages))

    def take(self, call: str) -> Fault | None:
        with self._lock:
            for fault in self._waiting.get(call, []):
                if fault.times:
                    fault.times -= 1
                    return fault
        return None


class Wire:
    """Bytes sent, by what they are: `arrow` batches, `rest` bodies."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, what: str, num_bytes: int) -> None:
        with self._lock:
            self.sent[what] += num_bytes

    @property
    def total(self) -> int:
        return sum(self.sent.values())


@dataclass
class Job:
    """A query that was asked for."""

    name: str
    project: str
    text: str
    dry_run: bool
    num_bytes: int = 0
    destination: tuple[str, str, str] | None = None
    error: Refused | None = None
    location: str = "US"
    finished: threading.Event = field(default_factory=threading.Event)


class BigQueryServer:
    """The server. `put` makes tables, `faults`, `wire`, `jobs` and `statements` are for tests to look at."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.faults = Faults()
        self.wire = Wire()
        self.jobs: dict[str, Job] = {}
        self.statements: list[str] = []  # the kind of every statement that was run
        self.calls: Counter[str] = Counter()
        self.broken: list[Exception] = []  # what this server could not do
        self.token: str | None = None  # when set, what `Authorization` must bear
        self.before_query: Callable[[int], None] | None = None
        self.storage = Storage(self.tables, self.wire, self.faults)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Of REST."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def storage_endpoint(self) -> str:
        """Of gRPC."""
        return f"127.0.0.1:{self.storage.port}"

    @property
    def queries(self) -> list[Job]:
        """The queries that were really run."""
        return [job for job in self.jobs.values() if not job.dry_run and job.error is None]

    @property
    def scanned_bytes(self) -> int:
        """Of all queries that were really run."""
        return sum(job.num_bytes for job in self.queries)

    def put(
        self, name: str, rows: pa.Table, *, types: dict[str, str] | None = None, since: float | None = None
    ) -> Version:
        """A table `project.dataset.table`, or a new version of it."""
        project, dataset, table = name.split(".")
        return self.tables.put((project, dataset, table), rows, types, since).versions[-1]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.storage.close()
        self.tables.connection.close()

    def __enter__(self) -> BigQueryServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Jobs

    def insert_job(self, project: str, body: dict[str, Any]) -> Job:
        configuration = body["configuration"]
        query = configuration["query"]
        name = body.get("jobReference", {}).get("jobId") or uuid.uuid4().hex
        job = Job(name, project, query["query"], bool(configuration.get("dryRun")))
        if query.get("useLegacySql", True):
            raise Refused("invalid", "legacy SQL is not known here")
        if name in self.jobs:
            raise Refused("duplicate", f"Already Exists: Job {project}:US.{name}")
        if not job.dry_run and self.before_query is not None:
            self.before_query(len(self.queries))
        parameters = parameters_of(query.get("queryParameters", []))
        translated, job.num_bytes = self.tables.plan(job.text, project, parameters)
        if job.dry_run:
            self.jobs[name] = job
            job.finished.set()
            return job
        self.jobs[name] = job
        self.statements.append(translated.statement)
        limit = int(query.get("maximumBytesBilled") or 0)
        billed = max(job.num_bytes, LEAST_BILLED_BYTES)
        if limit and billed > limit:
            message = f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required."
            job.error = Refused("bytesBilledLimitExceeded", message)
            job.finished.set()
            return job
        threading.Thread(target=self._run, args=(job, translated), daemon=True).start()
        return job

    def _run(self, job: Job, translated: Any) -> None:
        try:
            fault = self.faults.take("query")
            if fault:
                raise Refused(fault.reason, fault.message)
            if translated.statement == "SELECT":
                job.destination = self.tables.keep_result(job.project, self.tables.run(translated))
        except Refused as error:
            job.error = error
        except Exception as error:
            job.error = Refused("internalError", repr(error))
        finally:
            job.finished.set()

    def job_json(self, job: Job) -> dict[str, Any]:
        done = job.finished.is_set()
        status: dict[str, Any] = {"state": "DONE" if done else "RUNNING"}
        if job.error is not None:
            status["errorResult"] = {"reason": job.error.reason, "message": str(job.error)}
            status["errors"] = [status["errorResult"]]
        query: dict[str, Any] = {"query": job.text, "useLegacySql": False}
        if job.destination:
            query["destinationTable"] = dict(zip(("projectId", "datasetId", "tableId"), job.destination, strict=True))
        statistics = {
            "creationTime": "1",
            "totalBytesProcessed": str(job.num_bytes),
            "query": {
                "totalBytesProcessed": str(job.num_bytes),
                "statementType": "SELECT",
                "cacheHit": False,
                "totalBytesBilled": str(max(job.num_bytes, LEAST_BILLED_BYTES) if done and not job.dry_run else 0),
            },
        }
        return {
            "kind": "bigquery#job",
            "id": f"{job.project}:US.{job.name}",
            "status": status,
            "statistics": statistics,
            "jobReference": {"projectId": job.project, "jobId": job.name, "location": job.location},
            "configuration": {"jobType": "QUERY", "dryRun": job.dry_run, "query": query},
        }


class _Handler(BaseHTTPRequestHandler):
    """One call of REST."""

    owner: BigQueryServer
    protocol_version = "HTTP/1.1"

    ROUTES = (
        ("GET", r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)/data", "tabledata.list"),
        ("GET", r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)", "tables.get"),
        ("GET", r"projects/([^/]+)/datasets/([^/]+)/tables", "tables.list"),
        ("GET", r"projects/([^/]+)/datasets/([^/]+)", "datasets.get"),
        ("GET", r"projects/([^/]+)/datasets", "datasets.list"),
        ("POST", r"projects/([^/]+)/jobs", "jobs.insert"),
        ("POST", r"projects/([^/]+)/jobs/([^/]+)/cancel", "jobs.cancel"),
        ("GET", r"projects/([^/]+)/jobs/([^/]+)", "jobs.get"),
        ("GET", r"projects/([^/]+)/queries/([^/]+)", "getQueryResults"),
    )

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/token":
            self._send(200, {"access_token": self.owner.token or "token", "expires_in": 3600, "token_type": "Bearer"})
            return
        path = url.path.removeprefix("/bigquery/v2/")
        for verb, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, urllib.parse.unquote(path))
            if verb == method and match:
                self._call(
                    name, match.groups(), dict(urllib.parse.parse_qsl(url.query)), json.loads(body) if body else {}
                )
                return
        self._send(
            404,
            {"error": {"code": 404, "message": f"no such call: {method} {path}", "errors": [{"reason": "notFound"}]}},
        )

    def _call(self, name: str, parts: tuple[str, ...], options: dict[str, str], body: dict[str, Any]) -> None:
        owner = self.owner
        owner.calls[name] += 1
        try:
            if owner.token is not None and self.headers.get("Authorization") != f"Bearer {owner.token}":
                raise Refused("authError", "Request had invalid authentication credentials.")
            fault = owner.faults.take(name)
            if fault and fault.reason == "cut":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault:
                raise Refused(fault.reason, fault.message)
            self._send(200, getattr(self, "call_" + name.replace(".", "_"))(parts, options, body))
        except Refused as error:
            code = HTTP_STATUS.get(error.reason, 400)
            detail = {"reason": error.reason, "message": str(error), "domain": "global"}
            self._send(code, {"error": {"code": code, "message": str(error), "errors": [detail]}})
        except Exception as error:  # a fault of this server
            owner.broken.append(error)
            self._send(501, {"error": {"code": 501, "message": repr(error), "errors": [{"reason": "notImplemented"}]}})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.owner.wire.count("rest", len(data))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    # The calls

    def call_tables_get(self, parts: tuple[str, ...], options: Any, body: Any) -> dict[str, Any]:
        version = self.owner.tables.locate(parts)
        table = self.owner.tables.found[parts]
        return {
            "kind": "bigquery#table",
            "id": "{}:{}.{}".format(*parts),
            "type": table.kind,
            "location": "US",
            "etag": version.table,
            "tableReference": dict(zip(("projectId", "datasetId", "tableId"), parts, strict=True)),
            "schema": {"fields": version.schema},
            "numRows": str(version.num_rows),
            "numBytes": str(version.num_bytes),
            "creationTime": str(int(table.created * 1000)),
            "lastModifiedTime": str(int(version.since * 1000)),
        }

    def call_tables_list(self, parts: tuple[str, ...], options: Any, body: Any) -> dict[str, Any]:
        self._dataset(parts)
        names = sorted(key[2] for key in self.owner.tables.found if key[:2] == parts)
        tables = [
            {
                "kind": "bigquery#table",
                "id": f"{parts[0]}:{parts[1]}.{name}",
                "type": "TABLE",
                "tableReference": {"projectId": parts[0], "datasetId": parts[1], "tableId": name},
            }
            for name in names
        ]
        return {"kind": "bigquery#tableList", "tables": tables, "totalItems": len(tables)}

    def call_datasets_get(self, parts: tuple[str, ...], options: Any, body: Any) -> dict[str, Any]:
        self._dataset(parts)
        return {
            "kind": "bigquery#dataset",
            "id": ":".join(parts),
            "location": "US",
            "datasetReference": {"projectId": parts[0], "datasetId": parts[1]},
        }

    def call_datasets_list(self, parts: tuple[str, ...], options: Any, body: Any) -> dict[str, Any]:
        names = sorted({key[1] for key in self.owner.tables.found if key[0] == parts[0] and not key[1].startswith("_")})
        if not names:
            raise Refused("notFound", f"Not found: Project {parts[0]}")
        references = [{"projectId": parts[0], "datasetId": name} for name in names]
        datasets = [
            {"kind": "bigquery#dataset", "id": f"{parts[0]}:{r['datasetId']}", "datasetReference": r}
            for r in references
        ]
        return {"kind": "bigquery#datasetList", "datasets": datasets}

    def _dataset(self, parts: tuple[str, ...]) -> None:
        if parts not in {key[:2] for key in self.owner.tables.found}:
            raise Refused("notFound", f"Not found: Dataset {parts[0]}:{parts[1]}")

    def call_jobs_insert(self, parts: tuple[str, ...], options: Any, body: dict[str, Any]) -> dict[str, Any]:
        return self.owner.job_json(self.owner.insert_job(parts[0], body))

    def call_jobs_get(self, parts: tuple[str, ...], options: Any, body: Any) -> dict[str, Any]:
        return self.owner.job_json(self._job(parts[1]))

    def call_jobs_cancel(self, parts: tuple[str, ...], options: Any, body: Any) -> dict[str, Any]:
        self.owner.statements.append("CANCEL")
        return {"kind": "bigquery#jobCancelResponse", "job": self.owner.job_json(self._job(parts[1]))}

    def _job(self, name: str) -> Job:
        if name not in self.owner.jobs:
            raise Refused("notFound", f"Not found: Job {name}")
        return self.owner.jobs[name]

    def call_getQueryResults(self, parts: tuple[str, ...], options: dict[str, str], body: Any) -> dict[str, Any]:
        job = self._job(parts[1])
        answer: dict[str, Any] = {
            "kind": "bigquery#getQueryResultsResponse",
            "totalBytesProcessed": str(job.num_bytes),
            "jobReference": {"projectId": job.project, "jobId": job.name, "location": job.location},
        }
        if not job.finished.wait(min(float(options.get("timeoutMs", 10_000)), 10_000) / 1000):
            return {**answer, "jobComplete": False}
        if job.error is not None:
            raise job.error
        version = self.owner.tables.locate(job.destination or ("", "", ""))
        answer |= {"jobComplete": True, "schema": {"fields": version.schema}, "totalRows": str(version.num_rows)}
        most = int(options.get("maxResults", 10_000))
        return answer | self._page(version, int(options.get("pageToken") or options.get("startIndex") or 0), most)

    def call_tabledata_list(self, parts: tuple[str, ...], options: dict[str, str], body: Any) -> dict[str, Any]:
        version = self.owner.tables.locate(parts)
        first, most = (
            int(options.get("pageToken") or options.get("startIndex") or 0),
            int(options.get("maxResults", 10_000)),
        )
        return {
            "kind": "bigquery#tableDataList",
            "totalRows": str(version.num_rows),
            **self._page(version, first, most),
        }

    def _page(self, version: Version, first: int, most: int) -> dict[str, Any]:
        if most == 0:
            return {}
        with self.owner.tables.lock:
            rows = (
                self.owner.tables.connection.cursor()
                .sql(f"SELECT * FROM {version.table} LIMIT {most} OFFSET {first}")
                .to_arrow_table()
            )
        cells = [[{"v": _cell(v)} for v in column.to_pylist()] for column in rows.columns]
        page: dict[str, Any] = {"rows": [{"f": list(row)} for row in zip(*cells, strict=True)]}
        if first + rows.num_rows < version.num_rows:
            page["pageToken"] = str(first + rows.num_rows)
        return page


def _cell(value: Any) -> Any:
    """A value as REST writes it: all of them texts, times in microseconds."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime.datetime() if value.tzinfo is not None:
            return str(
                (value.astimezone(datetime.UTC).replace(tzinfo=None) - EPOCH) // datetime.timedelta(microseconds=1)
            )
        case datetime.datetime():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [{"v": _cell(v)} for v in value]
        case dict():
            return {"f": [{"v": _cell(v)} for v in value.values()]}
        case float():
            return (
                repr(value)
                if value == value and abs(value) != float("inf")
                else str(value).replace("inf", "Infinity").replace("nan", "NaN")
            )
    return str(value)


__all__ = ["BigQueryServer", "time"]
