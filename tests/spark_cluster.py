"""A standalone Spark on loopback for tests: a master and workers, each a process that can be killed by its id."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import HOST, free_port

START_SECONDS = 180


class SparkCluster:
    """`master` is its address; `workers` are the processes of its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.page = free_port(), free_port()
        self.master = f"spark://{HOST}:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, num_workers: int, worker_megabytes: int) -> None:
        """Starts the master and its workers, and waits until all have come."""
        self._spark(
            "master",
            "org.apache.spark.deploy.master.Master",
            "--host",
            HOST,
            "--port",
            str(self.port),
            "--webui-port",
            str(self.page),
        )
        self.wait(lambda state: state["status"] == "ALIVE")
        for number in range(num_workers):
            work = self.folder / f"worker-{number}"
            self.workers.append(
                self._spark(
                    f"worker-{number}",
                    "org.apache.spark.deploy.worker.Worker",
                    "--host",
                    HOST,
                    "--webui-port",
                    str(free_port()),
                    "--cores",
                    "1",
                    "--memory",
                    f"{worker_megabytes}m",
                    "--work-dir",
                    str(work),
                    self.master,
                )
            )
        self.wait(lambda state: state["aliveworkers"] == num_workers)

    def _spark(self, name: str, main: str, *words: str) -> subprocess.Popen[bytes]:
        import pyspark

        jars = Path(pyspark.__file__).parent / "jars" / "*"
        # Not by spark-class: the process is to be the Java machine itself, for it is killed.
        command = ["java", "-Xmx256m", "-cp", str(jars), main, *words]
        environment = {
            **os.environ,
            "SPARK_HOME": str(jars.parents[1]),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_SCALA_VERSION": "2.13",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def state(self) -> dict[str, Any]:
        """What the master says of itself, its workers and its jobs."""
        with urllib.request.urlopen(f"http://{HOST}:{self.page}/json/", timeout=10) as answer:
            return json.load(answer)

    def wait(self, there: Any, seconds: float = START_SECONDS) -> dict[str, Any]:
        """The state once it is as wanted."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, ValueError):
                state = self.state()
                if there(state):
                    return state
            assert time.monotonic() < end, f"the cluster did not get there:\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of the logs."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in sorted(self.folder.glob("*.log"))
        )

    def stop(self) -> None:
        """Ends all."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


@contextlib.contextmanager
def spark_cluster(num_workers: int = 2, worker_megabytes: int = 1024) -> Iterator[SparkCluster]:
    """A running cluster. Skips the test where there is no PySpark or no Java."""
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'cengine-ml[spark]'")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    folder = Path(tempfile.mkdtemp(prefix="cengine-spark-"))
    cluster = SparkCluster(folder)
    try:
        cluster.start(num_workers, worker_megabytes)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
