"""What looks wrong in a table that was read without an error: one line for each kind, told when it is registered.

The first rows are looked at; only columns that stand out there are read from end to end, in one query.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cengine.datasources.register import Snapshot
from cengine.engines.duckdb import DuckDB
from cengine.expressions.build import identifier
from cengine.store.project import Project
from cengine.tables import Column

HEAD_ROWS = 20_000
# Of fewer rows nothing is said that chance could make: every cell differs, or none does.
FEW_ROWS = 20
NUM_SHOWN = 4
MEMORY_BYTES = 2**29
# Up to so many cells that are none, a text column is one of numbers gone wrong.
MOST_MISFITS = 0.1
_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_COMMA_NUMBER = r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+"
_FOOTER = re.compile(
    r"(grand\s+|sub)?(total|totals|sum|summe|gesamt|insgesamt|average|mean|somme|totale)\b.*", re.IGNORECASE
)


@dataclass(frozen=True)
class Misfits:
    """Cells of a text column that are no numbers: how many, the first one with its row (counted from 1), and whether all are equal."""

    name: str
    num: int
    first: str
    row: int
    alike: bool


def notices(project: Project, snapshot: Snapshot, kind: str) -> list[str]:
    """A line for each thing that looks wrong in a snapshot; `kind` is its source's type. Tables that stay elsewhere are not read."""
    if not snapshot.is_here or not snapshot.files or snapshot.schema.num_rows == 0:
        return []
    head = _head(snapshot)
    headers = {name: header for header, name in snapshot.renamed.items()}
    texts = [known.name for known in snapshot.schema.columns if known.kind == "string"]
    numbers = [
        name for name in texts if _share(head[name], _NUMBER) >= 1 - 2 * MOST_MISFITS and not _has_codes(head[name])
    ]
    constant = [
        known.name
        for known in snapshot.schema.columns
        if snapshot.schema.num_rows >= FEW_ROWS and _may_be_constant(known, head)
    ]
    distinct = [name for name in texts if name not in numbers and head.num_rows >= FEW_ROWS and _all_differ(head[name])]
    found = _whole(project, snapshot, numbers, constant, distinct)
    misfits = [_misfits(name, place, found) for place, name in enumerate(numbers)]
    misfits = [one for one in misfits if 0 < one.num <= max(1, MOST_MISFITS * snapshot.schema.num_rows)]
    lines: list[str] = []
    if kind in ("csv", "excel"):
        lines += _header_lines(snapshot, head, headers, misfits)
    lines += _footer_lines(snapshot, misfits)
    lines += _number_lines(snapshot, head, texts, misfits)
    lines += _listed(
        "holds one value only and tells a model nothing",
        "hold one value only and tell a model nothing",
        [name for place, name in enumerate(constant) if found[f"same_{place}"]],
    )
    lines += _listed(
        "has another text in every row: as a feature it could only be learnt by heart",
        "have another text in every row: as features they could only be learnt by heart",
        [
            name
            for place, name in enumerate(distinct)
            if found[f"distinct_{place}"] >= _nearly(snapshot.schema.num_rows)
        ],
    )
    return lines


def _nearly(num_rows: int) -> float:
    """The distinct values of a column in which every row differs, which are estimated, a few per cent off."""
    return 0.9 * num_rows


def _head(snapshot: Snapshot) -> pa.Table:
    """The first rows, without identities."""
    with pq.ParquetFile(snapshot.files[0]) as file:
        batches = file.iter_batches(batch_size=HEAD_ROWS, columns=list(snapshot.schema.names))
        return pa.Table.from_batches([next(batches)])


def _last_row(snapshot: Snapshot) -> dict[str, Any]:
    with pq.ParquetFile(snapshot.files[-1]) as file:
        group = file.read_row_group(file.num_row_groups - 1, columns=list(snapshot.schema.names))
        return dict(group.slice(group.num_rows - 1).to_pylist()[0])


def _matches(cells: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(cells, rf"^\s*({pattern})\s*$")


def _share(cells: pa.ChunkedArray, pattern: str) -> float:
    """How many of the cells that are not null read so."""
    num = len(cells) - cells.null_count
    return pc.sum(_matches(cells, pattern)).as_py() / num if num else 0.0


def _has_codes(cells: pa.ChunkedArray) -> bool:
    """Whether digits with leading zeros are among them: such a column is text on purpose."""
    return bool(pc.any(pc.match_substring_regex(cells, r"^\s*0\d")).as_py())


def _may_be_constant(known: Column, head: pa.Table) -> bool:
    if known.kind is None:
        return False
    if known.minimum is not None and known.minimum != known.maximum:
        return False
    return len(pc.unique(head[known.name])) == 1


def _all_differ(cells: pa.ChunkedArray) -> bool:
    return cells.null_count == 0 and len(pc.unique(cells)) == len(cells)


def _whole(
    project: Project, snapshot: Snapshot, numbers: Sequence[str], constant: Sequence[str], distinct: Sequence[str]
) -> dict[str, Any]:
    """What all rows say of the columns that stand out."""
    outputs = []
    for place, name in enumerate(numbers):
        cell = identifier(name)
        misfit = f"FILTER (WHERE NOT regexp_full_match(trim({cell}), '{_NUMBER}'))"
        outputs += [
            f"COUNT(*) {misfit} AS num_{place}",
            f"ARG_MIN({cell}, file_row_number) {misfit} AS first_{place}",
            f"MIN(file_row_number) {misfit} AS row_{place}",
            f"MIN({cell}) {misfit} = MAX({cell}) {misfit} AS alike_{place}",
        ]
    for place, name in enumerate(constant):
        cell = identifier(name)
        outputs.append(f"COUNT({cell}) = 0 OR (COUNT({cell}) = COUNT(*) AND MIN({cell}) = MAX({cell})) AS same_{place}")
    outputs += [f"APPROX_COUNT_DISTINCT({identifier(name)}) AS distinct_{place}" for place, name in enumerate(distinct)]
    if not outputs:
        return {}
    with DuckDB(project.scratch, memory_bytes=MEMORY_BYTES, folders=project.table_folders) as engine:
        scan = engine.parquet(snapshot.files).sql("duckdb")
        return dict(engine.fetch_rows(f"SELECT {', '.join(outputs)} FROM {scan}")[0])


def _misfits(name: str, place: int, found: dict[str, Any]) -> Misfits:
    num = found[f"num_{place}"]
    return Misfits(
        name, num, found[f"first_{place}"] or "", (found[f"row_{place}"] or 0) + 1, bool(found[f"alike_{place}"])
    )


# What is said


def _header_lines(
    snapshot: Snapshot, head: pa.Table, headers: dict[str, str], misfits: Sequence[Misfits]
) -> Iterable[str]:
    """The header is a row of data, or stands in the data once more."""
    spelled = {known.name: headers.get(known.name, known.name).strip() for known in snapshot.schema.columns}
    again = _same_as(head, spelled)
    if _is_data(snapshot.schema.columns, head, spelled, pc.sum(again).as_py() or 0):
        shown = ", ".join(list(spelled.values())[:NUM_SHOWN]) + (", ..." if len(spelled) > NUM_SHOWN else "")
        yield f"the header looks like a row of data ({shown}): if the file has no header, say --no-header"
        return
    if num := pc.sum(again).as_py() or 0:
        row = pc.index(again, True).as_py() + 1
        times = "once more" if num == 1 else f"{num:,} times more"
        where = " within the first rows" if snapshot.schema.num_rows > HEAD_ROWS else ""
        yield f"the header stands in the data {times}{where}, first in row {row:,}: columns of numbers are read as text; take these rows out"
        return
    early = [one for one in misfits if one.row == 1 and one.num == 1]
    if early:
        yield (
            f"the first row looks like a second header ({_quoted(early)}), which makes {_columns([one.name for one in early])} text: "
            "take it out, or say --header-row if it names the columns"
        )


def _same_as(head: pa.Table, spelled: dict[str, str]) -> pa.ChunkedArray:
    """Which of the first rows are the header once more; none where a column holds no texts."""
    texts = all(pa.types.is_string(head[name].type) for name in spelled)
    again = pa.chunked_array([pa.repeat(texts, head.num_rows)])
    for name, header in spelled.items() if texts else ():
        again = pc.and_(again, _equal(head[name], header))
    return again


def _equal(cells: pa.ChunkedArray, text: str) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(cells), text), False)


def _is_data(columns: Sequence[Column], head: pa.Table, spelled: dict[str, str], num_again: int) -> bool:
    """Whether the header is a row of data: numbers over columns of numbers, or words that their columns are made of."""
    numeric = [spelled[known.name] for known in columns if known.kind in ("integer", "float")]
    as_numbers = [header for header in numeric if re.fullmatch(_NUMBER, header)]
    # Tables of years or bins have numbers for headers, which grow.
    values = [float(header) for header in as_numbers]
    series = len(values) >= 3 and all(low < high for low, high in itertools.pairwise(values))
    if as_numbers and 2 * len(as_numbers) >= len(numeric) and not series:
        return True
    if len(columns) < 2 or any(known.kind != "string" for known in columns):
        return False
    again: list[int] = [pc.sum(_equal(head[name], header)).as_py() for name, header in spelled.items()]
    return min(again) > num_again


def _footer_lines(snapshot: Snapshot, misfits: Sequence[Misfits]) -> Iterable[str]:
    """The last row is no row of the table."""
    num_rows = snapshot.schema.num_rows
    if num_rows < FEW_ROWS:
        return
    last = _last_row(snapshot)
    named = next(
        (value for value in last.values() if isinstance(value, str) and _FOOTER.fullmatch(value.strip())), None
    )
    alone = [known.name for known in snapshot.schema.columns if known.num_nulls == 1 and last[known.name] is None]
    only = [one for one in misfits if one.num == 1 and one.row == num_rows and len(snapshot.files) == 1]
    first = next((value for value in last.values() if value is not None), "")
    if (named is not None and (alone or only)) or 2 * len(alone) >= len(last) > 1 or only:
        yield f"the last row looks like a footer ({_cell(named if named is not None else only[0].first if only else first)}): take it out"


def _number_lines(
    snapshot: Snapshot, head: pa.Table, texts: Sequence[str], misfits: Sequence[Misfits]
) -> Iterable[str]:
    """Text columns that are numbers but for some cells, or written with a comma."""
    last = snapshot.schema.num_rows
    for one in [one for one in misfits if not (one.num == 1 and one.row in (1, last))][:NUM_SHOWN]:
        place = f" in row {one.row:,}" if len(snapshot.files) == 1 else ""
        first = f"{_cell(one.first)}{place}" if one.num == 1 else f"first {_cell(one.first)}{place}"
        mend = f"; if it means null: --null {_shell(one.first)}" if one.alike else ""
        yield f"column '{one.name}' is text, but all its cells are numbers except {one.num:,}, {first}{mend}"
    if (more := len(misfits) - NUM_SHOWN) > 0:
        yield f"... and so are {more:,} more columns"
    commas = [name for name in texts if head.num_rows > 1 and _has_commas(head[name])]
    if commas:
        text = "is text, but all its cells" if len(commas) == 1 else "are text, but all their cells"
        yield f"{_columns(commas)} {text} look like numbers with a decimal comma: --decimal , (and --thousands .)"


def _has_commas(cells: pa.ChunkedArray) -> bool:
    return _share(cells, _COMMA_NUMBER) > 0 and _share(cells, f"({_COMMA_NUMBER})|({_NUMBER})") == 1


def _listed(one: str, several: str, names: Sequence[str]) -> Iterable[str]:
    if names:
        yield f"{_columns(names)} {one if len(names) == 1 else several}"


def _columns(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"column '{names[0]}'"
    shown = ", ".join(f"'{name}'" for name in names[:NUM_SHOWN])
    return f"{len(names):,} columns ({shown}{', ...' if len(names) > NUM_SHOWN else ''})"


def _quoted(misfits: Sequence[Misfits]) -> str:
    return ", ".join(_cell(one.first) for one in misfits[:NUM_SHOWN]) + (", ..." if len(misfits) > NUM_SHOWN else "")


def _cell(value: object) -> str:
    text = str(value).strip()
    return f"'{text[:40]}{'...' if len(text) > 40 else ''}'"


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(text)
