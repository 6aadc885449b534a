"""BigQuery by Google's own clients: credentials read when they are used, errors in our words, retries that are told."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cengine.connections.bigquery_errors import give_up, is_transient, reason_of, told, translated
from cengine.errors import PreprocessError, SourceError
from cengine.extras import install_command

if TYPE_CHECKING:
    import pyarrow as pa
    from google.api_core.retry import Retry
    from google.auth.credentials import Credentials
    from google.cloud import bigquery

SCOPES = ("https://www.googleapis.com/auth/bigquery",)
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, GIVE_UP_SECONDS = 0.5, 30.0, 300.0
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.1, 3.0
JOB_ATTEMPTS = 3
# BigQuery bills a query for at least so much, and takes no smaller bound.
LEAST_BILLED_BYTES = 10 * 2**20
# What a request may hold beside the query: 10 MB, less what JSON adds to it.
MAX_PARAMETER_BYTES = 9_000_000

# Told a sentence for people; told a share between 0 and 1.
Say = Callable[[str], None]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Account:
    """Who asks, who pays and where: all plain data. `credentials` is a file's name, None for the default credentials.

    `billing_project` is None where the credentials know it. An endpoint on this machine (an emulator) needs no credentials.
    """

    project: str
    billing_project: str | None = None
    credentials: str | None = None
    location: str | None = None
    endpoint: str | None = None
    storage_endpoint: str | None = None

    @property
    def rest(self) -> str | None:
        """The address of REST where it is not Google's."""
        host = self.endpoint or os.environ.get("BIGQUERY_EMULATOR_HOST") or None
        return host if host is None or "://" in host else f"http://{host}"

    @property
    def storage(self) -> str | None:
        """The address of the Storage Read API where it is not Google's."""
        return self.storage_endpoint or os.environ.get("BIGQUERY_STORAGE_EMULATOR_HOST") or None


@dataclass
class Budget:
    """What may be scanned and what was, in bytes; `limit` None is no bound."""

    limit: int | None = None
    scanned: int = 0
    received: int = 0
    _counted: set[str] = field(default_factory=set)

    def left(self) -> int | None:
        """What one more query may be billed. Raises PreprocessError where nothing is left."""
        if self.limit is None:
            return None
        left = self.limit - self.scanned
        if left < LEAST_BILLED_BYTES:
            raise over_budget(self.limit, self.scanned)
        return left

    def count(self, job: bigquery.QueryJob) -> None:
        """Adds what a finished job has scanned."""
        if job.job_id not in self._counted:
            self._counted.add(job.job_id)
            self.scanned += int(job.total_bytes_billed or job.total_bytes_processed or 0)


def over_budget(limit: int, scanned: int) -> PreprocessError:
    """What is told when the bound is reached."""
    return PreprocessError(
        f"the bound of {limit / 1e9:g} GB scanned is reached: {scanned / 1e9:.2f} GB were scanned, and the next query needs more",
        "finished stages are kept; give more with --max-gb-scanned and run it again",
    )


class Connection:
    """The clients of an account, made when they are first used. `say` is told of every retry. Raises SourceError without Google's packages."""

    def __init__(self, account: Account, say: Say = lambda text: None) -> None:
        require_packages()
        self.account = account
        self.say = say

    # Credentials

    @cached_property
    def _identity(self) -> tuple[Credentials, str | None]:
        """The credentials and the project they belong to. Raises SourceError where there are none."""
        from google.auth.credentials import AnonymousCredentials

        if self.account.credentials is not None:
            return _of_file(Path(self.account.credentials))
        if self.account.rest is not None and self.account.rest.startswith("http://"):
            return AnonymousCredentials(), os.environ.get("GOOGLE_CLOUD_PROJECT")
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            return google.auth.default(scopes=SCOPES)
        except DefaultCredentialsError:
            raise SourceError(
                "there are no credentials for BigQuery",
                "log in: gcloud auth application-default login",
                "or give the file of a service account: --credentials key.json, or GOOGLE_APPLICATION_CREDENTIALS",
            ) from None

    @cached_property
    def billing_project(self) -> str:
        """The project that pays. Raises SourceError where nothing says which."""
        known = self.account.billing_project or self._identity[1]
        if known is None and self.account.rest is not None:
            known = self.account.project
        if known is None:
            raise SourceError(
                "nothing says which project pays for the queries",
                "name it: --billing-project PROJECT, or GOOGLE_CLOUD_PROJECT=PROJECT",
            )
        return known

    @cached_property
    def client(self) -> bigquery.Client:
        """The client of REST."""
        credentials = self._identity[0]
        from google.cloud import bigquery

        options = {"api_endpoint": self.account.rest} if self.account.rest else None
        return bigquery.Client(
            project=self.billing_project,
            credentials=credentials,
            location=self.account.location,
            client_options=options,
        )

    @cached_property
    def reader(self) -> Any:
        """The client of the Storage Read API, None at an endpoint that has none; rows then come by REST."""
        credentials = self._identity[0]
        from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

        if self.account.storage is None:
            return BigQueryReadClient(credentials=credentials) if self.account.rest is None else None
        import grpc

        unlimited = [("grpc.max_receive_message_length", -1)]
        return BigQueryReadClient(
            transport=BigQueryReadGrpcTransport(channel=grpc.insecure_channel(self.account.storage, unlimited))
        )

    def close(self) -> None:
        """Closes what was opened."""
        if "client" in self.__dict__:
            self.client.close()
        if "reader" in self.__dict__ and self.reader is not None:
            self.reader.transport.close()

    # Calls

    @property
    def retry(self) -> Retry:
        """How calls are repeated: with growing waits, each told."""
        from google.api_core.retry import Retry

        return Retry(
            predicate=is_transient,
            initial=FIRST_WAIT_SECONDS,
            maximum=LONGEST_WAIT_SECONDS,
            multiplier=2.0,
            timeout=GIVE_UP_SECONDS,
            on_error=lambda error: self.say(f"BigQuery: {told(error)}; trying again"),
        )

    @contextlib.contextmanager
    def translating(self) -> Iterator[None]:
        """Errors of Google's packages come out as ours."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            yield
        except (GoogleAPIError, GoogleAuthError, RequestException, ConnectionError) as error:
            paying = self.__dict__.get("billing_project") or self.account.billing_project or self.account.project
            raise translated(error, paying) from error

    def dry_run(self, text: str, parameters: Mapping[str, pa.Array]) -> int:
        """The bytes that a query would scan; it is checked and not run."""
        from google.cloud import bigquery

        with self.translating():
            config = bigquery.QueryJobConfig(
                dry_run=True, use_query_cache=False, query_parameters=_parameters(parameters)
            )
            job = self.client.query(text, job_config=config, retry=self.retry, job_retry=None)
            if job.statement_type not in (None, "SELECT"):
                raise PreprocessError(
                    f"BigQuery reads a {job.statement_type} where one SELECT was to be sent; it was not run"
                )
            return int(job.total_bytes_processed or 0)

    def run(
        self, text: str, parameters: Mapping[str, pa.Array], budget: Budget, progress: Progress | None = None
    ) -> bigquery.QueryJob:
        """The finished job of a query; a job that failed for a passing reason is begun again. Ctrl-C cancels it."""
        with self.translating():
            for attempt in range(JOB_ATTEMPTS):
                job = self._finished(text, parameters, budget, progress)
                error = job.exception() if job.error_result else None
                if error is None:
                    budget.count(job)
                    return job
                if reason_of(error) == "bytesBilledLimitExceeded":
                    raise over_budget(budget.limit or 0, budget.scanned)
                if attempt == JOB_ATTEMPTS - 1 or not is_transient(error):
                    raise error
                self.say(f"BigQuery: a query failed ({told(error)}); running it again")
                time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        raise AssertionError("a query ended neither well nor badly")

    def _finished(
        self, text: str, parameters: Mapping[str, pa.Array], budget: Budget, progress: Progress | None
    ) -> bigquery.QueryJob:
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(query_parameters=_parameters(parameters), labels={"program": "cengine"})
        left = budget.left()
        if left is not None:  # a None that is set would be sent as a text
            config.maximum_bytes_billed = left
        job = self.client.query(text, job_config=config, retry=self.retry, job_retry=None)
        try:
            self._wait_for(job, progress)
        except BaseException:
            self._cancel(job)
            raise
        return job

    def _wait_for(self, job: bigquery.QueryJob, progress: Progress | None) -> None:
        wait = FIRST_POLL_SECONDS
        while job.state != "DONE":
            time.sleep(wait)
            wait = min(wait * 1.5, LONGEST_POLL_SECONDS)
            job.reload(retry=self.retry)
            if progress is not None:
                progress(_share_done(job))

    def _cancel(self, job: bigquery.QueryJob) -> None:
        """Ends a query that nobody waits for any more, as well as that can be done now."""
        from google.api_core.exceptions import GoogleAPIError
        from requests.exceptions import RequestException

        with contextlib.suppress(GoogleAPIError, RequestException, ConnectionError):
            job.cancel(retry=None, timeout=5)


def require_packages() -> None:
    """Raises SourceError where Google's packages are not installed."""
    try:
        import google.cloud.bigquery
        import google.cloud.bigquery_storage_v1  # noqa: F401
    except ImportError:
        raise SourceError("BigQuery needs packages that are not installed", install_command("bigquery")) from None


def _of_file(path: Path) -> tuple[Credentials, str | None]:
    """The credentials of a service account's file, read now and kept nowhere."""
    from google.oauth2 import service_account

    try:
        found = service_account.Credentials.from_service_account_file(str(path), scopes=SCOPES)
    except OSError as error:
        raise SourceError(
            f"cannot read the credentials '{path}': {error.strerror or error}",
            "--credentials takes a service account's key in JSON",
        ) from None
    except ValueError:  # its message may hold parts of the key
        raise SourceError(
            f"'{path}' is no key of a service account",
            "--credentials takes the JSON file that Google Cloud gives when a key is made",
        ) from None
    return found, found.project_id


def _parameters(values: Mapping[str, pa.Array]) -> list[bigquery.ArrayQueryParameter]:
    """Arrow arrays without nulls as query parameters. Raises PreprocessError where they are more than a request may hold."""
    from google.cloud import bigquery

    size = sum(15 * len(array) + array.nbytes for array in values.values())
    if size > MAX_PARAMETER_BYTES:
        longest = max(len(array) for array in values.values())
        raise PreprocessError(
            f"a list of {longest:,} values is too long to be sent to BigQuery with a query (about {size / 1e6:.0f} MB of at most 9)",
            "bound the vocabulary with `top_k`, use hash_strings, or split by a column with fewer groups",
        )
    return [bigquery.ArrayQueryParameter(name, _type_of(array), array.to_pylist()) for name, array in values.items()]


def _type_of(array: pa.Array) -> str:
    import pyarrow as pa

    for test, name in (
        (pa.types.is_boolean, "BOOL"),
        (pa.types.is_integer, "INT64"),
        (pa.types.is_floating, "FLOAT64"),
    ):
        if test(array.type):
            return name
    return "STRING"


def _share_done(job: bigquery.QueryJob) -> float:
    """How much of its work a running job has done, as its timeline tells."""
    timeline = job.timeline
    if not timeline:
        return 0.0
    done, waiting = int(timeline[-1].completed_units or 0), int(timeline[-1].pending_units or 0)
    return done / (done + waiting) if done + waiting else 0.0


__all__ = ["Account", "Budget", "Connection", "Progress", "Say", "give_up", "over_budget", "require_packages"]
