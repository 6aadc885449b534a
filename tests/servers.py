"""Real servers on loopback for the tests: PostgreSQL, and an object store that speaks S3. Each on a free port, gone with the block.

    with postgres_server() as postgres:
        url = postgres.new_database()

    with s3_server() as s3:
        address = s3.new_bucket()      # s3://..., found through s3.environment

`conftest.py` has both as fixtures of the session, `postgres` and `s3`; without the server's program the tests are skipped.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOST = "127.0.0.1"
START_SECONDS = 60


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


class Server:
    """A program that listens on `port`, in a process of its own; it can be stopped and started again."""

    def __init__(self, command: list[str], port: int, log: Path, stopped_by: signal.Signals, **options: Any) -> None:
        self.command = command
        self.port = port
        self.log = log
        self.stopped_by = stopped_by
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self.options
            )
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(f"{self.command[0]} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether somebody listens."""
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """Ends it, whatever is connected."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stopped_by)
            self.process.wait(START_SECONDS)


# PostgreSQL


class PostgresServer:
    """A cluster with one superuser who has a password; `server` stops and starts it."""

    user = "cengine"
    password = "a-Secret/of:tests@1"

    def __init__(self, server: Server) -> None:
        self.server = server

    def url(self, database: str = "postgres", password: str | None = password, user: str = user) -> str:
        """The address of a database, as users write it; without a word for the password where that is None."""
        from urllib.parse import quote

        word = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{user}{word}@{HOST}:{self.server.port}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        """A psycopg connection that commits by itself."""
        import psycopg

        return psycopg.connect(self.url(database), autocommit=True)

    def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Removes a database, whoever is connected: hundreds of them at the end of all tests take a minute."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Skips the test where there is none, or none that may be started."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'cengine-ml[postgres]'")
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: `make system` installs it where it may")
    account = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="cengine-postgres-"))
    try:
        options: dict[str, Any] = {"cwd": folder}
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(PostgresServer.password)
        secret.chmod(0o644)
        command = [programs / "initdb", "-D", folder / "data", "-U", PostgresServer.user, "--pwfile", secret, "--auth", "scram-sha-256",
                   "--no-sync", "-E", "UTF8", "--locale", "C"]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, **options)
        assert made.returncode == 0, made.stderr
        port = free_port()
        settings = {
            "port": port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 100,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # SIGINT is PostgreSQL's fast shutdown: it rolls back what goes on and leaves.
        server = Server(
            [str(programs / "postgres"), "-D", str(folder / "data"), *words],
            port,
            folder / "log",
            signal.SIGINT,
            **options,
        )
        server.start()
        postgres = PostgresServer(server)
        _wait_until_ready(postgres)
        try:
            yield postgres
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(postgres: PostgresServer) -> None:
    """Returns once it lets us in: it listens before it has started up."""
    import psycopg

    end = time.monotonic() + START_SECONDS
    while True:
        try:
            postgres.connect().close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _postgres_programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return versions[-1].parent if versions else None


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as, for it refuses root; None where we are somebody else already."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL refuses to run as root, and there is no other user here")


# S3


class S3Server:
    """An object store in memory: what it holds is gone when `server` is stopped."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def endpoint(self) -> str:
        """Its address, for AWS_ENDPOINT_URL."""
        return f"http://{HOST}:{self.server.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to find and use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def new_bucket(self) -> str:
        """The address of a new, empty bucket."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def client(self) -> Any:
        """boto3's client."""
        import boto3

        words = self.environment
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=words["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=words["AWS_SECRET_ACCESS_KEY"],
            region_name=words["AWS_DEFAULT_REGION"],
        )


@contextlib.contextmanager
def s3_server(*, refuses: bool = False) -> Iterator[S3Server]:
    """A running object store; one that `refuses` lets nobody do anything. Skips the test where moto is not installed."""
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    folder = Path(tempfile.mkdtemp(prefix="cengine-s3-"))
    environment = {**os.environ, **({"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if refuses else {})}
    port = free_port()
    server = Server(
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        port,
        folder / "log",
        signal.SIGKILL,
        env=environment,
    )
    try:
        server.start()
        with contextlib.suppress(urllib.error.HTTPError):  # it answers, were it with a refusal
            urllib.request.urlopen(f"http://{HOST}:{port}/moto-api/data.json", timeout=START_SECONDS).close()
        yield S3Server(server)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


# MySQL


class MysqlServer:
    """A MariaDB with a user who has a password; `server` stops and starts it."""

    user = "cengine"
    password = "a-Secret/of:tests@1"

    def __init__(self, server: Server) -> None:
        self.server = server

    def url(self, database: str, password: str | None = password) -> str:
        """The address of a database, as users write it; without a word for the password where that is None."""
        from urllib.parse import quote

        word = "" if password is None else f":{quote(password, safe='')}"
        return f"mysql://{self.user}{word}@{HOST}:{self.server.port}/{database}"

    def connect(self, database: str | None = None) -> Any:
        """A PyMySQL connection of the superuser that commits by itself."""
        import pymysql

        return pymysql.connect(host=HOST, port=self.server.port, user="root", database=database, autocommit=True)

    def new_database(self) -> str:
        """The name of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name


@contextlib.contextmanager
def mysql_server() -> Iterator[MysqlServer]:
    """A running MariaDB. Skips the test where there is none."""
    pytest.importorskip("pymysql", reason="pymysql is not installed: pip install 'cengine-ml[mysql]'")
    import pymysql

    program, install = (
        shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin"),
        shutil.which("mariadb-install-db"),
    )
    if program is None or install is None:
        pytest.skip("MariaDB is not installed: `make system` installs it where it may")
    folder = Path(tempfile.mkdtemp(prefix="cengine-mysql-"))
    try:
        # As root it has to be told that it may; nobody else is asked.
        me = [f"--user={pwd.getpwuid(os.geteuid()).pw_name}"]
        command = [
            install,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            *me,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        made = subprocess.run(command, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        port = free_port()
        words = [f"--datadir={folder / 'data'}", f"--bind-address={HOST}", f"--port={port}", f"--socket={folder / 'socket'}",
                 f"--pid-file={folder / 'pid'}", "--innodb-buffer-pool-size=64M", "--skip-networking=0"]  # fmt: skip
        server = Server([program, "--no-defaults", *me, *words], port, folder / "log", signal.SIGTERM)
        server.start()
        try:
            mysql = MysqlServer(server)
            with mysql.connect() as connection, connection.cursor() as cursor:
                word = pymysql.converters.escape_string(mysql.password)
                cursor.execute(f"CREATE USER {mysql.user}@'{HOST}' IDENTIFIED BY '{word}'")
                cursor.execute(f"GRANT ALL ON *.* TO {mysql.user}@'{HOST}'")
            yield mysql
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Google Cloud Storage


@contextlib.contextmanager
def gcs_server() -> Iterator[tuple[str, str]]:
    """(address of a new bucket, what STORAGE_EMULATOR_HOST has to be) of a running emulator. Skips the test where it is not installed."""
    pytest.importorskip("gcp_storage_emulator", reason="gcp-storage-emulator is not installed")
    pytest.importorskip("gcsfs", reason="gcsfs is not installed: pip install 'cengine-ml[gcs]'")
    folder = Path(tempfile.mkdtemp(prefix="cengine-gcs-"))
    port = free_port()
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    words = [
        "-m",
        "gcp_storage_emulator",
        "start",
        f"--host={HOST}",
        f"--port={port}",
        "--in-memory",
        f"--default-bucket={bucket}",
    ]
    server = Server([sys.executable, *words], port, folder / "log", signal.SIGTERM, cwd=folder)
    try:
        server.start()
        yield f"gs://{bucket}", f"http://{HOST}:{port}"
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


# Azure Blob Storage

AZURITE = Path(__file__).parents[1] / "build" / "azurite" / "node_modules" / ".bin" / "azurite-blob"


@contextlib.contextmanager
def azure_server() -> Iterator[tuple[str, str]]:
    """(address of a new container, its AZURE_STORAGE_CONNECTION_STRING) of a running Azurite. Skips the test where it is not installed."""
    pytest.importorskip("adlfs", reason="adlfs is not installed: pip install 'cengine-ml[azure]'")
    from azure.storage.blob import BlobServiceClient

    program = shutil.which("azurite-blob") or (str(AZURITE) if AZURITE.exists() else None)
    if program is None:
        pytest.skip("Azurite is not installed: `make system` installs it where there is npm")
    folder = Path(tempfile.mkdtemp(prefix="cengine-azure-"))
    port = free_port()
    account, key = "tests", base64.b64encode(secrets.token_bytes(32)).decode()
    words = [
        f"--blobHost={HOST}",
        f"--blobPort={port}",
        f"--location={folder}",
        "--silent",
        "--skipApiVersionCheck",
        "--disableTelemetry",
    ]
    server = Server(
        [program, *words],
        port,
        folder / "log",
        signal.SIGTERM,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"},
    )
    try:
        server.start()
        container = f"test-{uuid.uuid4().hex[:12]}"
        words = [f"AccountName={account}", f"AccountKey={key}", f"BlobEndpoint=http://{HOST}:{port}/{account}"]
        connection = ";".join(["DefaultEndpointsProtocol=http", *words])
        BlobServiceClient.from_connection_string(connection).create_container(container)
        yield f"az://{container}", connection
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
