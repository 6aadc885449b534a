"""Types of columns whose cells come as texts, settled by all cells of the table.

A sample proposes a kind for each column. The query that writes the rows proves that each cell reads back as its text, and says so in
the rows' identities: a row with a cell that does not has a negative one, whose bits tell the columns. So the least identity
in a file's own statistics tells at no cost that all is proved. Where it is not, the columns in question are read once more as texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from cengine.engines.duckdb import DuckDB
from cengine.errors import SourceError
from cengine.expressions.build import identifier
from cengine.expressions.duckdb_keys import CELL, PLACE
from cengine.sources.cells import (
    DAY_FIRST,
    MONTH_FIRST,
    Kind,
    Spelling,
    declared_kind,
    is_ambiguous,
    is_numbered,
    order_of,
)
from cengine.sources.source import Part
from cengine.tables import ROW_ID, kind_of

NUM_BITS = 62
NUM_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Seen:
    """Cells of a class: how many, and the first one with its part and row."""

    num_cells: int
    text: str
    part: int
    row: int


@dataclass
class Settling:
    """The columns, by name, whose cells come as texts; `classes` are those that were seen of each, in a sample or in the whole table."""

    spelling: Spelling
    classes: dict[str, frozenset[str]]
    declared: dict[str, str] = field(default_factory=dict)
    """The kinds that the user has named."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    whole: dict[str, dict[str, Seen]] = field(default_factory=dict)
    """What was found in the whole table of columns whose sample did not show enough."""

    @staticmethod
    def of(parts: Sequence[Part], names: Sequence[Sequence[str]]) -> Settling:
        """What the samples of all parts say together; a column that is no text in some part is left out."""
        found: dict[str, frozenset[str]] = {}
        others: set[str] = set()
        spelling, declared = Spelling(), dict[str, str]()
        for part, called in zip(parts, names, strict=True):
            for (header, _), name in zip(part.columns, called, strict=True):
                if part.classes is None or header not in part.classes:
                    others.add(name)
                else:
                    found[name] = found.get(name, frozenset()) | part.classes[header]
                    declared |= {name: part.declared[header]} if header in part.declared else {}
            spelling = part.spelling or spelling
        alike = {name: classes for name, classes in found.items() if name not in others}
        settling = Settling(spelling, alike, declared)
        settling.settle()
        return settling

    def settle(self) -> None:
        """Gives each column the kind that its classes say."""
        seen = order_of(self.classes.values())
        order = seen or _order_of_format(self.spelling.date_format) or MONTH_FIRST
        self.kinds = {name: self.spelling.kind_of(classes, order) for name, classes in self.classes.items()}
        self.kinds |= {
            name: declared_kind(kind, self.kinds[name]) for name, kind in self.declared.items() if name in self.kinds
        }

    def type_of(self, name: str) -> str:
        return self.kinds[name].sql_type

    # SQL

    def value(self, name: str, text: str) -> str:
        """SQL for the value of a cell whose text is the SQL `text`."""
        return self.spelling.value(text, self.kinds[name])

    def misfits(self, texts: Mapping[str, str], values: Mapping[str, str]) -> str:
        """SQL for a number that is 0 where all cells of a row are proved, of their texts and values in SQL; other bits tell the columns."""
        bits = []
        for bit, names in enumerate(_groups(list(texts))):
            right = [
                f"({texts[name]} IS NULL OR {self.spelling.fits(texts[name], values[name], self.kinds[name], self.classes[name])})"
                for name in names
                if self.kinds[name].admits is not None
            ]
            if right:
                bits.append(f"CASE WHEN {' AND '.join(right)} THEN 0 ELSE CAST({1 << bit} AS BIGINT) END")
        return " + ".join(bits) or "CAST(0 AS BIGINT)"

    def surely_right(self, texts: Mapping[str, str], values: Mapping[str, str]) -> str:
        """SQL that is true for most rows whose cells are all proved, and for no others.

        It is to be a column, not a condition: there DuckDB may evaluate the expensive parts first.
        """
        kinds = {name: self.kinds[name] for name in texts if self.kinds[name].admits is not None}
        floats = {texts[name]: values[name] for name, kind in kinds.items() if kind.name == "float"}
        found = [
            self.spelling.surely_fits(texts[name], values[name], kind, self.classes[name])
            for name, kind in kinds.items()
            if kind.name != "float"
        ]
        found += [self.spelling.surely_numbers(floats)] if floats else []
        return " AND ".join(found) or "TRUE"

    def misfits_of_texts(self, texts: Mapping[str, str]) -> str:
        """The number of `misfits`, from the texts alone, as expressions over lists of cells: DuckDB plans thousands of terms slowly."""
        alike: dict[str, list[tuple[str, int]]] = {}
        for bit, names in enumerate(_groups(list(texts))):
            for name in names:
                kind = self.kinds[name]
                if kind.admits is not None:
                    fits = self.spelling.fits(CELL, self.spelling.value(CELL, kind), kind, self.classes[name])
                    alike.setdefault(fits, []).append((texts[name], 1 << bit))
        found = [
            f"LIST_AGGREGATE(LIST_TRANSFORM([{', '.join(text for text, _ in cells)}], LAMBDA {CELL}, {PLACE}: "
            f"CASE WHEN {CELL} IS NULL OR {fits} THEN 0 ELSE CAST([{', '.join(str(bit) for _, bit in cells)}] AS BIGINT[])[{PLACE}] END), 'bit_or')"
            for fits, cells in alike.items()
        ]
        return " | ".join(found) or "CAST(0 AS BIGINT)"

    # Proof

    def suspects(self, engine: DuckDB, file: Path, names: Sequence[str]) -> set[str]:
        """The columns among which are those with cells that are not proved; `names` are those whose misfits the file tells."""
        if _least_identity(file) >= 0:
            return set()
        found = engine.fetch(
            f'SELECT BIT_OR(-1 - "{ROW_ID}") AS bits FROM {engine.parquet([file]).sql("duckdb")} WHERE "{ROW_ID}" < 0'
        )
        bits = found["bits"][0].as_py()
        wrong = {name for bit, group in enumerate(_groups(list(names))) if bits >> bit & 1 for name in group}
        if any(map(is_numbered, (one for name in wrong for one in self.classes[name]))):
            # They share one order.
            wrong |= {name for name, classes in self.classes.items() if any(map(is_numbered, classes))}
        return wrong

    def look(self, engine: DuckDB, file: Path, part: int, names: Sequence[str]) -> None:
        """Takes in what a file with the texts of these columns holds."""
        scan = engine.parquet([file]).sql("duckdb")
        for name in names:
            rows = engine.fetch(self._query_of_classes(identifier(name), scan)).to_pylist()
            known = self.whole.setdefault(name, {})
            for row in rows:
                before = known.get(row["class"])
                known[row["class"]] = Seen(
                    int(row["n"]) + (before.num_cells if before else 0),
                    *((before.text, before.part, before.row) if before else (row["cell"], part, row["place"])),
                )

    def _query_of_classes(self, text: str, scan: str) -> str:
        """The classes of a column's texts, each with the number of its cells and the first of them."""
        return f"""
            SELECT class, SUM(n) AS n, MIN(place) AS place, ARG_MIN(cell, place) AS cell FROM (
                SELECT cell, n, place, {self.spelling.class_of("cell")} AS class FROM (
                    SELECT {text} AS cell, COUNT(*) AS n, MIN(file_row_number) AS place FROM {scan} WHERE {text} IS NOT NULL GROUP BY 1
                )
            ) GROUP BY class
        """

    def settle_wholly(self) -> dict[str, str]:
        """Settles the columns that were looked at by all their cells; gives for each whose type the sample had wrong what the reason is."""
        before = dict(self.kinds)
        self.classes |= {name: frozenset(found) for name, found in self.whole.items()}
        self.settle()
        return {
            name: before[name].name
            for name in self.whole
            if before[name].sql_type != self.kinds[name].sql_type
            and before[name].admits is not None
            and not (before[name].name == "undecided" and self.kinds[name].sql_type == "VARCHAR")
        }

    # Words

    def check_declared(self, parts: Sequence[Part]) -> None:
        """Raises SourceError for a column with cells that the kind that the user has named does not hold."""
        for name, kind in self.declared.items():
            wrong = [seen for one, seen in self.whole.get(name, {}).items() if not self.kinds[name].holds(one)]
            if wrong:
                count, (text, place) = sum(seen.num_cells for seen in wrong), self._first(wrong, parts)
                raise SourceError(
                    f"column '{name}' is no {kind} as --type says: {count:,} {'cell is' if count == 1 else 'cells are'} none, "
                    f"first {text} at {place}",
                    "mend the cells, leave --type out, or say --null WORD for a word that means null",
                )

    def _first(self, cells: Sequence[Seen], parts: Sequence[Part]) -> tuple[str, str]:
        """The first of these cells, and its place, as texts for people."""
        first = min(cells, key=lambda seen: (parts[seen.part].label, seen.row))
        part = parts[first.part]
        line = part.line(first.row, first.text) if part.line is not None else None
        place = f"line {line:,}" if line is not None else f"row {first.row + 1:,}"
        return _shown(first.text), place + (
            f" of {part.label.rstrip('/').rpartition('/')[2]}" if len(parts) > 1 else ""
        )

    def reason(self, name: str, before: Kind, parts: Sequence[Part]) -> str:
        """A sentence on the type of a column that a sample had shown to be another."""
        new = [seen for one, seen in self.whole[name].items() if not before.holds(one)] or list(
            self.whole[name].values()
        )
        count = sum(seen.num_cells for seen in new)
        text, place = self._first(new, parts)
        return f"{name}: {_word(self.kinds[name])}, because of {count:,} {'cell' if count == 1 else 'cells'}, first {text} at {place}"

    def ambiguous(self, engine: DuckDB, files: Sequence[Path]) -> list[str]:
        """Sentences on columns of dates whose day and month may change places in every cell."""
        said = []
        for name, kind in self.kinds.items():
            if kind.order is None or not is_ambiguous(self.classes[name]):
                continue
            day = f"MAX(DAY({identifier(name)}))"
            if engine.fetch(f"SELECT {day} AS day FROM {engine.parquet(files).sql('duckdb')}")["day"][0].as_py() > 12:
                continue
            other = DAY_FIRST if kind.order == MONTH_FIRST else MONTH_FIRST
            said.append(
                f"{name}: dates are read {kind.order}; {other} fits every one of them, too: "
                f"--date-format '{'%d/%m/%Y' if other == DAY_FIRST else '%m/%d/%Y'}' would say so"
            )
        return said


def _groups(names: Sequence[str]) -> list[Sequence[str]]:
    """At most as many groups of columns as a number has bits."""
    size = -(-len(names) // NUM_BITS) or 1
    return [names[start : start + size] for start in range(0, len(names), size)]


def _least_identity(file: Path) -> int:
    """The least identity of a file's rows, by its own statistics."""
    metadata: pq.FileMetaData = pq.ParquetFile(file).metadata
    if metadata.num_rows == 0:
        return 0
    index = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == ROW_ID)
    return min(int(metadata.row_group(group).column(index).statistics.min) for group in range(metadata.num_row_groups))


def _order_of_format(date_format: str | None) -> str | None:
    if date_format is None or "%d" not in date_format or "%m" not in date_format:
        return None
    return DAY_FIRST if date_format.index("%d") < date_format.index("%m") else MONTH_FIRST


def _word(kind: Kind) -> str:
    return kind_of(kind.sql_type) or kind.name


def _shown(text: str) -> str:
    """A cell for people, on one line."""
    text = text if len(text) <= NUM_SHOWN_CHARACTERS else text[: NUM_SHOWN_CHARACTERS - 3] + "..."
    return f"`{text}`" if text.isprintable() else f"`{ascii(text)[1:-1]}`"
