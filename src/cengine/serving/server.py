"""The process: a socket, uvicorn on it, signals. SIGTERM and Ctrl-C end it when all that came is answered, SIGHUP loads models anew."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from cengine.errors import CengineError
from cengine.extras import install_command

if TYPE_CHECKING:
    import uvicorn

# Connections that clients keep open are closed with their next answer. For so long an end waits for it: a request may be on its way.
FAREWELL_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048
TICK_SECONDS = 0.02


def require_packages() -> None:
    """Raises CengineError where the extra `serve` is not installed."""
    try:
        for name in ("httptools", "msgspec", "onnxruntime", "uvicorn"):
            importlib.import_module(name)
    except ImportError as error:
        raise CengineError(f"to serve a model needs {error.name}", f"install it: {install_command('serve')}") from error


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that a port that is taken is told before a model is read. Raises CengineError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        hint = "take another port: --port 0 finds a free one" if port else "take an address of this machine"
        raise CengineError(f"cannot listen at {host}:{port}: {error.strerror or error}", hint) from error
    return found


def serve(app: Any, bound: socket.socket, drain: float, say: Callable[[str], None]) -> int:
    """Answers until a signal ends it; gives the exit code: 0 where every request that came was answered."""
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients send wrong is no news
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    _allow_many_files()
    # What is loaded stays: it need not be looked through again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        return runner.run(_served(_quiet(config), app, bound, drain, say))


def _quiet(config: uvicorn.Config) -> uvicorn.Server:
    """uvicorn's server, which leaves signals to us: it would raise them again at its end."""
    import uvicorn

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Quiet(config)


async def _served(server: Any, app: Any, bound: socket.socket, drain: float, say: Callable[[str], None]) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    def load() -> None:
        task = loop.create_task(_load_all(app, say))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for name, heard in (("SIGTERM", ended.set), ("SIGINT", ended.set), ("SIGHUP", load)):
        if hasattr(signal, name):
            loop.add_signal_handler(getattr(signal, name), heard)
    with bound.dup() as listening:
        serving = loop.create_task(server.serve(sockets=[bound]))
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.001)
        say(f"serving {', '.join(app.catalogue.names)} at {_address(bound)}")
        await ended.wait()
        app.is_draining = True
        await _accept_no_more(server, listening)
    code = await _ended(server, serving, drain, say)
    if app.journal is not None:
        await asyncio.to_thread(app.journal.close)
    return code


async def _accept_no_more(server: Any, listening: socket.socket) -> None:
    """Takes the connections that the system has accepted and uvicorn has not: closing would reset them, with their requests."""
    loop = asyncio.get_running_loop()
    for one in server.servers:
        one.close()
    await asyncio.sleep(0)
    listening.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            await loop.connect_accepted_socket(_protocol(server), connection)


def _protocol(server: Any) -> Callable[[], asyncio.Protocol]:
    """What answers a connection, as uvicorn makes it."""
    config, loop = server.config, asyncio.get_running_loop()
    return lambda: config.http_protocol_class(config=config, server_state=server.server_state, app_state={}, _loop=loop)


async def _ended(server: Any, serving: asyncio.Task[None], drain: float, say: Callable[[str], None]) -> int:
    """Answers what comes on open connections, then closes them; 1 where it took longer than `drain` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + drain
    farewell = loop.time() + min(FAREWELL_SECONDS, drain)
    state = server.server_state
    while state.connections and loop.time() < farewell:
        await asyncio.sleep(TICK_SECONDS)
    server.config.timeout_graceful_shutdown = max(until - loop.time(), 0.1)
    server.should_exit = True
    late = False
    while not serving.done():
        await asyncio.sleep(TICK_SECONDS)
        late = late or (loop.time() > until and bool(state.tasks))
    serving.result()
    if late:
        say(f"requests that were not answered within {drain:g} s are cut off")
    return 1 if late else 0


async def _load_all(app: Any, say: Callable[[str], None]) -> None:
    for name in app.catalogue.names:
        try:
            versions = await app.catalogue.reload(name)
            say(f"loaded {name}: {', '.join(versions)}")
        except CengineError as error:
            say(f"{error.render()}\nwhat answered so far goes on")


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Unneeded(MetaPathFinder):
    """What pyarrow loads if it is installed: pandas, to see whether a list is a frame, and clients of file systems elsewhere."""

    names = frozenset({"pandas", *(f"pyarrow.{name}" for name in ("_azurefs", "_gcsfs", "_hdfs", "_s3fs"))})

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"a server needs no {name}", name=name)


def load_less() -> None:
    """From now on this process loads no packages that pyarrow can do without: 50 MB and half a second."""
    sys.meta_path.insert(0, _Unneeded())


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop
    found: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return found


def _allow_many_files() -> None:
    """Each connection is a file; systems allow 1,024 until they are asked."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
