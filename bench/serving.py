"""`cengine serve` beside BentoML with the same ONNX file, and beside MLServer and MLflow with a scikit-learn pipeline, in turns.

    python bench/serving.py --bundle FOLDER [--folder build/peers] [--seconds 3] [--rounds 2] [--peers bentoml mlserver mlflow]
    python bench/serving.py --bundle FOLDER --hold 600        # load for ten minutes, a reload every 20 s, SIGTERM at the end

It measures the processor time of a request, latency, start and memory. Each peer runs in an environment of its own, which is made
from `bench/peers/NAME.txt` with uv. Our server runs with its protocol, metrics and log of requests on. The processor time is that
of all processes of a server; the load generator's is not counted. Times of a machine that others use are their least over the
rounds, ratios are those of one round.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from load import Result, load, request

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
LOAD = Path(__file__).with_name("load.py")


@dataclass
class Started:
    """A server that answers: its process, its address, the seconds until it was ready."""

    process: psutil.Process
    url: str
    ready_seconds: float

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.processes())

    def memory_mb(self) -> float:
        return sum(one.memory_info().rss for one in self.processes()) / 1e6


@contextlib.contextmanager
def ours(bundle: Path, log: Path, path: str) -> Iterator[Started]:
    port = free_port()
    command = [sys.executable, "-m", "cengine.serving", str(bundle), "--port", str(port), "--log-requests", str(log)]
    with started(command, port, path, "/v2/health/ready", {}) as server:
        yield server


@contextlib.contextmanager
def bentoml(bundle: Path, folder: Path) -> Iterator[Started]:
    python = environment("bentoml", folder)
    port = free_port()
    kinds = {one["column"]: one["kind"] for one in json.loads((bundle / "model.json").read_text())["features"]}
    command = [str(python.with_name("bentoml")), "serve", "bentoml_service:Served", "--port", str(port)]
    own = {"GRAPH": str((bundle / "model.onnx").resolve()), "KINDS": json.dumps(kinds), "BENTOML_DO_NOT_TRACK": "True"}
    with started(command, port, "/predict", "/readyz", own) as server:
        yield server


@contextlib.contextmanager
def mlserver(bundle: Path, folder: Path) -> Iterator[Started]:
    python, model = pipeline("mlserver", bundle, folder)
    port = free_port()
    own = {
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(free_port()),
        "MLSERVER_METRICS_PORT": str(free_port()),
    }
    command = [str(python.with_name("mlserver")), "start", str(model)]
    with started(command, port, "/v2/models/served/infer", "/v2/health/ready", own) as server:
        yield server


@contextlib.contextmanager
def mlflow(bundle: Path, folder: Path) -> Iterator[Started]:
    python, model = pipeline("mlflow", bundle, folder)
    port = free_port()
    command = [str(python.with_name("mlflow")), "models", "serve", "-m", str(model), "-p", str(port)]
    own = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    with started([*command, "--env-manager", "local"], port, "/invocations", "/ping", own) as server:
        yield server


def pipeline(name: str, bundle: Path, folder: Path) -> tuple[Path, Path]:
    """The Python of a peer that serves a scikit-learn pipeline, and the folder of its model, which is trained if it is not there."""
    python, model = environment(name, folder), folder / name / "model"
    if not model.exists():
        command = [str(python), str(PEERS / "sklearn_pipeline.py"), name, str(bundle / "golden.json"), str(model)]
        subprocess.run(command, check=True, capture_output=True)
    return python, model


@contextlib.contextmanager
def started(command: list[str], port: int, path: str, ready: str, own: dict[str, str]) -> Iterator[Started]:
    began = time.perf_counter()
    environ = {**os.environ, **own, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        command, cwd=PEERS, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait(f"http://127.0.0.1:{port}{ready}", process)
        yield Started(psutil.Process(process.pid), f"http://127.0.0.1:{port}{path}", time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if answer.status == 200:
                return
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        time.sleep(0.01)
    raise SystemExit(f"{url} never answered")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def environment(name: str, folder: Path) -> Path:
    """The Python of a peer's environment, which is made where it is not there."""
    python = (folder / name / "environment" / "bin" / "python").absolute()
    if not python.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "-q", str(python.parents[1])], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", str(python), "-r", str(PEERS / f"{name}.txt")], check=True
        )
    return python


def measured(server: Started, bodies: Path, connections: int, seconds: float) -> dict[str, float]:
    """The load generator runs in a process of its own, so that its time is not ours."""
    command = [sys.executable, str(LOAD), server.url, str(bodies), "--each", "--connections", str(connections)]
    subprocess.run([*command, "--seconds", "0.5"], check=True, capture_output=True)
    before = server.cpu_seconds()
    done = subprocess.run([*command, "--seconds", str(seconds)], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert set(told["statuses"]) == {"200"}, told
    return {
        "cpu_ms": (server.cpu_seconds() - before) * 1e3 / told["answered"],
        **{name: told[name] for name in ("p50_ms", "p99_ms", "requests_per_s")},
    }


def compared(given: argparse.Namespace) -> None:
    rows = json.loads((given.bundle / "golden.json").read_text())["rows"]
    given.folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "cengine": lambda: ours(given.bundle, given.folder / "log", "/predict"),
        **{name: functools.partial(PEER[name], given.bundle, given.folder) for name in given.peers},
    }
    for number in range(given.rounds):
        least: dict[int, float] = {}
        for name, start in kinds.items():
            bodies = given.folder / f"bodies-{name}.json"
            bodies.write_text(json.dumps([BODIES.get(name, _rows)(row) for row in rows]))
            with start() as server:
                for connections in (1, 16):
                    found = measured(server, bodies, connections, given.seconds)
                    least.setdefault(connections, found["cpu_ms"])
                    ratio = found["cpu_ms"] / least[connections]
                    told = "  ".join(f"{key} {value:9.3f}" for key, value in found.items())
                    print(
                        f"round {number + 1}  {name:20} {connections:2} connections  {told}  x{ratio:.1f}", flush=True
                    )
                print(
                    f"round {number + 1}  {name:20} ready after {server.ready_seconds:.2f} s, {server.memory_mb():.0f} MB",
                    flush=True,
                )


def _rows(row: dict[str, Any]) -> dict[str, Any]:
    return {"rows": [row]}


def _tensors(row: dict[str, Any]) -> dict[str, Any]:
    """The protocol as MLServer reads it: a tensor a column, which its codec makes a pandas frame of."""
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [cell], "parameters": {"content_type": "str"}}
        if isinstance(cell, str)
        else {"name": name, "shape": [1], "datatype": "INT64" if isinstance(cell, int) else "FP64", "data": [cell]}
        for name, cell in row.items()
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


PEER = {"bentoml": bentoml, "mlserver": mlserver, "mlflow": mlflow}
BODIES = {"mlserver": _tensors, "mlflow": lambda row: {"dataframe_records": [row]}}


def held(given: argparse.Namespace) -> Result:
    """Load for `--hold` seconds, with a reload every 20 s and SIGTERM at the end: nothing may be lost, every answer right."""
    golden = json.loads((given.bundle / "golden.json").read_text())
    name = "probabilities" if "probabilities" in golden["predictions"] else "prediction"
    expected = golden["predictions"][name]

    def is_right(place: int, status: int, body: bytes) -> bool:
        if status != 200:
            return False
        values = list(json.loads(body)["predictions"][0].values())
        told = values[-1] if name == "probabilities" else values[0]
        wanted = expected[place][-1] if name == "probabilities" else expected[place]
        return bool(abs(told - wanted) < 1e-3 * max(1.0, abs(wanted)))

    given.folder.mkdir(parents=True, exist_ok=True)
    with ours(given.bundle, given.folder / "log", "/predict") as server:
        end = time.monotonic() + given.hold

        def disturb() -> None:
            while time.monotonic() < end:
                time.sleep(max(min(20.0, end - time.monotonic()), 0))
                server.process.send_signal(signal.SIGHUP if time.monotonic() < end - 1 else signal.SIGTERM)

        beside = threading.Thread(target=disturb)
        beside.start()
        requests = [request(server.url, json.dumps({"rows": [row]}).encode()) for row in golden["rows"]]
        result = load(server.url, requests, connections=8, seconds=given.hold + 20, check=is_right)
        beside.join()
    print(
        f"{len(result.latencies):,} answered in {result.seconds:.0f} s, {result.lost} lost, {result.wrong} wrong, {dict(result.statuses)}"
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("build/peers"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", nargs="*", default=list(PEER), choices=list(PEER))
    parser.add_argument("--hold", type=float)
    given = parser.parse_args()
    given.bundle, given.folder = given.bundle.resolve(), given.folder.resolve()
    if given.hold:
        result = held(given)
        sys.exit(1 if result.lost or result.wrong else 0)
    compared(given)


if __name__ == "__main__":
    main()
