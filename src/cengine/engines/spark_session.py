"""Sessions of Spark: started with what a run needs and no download, or a sentence about why not; ended with their JVM."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.engines.engine import Setup
from cengine.errors import PreprocessError, StoreError
from cengine.extras import install_command

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOCAL_MASTERS = ("local", "local-cluster")
MAX_BROADCAST_BYTES = 64 * 2**20
# The Java process of a session plans queries and passes results on; plans of wide tables are large.
MIN_DRIVER_BYTES, MAX_DRIVER_BYTES = 2**30, 4 * 2**30
CONNECT_SECONDS = 5.0
# How long workers may take to come; clusters that start machines for a job take minutes.
WORKER_SECONDS = 300.0
WAIT_SETTING = "worker_seconds"
_LOG_SETTINGS = """
rootLogger.level = error
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c: %m%n
"""


def start(setup: Setup, scratch: Path) -> SparkSession:
    """A session with at least one worker. Raises PreprocessError with what to do where there can be none."""
    master = setup.master or f"local[{setup.threads or os.cpu_count() or 1}]"
    _check_java()
    try:
        from pyspark import SparkConf
        from pyspark.sql import SparkSession
    except ImportError:
        raise PreprocessError(
            "the engine spark needs PySpark, which is not installed", install_command("spark")
        ) from None
    _check_reachable(master)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    log = scratch / "spark.log"
    settings = scratch / "log4j2.properties"
    settings.write_text(_LOG_SETTINGS.format(log=log))
    conf = SparkConf().setMaster(master).setAppName("cengine")
    for key, value in {**_conf(setup, master, scratch, settings), **_given(setup)}.items():
        conf.set(key, value)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with translated(log), _stderr_into(log):
            session = SparkSession.builder.config(conf=conf).getOrCreate()
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)  # Spark puts its own in its place
    try:
        _wait_for_workers(session, master, setup)
    except BaseException:
        stop(session)
        raise
    return session


def stop(session: SparkSession) -> None:
    """Gives the workers back and ends the JVM, whose memory training wants."""
    from pyspark import SparkContext

    with contextlib.suppress(Exception):
        session.stop()
    gateway = SparkContext._gateway
    if gateway is None:
        return
    process = getattr(gateway, "proc", None)
    with contextlib.suppress(Exception):
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    if process is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()  # it ends with its standard input
        with contextlib.suppress(Exception):
            process.wait(10)


def cores_of(session: SparkSession, setup: Setup) -> int:
    """On how many cores tasks run at once."""
    if setup.workers and setup.cpus_per_worker:
        return setup.workers * setup.cpus_per_worker
    return max(1, session.sparkContext.defaultParallelism)


def _conf(setup: Setup, master: str, scratch: Path, log_settings: Path) -> dict[str, str]:
    conf = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.caseSensitive": "true",
        # Else `${env:HOME}` in a text is replaced by what the environment holds.
        "spark.sql.variable.substitute": "false",
        "spark.sql.autoBroadcastJoinThreshold": str(MAX_BROADCAST_BYTES),
        "spark.sql.warehouse.dir": (scratch / "warehouse").as_uri(),
        "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log_settings.as_uri()}",
        "spark.driver.memory": f"{min(max(setup.memory_bytes, MIN_DRIVER_BYTES), MAX_DRIVER_BYTES) // 2**20}m",
        "spark.driver.maxResultSize": "0",  # what is fetched is bounded by what we ask for
        # What is only kept for a page that nobody sees.
        "spark.ui.retainedJobs": "10",
        "spark.ui.retainedStages": "20",
        "spark.ui.retainedTasks": "1000",
        "spark.sql.ui.retainedExecutions": "5",
    }
    if _kind(master) in LOCAL_MASTERS or _host(master) in ("127.0.0.1", "localhost"):
        conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if _kind(master) in LOCAL_MASTERS:
        conf["spark.local.dir"] = str(scratch)
    if setup.cpus_per_worker:
        conf["spark.executor.cores"] = str(setup.cpus_per_worker)
    if setup.workers:
        conf["spark.executor.instances"] = str(setup.workers)
        if setup.cpus_per_worker:
            conf["spark.cores.max"] = str(setup.workers * setup.cpus_per_worker)
    return conf


def _given(setup: Setup) -> dict[str, str]:
    """The user's own settings, which come last."""
    return {key: str(value) for key, value in setup.settings.items() if key.startswith("spark.")}


def _kind(master: str) -> str:
    return re.split(r"[\[:]", master, maxsplit=1)[0]


def _host(master: str) -> str:
    match = re.match(r"spark://([^:,/]+)", master)
    return match.group(1) if match else ""


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if home and not (Path(home) / "bin" / "java").exists():
        raise PreprocessError(
            f"JAVA_HOME is {home}, and there is no bin/java in it",
            "Spark needs Java 17 or newer: set JAVA_HOME to its folder",
        )
    if not home and shutil.which("java") is None:
        raise PreprocessError(
            "Spark needs Java 17 or newer, and there is none here",
            "install it, for example: apt-get install openjdk-17-jre-headless; or set JAVA_HOME",
        )


def _check_reachable(master: str) -> None:
    """Raises where nobody listens at any address of `spark://HOST:PORT,HOST:PORT`: Spark itself would try for a minute."""
    if _kind(master) not in ("local", "local-cluster", "spark", "k8s", "yarn"):
        raise PreprocessError(
            f"'{master}' is not a master of Spark",
            "for example spark://HOST:7077, k8s://https://HOST:443, yarn, local[4]",
        )
    if _kind(master) == "yarn" and not (os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR")):
        raise PreprocessError(
            "the master `yarn` is found through HADOOP_CONF_DIR, which is not set",
            "set it to the folder of yarn-site.xml",
        )
    if _kind(master) != "spark":
        return
    reasons = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.partition(":")
        try:
            socket.create_connection((host, int(port or 7077)), timeout=CONNECT_SECONDS).close()
            return
        except (OSError, ValueError) as error:
            reasons.append(f"{address}: {error}")
    raise PreprocessError(
        f"no master of Spark answers at {master}", *reasons, "is it up? start-master.sh prints its address"
    )


def _wait_for_workers(session: SparkSession, master: str, setup: Setup) -> None:
    """Returns when a worker has taken the job; a cluster without room for it would let us wait for ever, and say nothing."""
    if _kind(master) == "local":
        return
    limit = float(setup.settings.get(WAIT_SETTING, WORKER_SECONDS))
    status: Any = session.sparkContext._jsc.sc()
    end = time.monotonic() + limit
    while status.getExecutorMemoryStatus().size() <= 1:  # the driver is one of them
        if time.monotonic() > end:
            conf = session.sparkContext.getConf()
            memory, cores = conf.get("spark.executor.memory", "1g"), conf.get("spark.executor.cores", "1")
            raise PreprocessError(
                f"no worker of {master} has taken the job within {limit:.0f} seconds; each must have {memory} of memory and {cores} CPUs free",
                "ask for less: --cpus_per_worker, or `spark.executor.memory` under `engine:` in settings.yaml",
            )
        time.sleep(0.2)


@contextlib.contextmanager
def translated(log: Path | None = None) -> Iterator[None]:
    """Spark's exceptions as ours."""
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        if "JAVA_GATEWAY_EXITED" in str(error):
            said = _last_line(log)
            raise PreprocessError(
                "Spark's Java process did not start" + (f": {said}" if said else ""), "Spark needs Java 17 or newer"
            ) from None
        raise _told(str(error)) from error
    except Py4JNetworkError:
        raise PreprocessError(
            "Spark's Java process ended", "it may have had too little memory: give more with --memory"
        ) from None
    except Py4JError as error:
        raise _told(str(error)) from error
    except ConnectionError:
        raise PreprocessError(
            "the connection to Spark's Java process was cut", "run it again; what was finished is kept"
        ) from None


def _told(text: str) -> PreprocessError | StoreError:
    reasons = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in reasons if line.startswith("Caused by: ")]
    first = (causes or reasons or ["it gave no reason"])[-1 if causes else 0]
    if "No space left on device" in text:
        return StoreError(
            "the disk of a worker of Spark is full", "nothing half-written is kept; make room and run the command again"
        )
    if "OutOfMemoryError" in text or "exit code 137" in text or "exit code 52" in text:
        return PreprocessError(
            "a worker of Spark ran out of memory",
            "give workers more: `spark.executor.memory` under `engine:` in settings.yaml",
        )
    return PreprocessError(f"Spark: {first[:500]}")


def _last_line(log: Path | None) -> str:
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log else []
        return lines[-1][:300] if lines else ""
    return ""


@contextlib.contextmanager
def _stderr_into(log: Path) -> Iterator[None]:
    """What the Java process writes to standard error from its first line on goes to the log: it inherits the stream."""
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


__all__ = ["cores_of", "start", "stop", "translated"]
