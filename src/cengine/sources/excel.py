"""Tables in workbooks of Excel: one sheet, the values that its cells show."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from cengine.digests import file_digest
from cengine.errors import SourceError, near_miss
from cengine.extras import install_command
from cengine.sources.source import CopiedSource, Option, Part, Reading, State, batches_part
from cengine.sources.workbook_cells import cell_name, check_cells

if TYPE_CHECKING:
    from types import ModuleType

    import pyarrow as pa
    from python_calamine import CalamineSheet, CalamineWorkbook

BATCH_ROWS = 10_000
# Above it not every whole number is a number of Excel.
_LARGEST_WHOLE = 2**53
_OLD_HEAD = b"\xd0\xcf\x11\xe0"
Row = Sequence[Any]


class Excel(CopiedSource):
    """A sheet of a workbook; its first row that holds something names the columns."""

    name = "excel"
    title = "Excel"
    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm")
    path: Annotated[str, Option(is_path=True)] = Field(description="A workbook, .xlsx or .xlsm.")
    sheet: str | None = Field(default=None, description="The sheet. Default: the only one that is not hidden.")
    header_row: int | None = Field(
        default=None, ge=1, description="The row that names the columns; rows above it are left out."
    )
    no_header: bool = Field(
        default=False, description="The first row is data; columns are called column_1, column_2, ..."
    )

    @property
    def place(self) -> str:
        return self.path

    def state(self, report: Callable[[float], None]) -> State:
        """The file by its digest."""
        _calamine()
        if self.no_header and self.header_row is not None:
            raise SourceError("--no-header and --header-row contradict each other")
        file = self._file()
        total, read = max(file.stat().st_size, 1), 0

        def hashed(num_bytes: int) -> None:
            nonlocal read
            read += num_bytes
            report(read / total)

        return State([file_digest(file, hashed)], is_content=True)

    @contextlib.contextmanager
    def opened(self, reading: Reading) -> Iterator[Sequence[Part]]:
        """One part, the sheet."""
        file = self._file()
        before = file.stat()
        with _workbook(file) as workbook:
            name = self._sheet_of(workbook)
            sheet = workbook.get_sheet_by_name(name)
            label = f"{file}, sheet '{name}'"
            check_cells(file, name, label, tick=lambda: reading.tick(0.0, 0))
            table = _Table(sheet, label, self.header_row, self.no_header)
            table.look(tick=lambda: reading.tick(0.0, 0))
            yield [batches_part(label, table.schema, table.batches, reading, table.num_rows)]
        if (file.stat().st_size, file.stat().st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise SourceError(f"'{file}' changed while it was read; nothing was registered", "run the command again")

    def _file(self) -> Path:
        file = Path(self.path).expanduser()
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "there is no file"
            raise SourceError(
                f"{what} '{self.path}'" if not file.is_dir() else f"'{self.path}' {what}",
                "expected one workbook, .xlsx",
            )
        with file.open("rb") as stream:
            head = stream.read(4)
        if head == _OLD_HEAD:
            raise SourceError(
                f"'{file}' is a workbook of an old kind, or one with a password", "save it as .xlsx without a password"
            )
        if not head.startswith(b"PK"):
            raise SourceError(f"'{file}' is no workbook", "use `datasource create csv` for text")
        if file.suffix.lower() not in self.suffixes:
            raise SourceError(
                f"'{file}' is no workbook by its name", f"expected a name ending in {' or '.join(self.suffixes)}"
            )
        return file

    def _sheet_of(self, workbook: CalamineWorkbook) -> str:
        visible = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if str(sheet.visible).endswith(".Visible") and str(sheet.typ).endswith(".WorkSheet")
        ]
        if self.sheet is not None:
            if self.sheet not in workbook.sheet_names:
                raise SourceError(
                    f"'{self.path}' has no sheet '{self.sheet}'",
                    *near_miss(self.sheet, workbook.sheet_names),
                    f"its sheets: {', '.join(workbook.sheet_names)}",
                )
            return self.sheet
        if len(visible) != 1:
            raise SourceError(
                f"'{self.path}' has {len(visible)} sheets: {', '.join(visible or workbook.sheet_names)}",
                "say which: --sheet NAME",
            )
        return str(visible[0])


def _calamine() -> ModuleType:
    """The package that reads workbooks. Raises SourceError where it is not installed."""
    try:
        import python_calamine
    except ImportError:
        raise SourceError("workbooks of Excel need a package that is not installed", install_command("excel")) from None
    return python_calamine


@contextlib.contextmanager
def _workbook(file: Path) -> Iterator[CalamineWorkbook]:
    python_calamine = _calamine()
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(str(file))
    except (python_calamine.CalamineError, OSError) as error:
        raise SourceError(
            f"'{file}' cannot be read as a workbook: {str(error).splitlines()[0]}", "open and save it again in Excel"
        ) from None
    try:
        yield workbook
    finally:
        workbook.close()


class _Table:
    """The rows of a sheet: looked through once for what its columns hold, and then read."""

    def __init__(self, sheet: CalamineSheet, label: str, header_row: int | None, no_header: bool) -> None:
        self.sheet = sheet
        self.label = label
        self.header_row = header_row
        self.no_header = no_header
        self.headers: list[str] = []
        self.num_rows = 0
        self.first_data_row = 1
        self._kinds: list[dict[str, tuple[int, Any]]] = []

    def look(self, tick: Callable[[], None]) -> None:
        """Finds header and kinds. Raises SourceError for cells that make no table."""
        header = next(
            (
                (number, row)
                for number, row in self._rows()
                if number == self.header_row or (self.header_row is None and _holds(row))
            ),
            None,
        )
        if header is None:
            raise SourceError(
                f"{self.label} holds no rows"
                if self.header_row is None
                else f"{self.label} has no row {self.header_row}"
            )
        number, row = header
        width = len(row)
        self.first_data_row = number if self.no_header else number + 1
        self._check_merged(number)
        self._kinds = [{} for _ in range(width)]
        for number, cells in self._data():
            self.num_rows += 1
            if self.num_rows % BATCH_ROWS == 0:
                tick()
            for place, value in enumerate(cells):
                kind = _kind_of(value)
                if kind is not None:
                    self._kinds[place].setdefault(kind, (number, value))
        headers = [""] * width if self.no_header else [_text(value) for value in row]
        # Columns without a name and without a value are the sheet's margin.
        while headers and not headers[-1].strip() and not self._kinds[len(headers) - 1]:
            headers.pop()
        self.headers = [header.strip() or f"column_{place}" for place, header in enumerate(headers, start=1)]
        twice = next((header for place, header in enumerate(self.headers) if header in self.headers[:place]), None)
        if twice is not None:
            raise SourceError(f"{self.label} has two columns named '{twice}'", "rename one of them")
        margin = (self.sheet.start or (0, 0))[1]  # columns left of the table are not among a row's cells
        self._types = [
            _type_of(self._kinds[place], place + margin, header, self.label)
            for place, header in enumerate(self.headers)
        ]

    @property
    def schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(list(zip(self.headers, self._types, strict=True)))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, some thousands at a time."""
        import pyarrow as pa

        held: list[Row] = []
        convert = [_converter(kind) for kind in self._types]

        def batch() -> pa.RecordBatch:
            columns = [
                [None if value == "" else turn(value) for value in values]
                for turn, values in zip(convert, _columns(held, len(convert)), strict=True)
            ]
            return pa.record_batch(
                [pa.array(values, kind) for values, kind in zip(columns, self._types, strict=True)], schema=self.schema
            )

        for _, row in self._data():
            held.append(row)
            if len(held) == BATCH_ROWS:
                yield batch()
                held = []
        if held:
            yield batch()

    def _rows(self) -> Iterator[tuple[int, Row]]:
        """Each row with its number as Excel counts."""
        yield from enumerate(self.sheet.iter_rows(), start=1)

    def _data(self) -> Iterator[tuple[int, Row]]:
        """The rows of data; those without any value are none."""
        return ((number, row) for number, row in self._rows() if number >= self.first_data_row and _holds(row))

    def _check_merged(self, header_row: int) -> None:
        for (first_row, first_column), (last_row, last_column) in self.sheet.merged_cell_ranges or ():
            if last_row + 1 >= header_row:
                cells = f"{cell_name(first_row + 1, first_column)}:{cell_name(last_row + 1, last_column)}"
                raise SourceError(
                    f"{self.label}: the cells {cells} are merged, only the first of them has a value",
                    "take the merging back, or name the row of the header below it: --header-row N",
                )


def _holds(row: Row) -> bool:
    return any(value != "" for value in row)


def _columns(rows: list[Row], width: int) -> list[list[Any]]:
    return [[row[place] if place < len(row) else "" for row in rows] for place in range(width)]


def _kind_of(value: object) -> str | None:
    """What a cell holds, None for nothing."""
    if isinstance(value, str):
        return "text" if value != "" else None
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "whole number" if float(value).is_integer() and abs(value) <= _LARGEST_WHOLE else "number"
    if isinstance(value, datetime.datetime):
        return "time"
    if isinstance(value, datetime.date):
        return "day"
    return "time of day" if isinstance(value, datetime.time) else "duration"


def _type_of(kinds: dict[str, tuple[int, Any]], place: int, header: str, label: str) -> pa.DataType:
    """The type of a column that holds these kinds, each with its first cell. Raises SourceError for kinds that have none in common."""
    import pyarrow as pa

    found = set(kinds)
    for known, kind in (
        ({"whole number"}, pa.int64()),
        ({"whole number", "number"}, pa.float64()),
        ({"truth"}, pa.bool_()),
        ({"day"}, pa.date32()),
        ({"day", "time"}, pa.timestamp("us")),
        ({"time of day"}, pa.time64("us")),
        ({"duration"}, pa.float64()),
        ({"text", "whole number", "number", "truth"}, pa.string()),
    ):
        if found and found <= known:
            return kind
    if not found:
        return pa.string()
    shown = ", ".join(
        f"{kind} in {cell_name(row, place)} ({_text(value)})"
        for kind, (row, value) in sorted(kinds.items(), key=lambda k: k[1][0])
    )
    raise SourceError(
        f"{label}: column '{header}' holds cells of several kinds: {shown}", "give them one format in Excel"
    )


def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    import pyarrow as pa

    if pa.types.is_string(kind):
        return _text
    if pa.types.is_integer(kind):
        return int
    if pa.types.is_floating(kind):
        return lambda value: value.total_seconds() if isinstance(value, datetime.timedelta) else float(value)
    if pa.types.is_timestamp(kind):
        return lambda value: (
            value if isinstance(value, datetime.datetime) else datetime.datetime(value.year, value.month, value.day)
        )
    return lambda value: value


def _text(value: object) -> str:
    """A cell as a text, numbers as Excel writes them."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= _LARGEST_WHOLE else repr(value)
    return str(value)
