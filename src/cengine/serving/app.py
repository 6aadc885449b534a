"""The server as an ASGI application: which address is answered by what, who may ask, and how large a request may be."""

from __future__ import annotations

import asyncio
import hmac
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cengine.errors import CengineError
from cengine.extras import DISTRIBUTION
from cengine.serving import answers, media_types, page, protocol
from cengine.serving.batching import Batcher, Line
from cengine.serving.bodies import Bodies, Gone, Receive
from cengine.serving.catalogue import Catalogue, Served, Source
from cengine.serving.journal import Journal
from cengine.serving.metrics import CONTENT_TYPE, Metrics
from cengine.serving.openapi import document
from cengine.serving.protocol import TensorReader
from cengine.serving.refusals import Refused
from cengine.serving.rows import Given, RowReader, decoded
from cengine.serving.session import Outputs, Session
from cengine.serving.settings import Settings
from cengine.terminal import say

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

# A larger body is read, and a larger answer written, in the thread beside.
LARGE_BYTES = 2**17
JSON_TYPE = (b"content-type", b"application/json")
READERS: dict[str, Callable[[RowReader, bytes], Given]] = {
    media_types.JSON: RowReader.json,
    media_types.LINES: RowReader.lines,
    "application/jsonl": RowReader.lines,
    media_types.CSV: RowReader.csv,
    media_types.ARROW: RowReader.arrow,
    "application/vnd.apache.arrow.file": RowReader.arrow,
}
_SAME_FORMAT = {"application/jsonl": media_types.LINES, "application/vnd.apache.arrow.file": media_types.ARROW}


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON_TYPE,)


class Call:
    """A request that is answered."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        # The model and the name of the path by which an answer is counted.
        self.model, self.kind = "", "other"
        self.began = time.perf_counter()


class App:
    """Answers requests for the models of `sources`. Raises CengineError where one of them cannot be served."""

    def __init__(self, sources: list[Source], settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.is_draining = False
        self._line = Line(settings.queue)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._bodies = Bodies(settings.max_bytes)
        self.journal: Journal | None = None
        self.catalogue = Catalogue(sources, self.metrics, self._serve)
        if settings.log_requests is not None:
            several = len(self.catalogue.names) > 1
            self.journal = Journal(settings.log_requests, by_model=several, failed=self._not_logged)

    def _serve(self, session: Session) -> Served:
        bundle = session.bundle
        reader = RowReader(bundle.fields, self.settings.max_rows)
        meter = self.metrics.meter(bundle)

        def ran(given: Given, outputs: Outputs) -> None:
            meter.ran(given, outputs)
            if self.journal is not None:
                self.journal.ran(bundle, given, outputs)

        batcher = Batcher(session, self._line, self._beside, ran)
        return Served(bundle, reader, TensorReader(bundle.fields, reader), batcher)

    def _not_logged(self, why: str, num_rows: int) -> None:
        self.metrics.errors["not_logged"] += num_rows
        say(f"cengine: {num_rows:,} rows could not be logged: {why!r}", err=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        call = Call(scope, receive)
        try:
            answer = await self._answer(call)
        except Refused as error:
            self.metrics.errors[error.kind] += 1
            answer = Answer(error.status, answers.encode(error.body()), (JSON_TYPE, *error.headers))
        except CengineError as error:
            self.metrics.errors["not_loaded"] += 1
            answer = Answer(500, answers.encode({"error": error.render().removeprefix("error: ")}))
        except Gone:
            return
        except Exception as error:  # a bug: the client gets an answer all the same, the log the traceback
            self.metrics.errors["internal"] += 1
            traceback.print_exception(error)
            answer = Answer(500, answers.encode({"error": "this is a bug in cengine; the server's log has it in full"}))
        self.metrics.answered(call.model, call.kind, answer.status, time.perf_counter() - call.began)
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        if self.is_draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, call: Call) -> Answer:
        path = call.path
        if self.settings.token is not None and path not in OPEN_PATHS:
            self._check_token(call)
        if path == "/predict" or path.startswith("/predict/"):
            return await self._predict(call)
        if path.startswith("/v2/models/"):
            return await self._of_model(call)
        if path.startswith("/v2/repository/"):
            return await self._of_repository(call)
        if path in page.FILES:
            _only(call, "GET", "HEAD")
            return Answer(200, *page.FILES[path])
        if (found := _PLAIN.get(path)) is not None:
            _only(call, "GET", "HEAD")
            return found(self)
        raise Refused(404, "unknown_path", f"there is nothing at {path[:80]}; see /docs")

    def _check_token(self, call: Call) -> None:
        token = self.settings.token
        assert token is not None
        given = call.headers.get(b"authorization", b"")
        # Compared in a time that does not tell how much of it was right.
        if not hmac.compare_digest(given, b"Bearer " + token.encode()):
            told = "the token is wrong" if given else "a token is needed"
            raise Refused(
                401,
                "unauthorized",
                f"{told}: send the header Authorization: Bearer TOKEN",
                headers=[(b"www-authenticate", b"Bearer")],
            )

    # Predictions

    async def _predict(self, call: Call) -> Answer:
        """`POST /predict`, `/predict/NAME`, `/predict/NAME/VERSION`."""
        _only(call, "POST")
        _, _, *named = call.path.split("/")
        if len(named) > 2:
            raise Refused(404, "unknown_path", "a path is /predict/NAME/VERSION at most")
        served = self.catalogue.find(*named) if named else self.catalogue.find()
        call.model, call.kind = served.bundle.name, "predict"
        read, written = _formats(call)
        body = await self._body(call)
        try:
            given = await self._beside_if(len(body), read, served.rows, body)
            outputs = await served.batcher.predict(given)
            columns = answers.columns_of(served.bundle, outputs)
            size = 32 * given.num_rows * len(columns)
            text = await self._beside_if(size, answers.WRITERS[written], served.bundle, columns)
        finally:
            self._bodies.let_go(body)
        return Answer(200, text, ((b"content-type", written.encode()),))

    async def _of_model(self, call: Call) -> Answer:
        """`/v2/models/NAME[/versions/VERSION][/ready|/infer]`."""
        name, *rest = call.path.removeprefix("/v2/models/").split("/")
        version = None
        if rest[:1] == ["versions"] and len(rest) > 1:
            version, rest = rest[1], rest[2:]
        served = self.catalogue.find(name, version)
        match rest:
            case ["infer"]:
                _only(call, "POST")
                return await self._infer(call, served)
            case ["ready"]:
                _only(call, "GET", "HEAD")
                return self.ready()
            case []:
                _only(call, "GET", "HEAD")
                return Answer(200, answers.encode(protocol.metadata(served.bundle, self.catalogue.versions(name))))
        raise Refused(404, "unknown_path", f"there is nothing at {call.path[:80]}; see /docs")

    async def _infer(self, call: Call, served: Served) -> Answer:
        call.model, call.kind = served.bundle.name, "infer"
        if b"inference-header-content-length" in call.headers:
            raise Refused(
                415,
                "content_type",
                "this server has not the extension of binary data: send data as JSON (binary_data=False)",
            )
        if (told := _main_type(call)) not in ("", media_types.JSON):
            raise Refused(415, "content_type", f"a body of {told[:80]!r}: the protocol has {media_types.JSON}")
        body = await self._body(call)
        try:
            request, given = await self._beside_if(len(body), _read_tensors, served.tensors, body)
            outputs = await served.batcher.predict(given)
            size = 32 * given.num_rows * len(outputs)
            text = await self._beside_if(size, _tensors, served, request, outputs)
        finally:
            self._bodies.let_go(body)
        return Answer(200, text)

    async def _beside_if(self, size: int, do: Callable[..., Any], *given: Any) -> Any:
        """What `do` gives, from the thread beside where it takes long."""
        if size <= LARGE_BYTES:
            return do(*given)
        return await asyncio.get_running_loop().run_in_executor(self._beside, do, *given)

    async def _body(self, call: Call) -> bytes:
        """The body, which is held until it is let go. Raises Refused."""
        if call.headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refused(415, "content_type", "compressed bodies are not read: leave out Content-Encoding")
        body = await self._bodies.read(call.receive)
        call.began = time.perf_counter()
        return body

    # Health, metrics, documents

    def live(self) -> Answer:
        """The process answers."""
        return Answer(200, b'{"live":true}')

    def ready(self) -> Answer:
        """Requests are welcome: all models have predicted their golden rows, and the server does not end."""
        return Answer(503, b'{"ready":false}') if self.is_draining else Answer(200, b'{"ready":true}')

    def server(self) -> Answer:
        """What the protocol tells of the server."""
        from importlib import metadata

        return Answer(
            200,
            answers.encode(
                {"name": "cengine", "version": metadata.version(DISTRIBUTION), "extensions": protocol.EXTENSIONS}
            ),
        )

    def told_metrics(self) -> Answer:
        """Metrics for Prometheus."""
        text = self.metrics.text(is_ready=not self.is_draining, waiting_rows=self._line.rows)
        return Answer(200, text, ((b"content-type", CONTENT_TYPE),))

    def openapi(self) -> Answer:
        """The OpenAPI document."""
        bundles = [served.bundle for served in self.catalogue.latest()]
        return Answer(200, answers.encode(document(bundles, needs_token=self.settings.token is not None)))

    def home(self) -> Answer:
        """The page is at /docs."""
        return Answer(307, b"", ((b"location", b"/docs"),))

    async def _of_repository(self, call: Call) -> Answer:
        """`POST /v2/repository/index` and `/v2/repository/models/NAME/load`."""
        _only(call, "POST")
        origin = call.headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != call.headers.get(b"host"):
            raise Refused(403, "foreign_page", "a page of another host may not load models")
        match call.path.split("/")[3:]:
            case ["index"]:
                state = "UNAVAILABLE" if self.is_draining else "READY"
                listed = [
                    {"name": name, "version": version, "state": state, "reason": ""}
                    for name in self.catalogue.names
                    for version in self.catalogue.versions(name)
                ]
                return Answer(200, answers.encode(listed))
            case ["models", name, "load"]:
                versions = await self.catalogue.reload(name)
                return Answer(200, answers.encode({"name": name, "versions": versions}))
        raise Refused(404, "unknown_path", f"there is nothing at {call.path[:80]}; see /docs")


_PLAIN: dict[str, Callable[[App], Answer]] = {
    "/v2/health/live": App.live,
    "/v2/health/ready": App.ready,
    "/v2": App.server,
    "/metrics": App.told_metrics,
    "/openapi.json": App.openapi,
    "/": App.home,
}
# Who watches the server has no token; the page has nothing of a model in it.
OPEN_PATHS = {"/", "/v2/health/live", "/v2/health/ready", *page.FILES}


def _read_tensors(reader: TensorReader, body: bytes) -> tuple[protocol.Request, Given]:
    request = decoded(protocol.decode, body)
    return request, reader.given(request)


def _tensors(served: Served, request: protocol.Request, outputs: Outputs) -> bytes:
    return answers.encode(protocol.response(served.bundle, request, outputs))


def _only(call: Call, *methods: str) -> None:
    if call.method not in methods:
        allowed = ", ".join(methods)
        raise Refused(
            405, "method", f"{call.method[:20]} is not for this path: {allowed}", headers=[(b"allow", allowed.encode())]
        )


def _main_type(call: Call) -> str:
    """The content type without parameters, in lower case. Raises Refused for another charset than UTF-8."""
    told = call.headers.get(b"content-type", b"").decode("latin-1").lower()
    main, _, parameters = told.partition(";")
    if "charset=" in parameters and parameters.partition("charset=")[2].strip(' "').partition(";")[0] not in (
        "utf-8",
        "utf8",
        "us-ascii",
    ):
        raise Refused(415, "content_type", "texts are read as UTF-8 only")
    return main.strip()


def _formats(call: Call) -> tuple[Callable[[RowReader, bytes], Given], str]:
    """How the body is read, and the format of the answer: what Accept names, else that of the body. Raises Refused."""
    told = _main_type(call)
    if (read := READERS.get(told)) is None:
        raise Refused(
            415,
            "content_type",
            f"a body of {told[:80]!r}: send the header Content-Type with one of {', '.join(READERS)}"
            if told
            else f"the header Content-Type is missing: one of {', '.join(READERS)}",
        )
    accepted = call.headers.get(b"accept", b"")
    if accepted not in (b"", b"*/*"):
        for one in accepted.decode("latin-1").lower().split(","):
            if (name := one.partition(";")[0].strip()) in answers.WRITERS:
                return read, name
    return read, _SAME_FORMAT.get(told, told)
