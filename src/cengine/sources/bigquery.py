"""`cengine datasource create bq`: a table of BigQuery. Its rows stay there; what is kept is which state of it was meant."""

from __future__ import annotations

import contextlib
import datetime
import random
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator
from sqlglot import exp

from cengine.connections.bigquery import Account, Budget, Connection, Say
from cengine.errors import SourceError, near_miss
from cengine.sources.source import HeldTable, Option, RemoteSource, RemoteTable

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud import bigquery

_PROJECT = re.compile(r"[a-z0-9.:-]{4,100}", re.IGNORECASE)
_DATASET = re.compile(r"\w{1,1024}", re.ASCII)
_TABLE = re.compile(r"[\w -]{1,1024}")
# Of these types there is one state at a time, and BigQuery keeps the older ones.
WITH_HISTORY = ("TABLE", "SNAPSHOT", "CLONE")
HISTORY_DAYS = 7
NUM_PLACES = 10
COMMIT = "take a new snapshot: cengine datasource commit"


class BigQueryTable(RemoteSource):
    """A table of BigQuery."""

    name = "bq"
    title = "BigQuery"
    engine: ClassVar[str] = "bigquery"
    project: str = Field(description="The project that the table is in.")
    dataset: str = Field(description="The dataset that the table is in.")
    table: str = Field(description="The table.")
    table_type: Literal["public", "private"] = Field(
        default="private",
        description="Who pays for queries: of a private table its own project, of a public one that of the credentials.",
    )
    billing_project: str | None = Field(default=None, description="The project that pays, where it is another one.")
    credentials: Annotated[str | None, Option(is_path=True)] = Field(
        default=None,
        description="A service account's key in JSON, read when it is used. Default: the default credentials of this machine.",
    )
    location: str | None = Field(default=None, description="Where queries run. Default: where the table is.")
    endpoint: str | None = Field(
        default=None, description="Another address of the REST API (an emulator). Also BIGQUERY_EMULATOR_HOST."
    )
    storage_endpoint: str | None = Field(
        default=None,
        description="Another address of the Storage Read API, host:port. Also BIGQUERY_STORAGE_EMULATOR_HOST.",
    )

    @field_validator("project", "billing_project")
    @classmethod
    def _is_project(cls, value: str | None) -> str | None:
        if value is not None and not _PROJECT.fullmatch(value):
            raise ValueError(f"'{value}' is no project id")
        return value

    @field_validator("dataset")
    @classmethod
    def _is_dataset(cls, value: str) -> str:
        if not _DATASET.fullmatch(value):
            raise ValueError(f"'{value}' is no dataset's name: letters, digits and _")
        return value

    @field_validator("table")
    @classmethod
    def _is_table(cls, value: str) -> str:
        if not _TABLE.fullmatch(value):
            raise ValueError(
                f"'{value}' is no table's name: letters, digits, _ and -; a wildcard or a partition ($) is no table"
            )
        return value

    @property
    def place(self) -> str:
        """`project.dataset.table`."""
        return f"{self.project}.{self.dataset}.{self.table}"

    def account(self, location: str | None = None) -> Account:
        """Who asks and who pays."""
        billing = self.billing_project or (self.project if self.table_type == "private" else None)
        return Account(
            self.project, billing, self.credentials, self.location or location, self.endpoint, self.storage_endpoint
        )

    def settings(self, state: dict[str, Any]) -> dict[str, Any]:
        """What the engine is opened with."""
        return {"account": self.account(state["location"])}

    @contextlib.contextmanager
    def _connected(self, say: Say = lambda text: None, location: str | None = None) -> Iterator[Connection]:
        connection = Connection(self.account(location), say)
        try:
            yield connection
        finally:
            connection.close()

    # What it is like

    def look(self, say: Say = lambda text: None) -> RemoteTable:
        """The table as it is now: its schema, rows, bytes, and when it was last changed. No row is read."""
        from cengine.connections.bigquery_types import column_of

        with self._connected(say) as connection:
            found = self._found(connection)
        with self._connected(say, found.location) as connection:
            taken_at = _time_there(connection)
            again = self._found(connection)
        if again.modified != found.modified:
            changed = f"{self.place} changed while it was looked at; nothing was registered"
            raise SourceError(changed, "run the command again")
        if found.num_rows == 0:
            raise SourceError(f"{self.place} holds no rows")
        columns = tuple(column_of(field) for field in found.schema)
        state = {"table": self.place, "modified": found.modified.isoformat(), "location": found.location}
        seen = {"taken_at": taken_at.isoformat()}
        return RemoteTable(state, columns, int(found.num_rows), int(found.num_bytes), seen)

    def unreadable(self, state: dict[str, Any]) -> list[str]:
        """A sentence for each column that no word reads."""
        from cengine.connections.bigquery_types import column_of, why_unreadable

        with self._connected(location=state["location"]) as connection:
            return [why_unreadable(field) for field in self._found(connection).schema if column_of(field).kind is None]

    def _found(self, connection: Connection) -> bigquery.Table:
        """The table's metadata. Raises SourceError with what there is instead."""
        from google.api_core.exceptions import NotFound

        with connection.translating():
            try:
                found = connection.client.get_table(self.place, retry=connection.retry)
            except NotFound:
                raise self._missing(connection) from None
        if found.table_type not in WITH_HISTORY:
            what = str(found.table_type).lower().replace("_", " ")
            raise SourceError(
                f"{self.place} is a {what}, not a table: what it holds changes without a trace",
                "save it as a table: CREATE TABLE ... AS SELECT * FROM ...",
            )
        return found

    def _missing(self, connection: Connection) -> SourceError:
        """What is missing of project, dataset and table, with near misses as far as they may be listed."""
        from google.api_core.exceptions import GoogleAPIError

        datasets: list[str] = []
        tables: list[str] = []
        with contextlib.suppress(GoogleAPIError):
            datasets = [
                item.dataset_id for item in connection.client.list_datasets(self.project, retry=connection.retry)
            ]
        if datasets and self.dataset not in datasets:
            return SourceError(
                f"there is no dataset '{self.dataset}' in the project {self.project}",
                *_listed("datasets", datasets),
                *near_miss(self.dataset, datasets),
            )
        with contextlib.suppress(GoogleAPIError):
            tables = [
                item.table_id
                for item in connection.client.list_tables(f"{self.project}.{self.dataset}", retry=connection.retry)
            ]
        if tables:
            return SourceError(
                f"there is no table '{self.table}' in {self.project}.{self.dataset}",
                *_listed("tables", tables),
                *near_miss(self.table, tables),
            )
        return SourceError(
            f"there is no table {self.place}", "the project and its datasets cannot be listed; look at their spelling"
        )

    # Its rows

    def held(self, state: dict[str, Any], seen: dict[str, Any], say: Say) -> HeldTable:
        """The rows of that state, at one time for all queries."""
        from cengine.connections.bigquery_types import cells_of

        with self._connected(say, state["location"]) as connection:
            now = _time_there(connection)
            found = self._found(connection)
        as_of = now
        if found.modified.isoformat() != state["modified"]:
            as_of = datetime.datetime.fromisoformat(seen["taken_at"])
            changed = f"{self.place} has changed since its snapshot ({_minute(as_of)}), at {_minute(found.modified)}"
            if now - as_of > datetime.timedelta(days=HISTORY_DAYS):
                raise SourceError(
                    changed,
                    f"BigQuery keeps older rows for {HISTORY_DAYS} days at most, so those of the snapshot are gone",
                    COMMIT,
                )
            say(f"{changed}; the rows of the snapshot are read")
        item = exp.Table(
            this=exp.to_identifier(self.table, quoted=True),
            db=exp.to_identifier(self.dataset, quoted=True),
            catalog=exp.to_identifier(self.project, quoted=True),
            version=exp.Version(
                this="TIMESTAMP",
                kind="AS OF",
                expression=exp.cast(exp.Literal.string(as_of.isoformat()), "timestamptz"),
            ),
        )
        return HeldTable(item, cells_of(found.schema), as_of.isoformat())

    def sample(self, state: dict[str, Any], num_rows: int, seed: int | None, say: Say) -> pa.Table:
        """Rows from places drawn at random, by the one call that BigQuery bills nothing for."""
        import pyarrow as pa

        with self._connected(say, state["location"]) as connection:
            found = self._found(connection)
            if found.modified.isoformat() != state["modified"]:
                say(f"{self.place} has changed since its snapshot; these are rows of now")
            total = int(found.num_rows)
            places = _places(total, num_rows, random.Random(seed))
            with connection.translating():
                pages = [
                    connection.client.list_rows(
                        found, start_index=start, max_results=count, retry=connection.retry
                    ).to_arrow(create_bqstorage_client=False)
                    for start, count in places
                ]
        return pa.concat_tables(pages)


def _places(total: int, wanted: int, random_source: random.Random) -> list[tuple[int, int]]:
    """(first row, number of rows) of at most NUM_PLACES pieces that do not overlap and have the wanted rows together."""
    wanted = min(wanted, total)
    pieces = min(wanted, NUM_PLACES)
    lengths = [wanted // pieces + (piece < wanted % pieces) for piece in range(pieces)]
    # Where the pieces begin when all that is between them is what is left over.
    gaps = sorted(random_source.randint(0, total - wanted) for _ in range(pieces))
    return [(gap + sum(lengths[:piece]), lengths[piece]) for piece, gap in enumerate(gaps)]


def _time_there(connection: Connection) -> datetime.datetime:
    """BigQuery's own time: this machine's clock may be ahead of it."""
    with connection.translating():
        job = connection.run("SELECT CURRENT_TIMESTAMP() AS moment", {}, Budget())
        row = next(iter(job.result(retry=connection.retry, job_retry=None)))
    moment: datetime.datetime = row["moment"]
    return moment


def _minute(time: datetime.datetime) -> str:
    return f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _listed(what: str, names: list[str]) -> tuple[str, ...]:
    return (f"its {what}: {', '.join(sorted(names)[:10])}" + (", ..." if len(names) > 10 else ""),)
