"""Every node that a filter may hold has one meaning: the same value on every engine, row by row, and the one that DuckDB gives.

`filters_tried.py` has the expressions and the rows at the edges. An allowed node without a case fails here.
"""

from __future__ import annotations

import decimal
import math
import zlib

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines_tried import ENGINES, opened
from filters_tried import OTHERWISE, READ_AS_ANOTHER, REFUSED, TABLE, TRIED
from sqlglot import ErrorLevel, exp

from cengine.errors import PreprocessError
from cengine.expressions import filters
from cengine.expressions.build import column
from cengine.expressions.dialects import RULES, render
from cengine.expressions.filters import NotAFilter, parse_filter, with_columns
from cengine.expressions.meanings import MEANINGS, NO_MEANING_ALONE, meant
from cengine.tables import Column, TableSchema, kind_of

TEXTS = [text for texts in TRIED.values() for text in texts]
# Engines take their functions of the exponential family from other libraries.
TOLERANCE = 1e-12
# As many to a query: a longer one Spark compiles for minutes.
CHUNK = 60
DIALECTS = ("duckdb", *RULES)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    found = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(TABLE, found)
    return found


@pytest.fixture(scope="module")
def schema(file):
    described = duckdb.connect().execute(f"DESCRIBE SELECT * FROM read_parquet('{file}')").fetchall()
    return TableSchema(tuple(Column(name, kind, kind_of(kind)) for name, kind, *_ in described), TABLE.num_rows)


@pytest.fixture(scope="module")
def trees(schema):
    return {text: meaning(text, schema) for text in TEXTS}


def meaning(text, schema):
    return meant(with_columns(parse_filter(text), schema.names), schema)


def values(engine, file, trees, texts):
    """The values of expressions, text by text, in the order of the rows."""
    found = {}
    size = CHUNK if engine.name != "spark" else CHUNK // 6
    for start in range(0, len(texts), size):
        chunk = texts[start : start + size]
        cells = [trees[text].copy().as_(f"c{place}", quoted=True) for place, text in enumerate(chunk)]
        rows = engine.fetch(exp.select(*cells, column("row")).from_(engine.parquet([file])).order_by(column("row")))
        found |= {text: [plain(cell) for cell in rows[f"c{place}"].to_pylist()] for place, text in enumerate(chunk)}
    return found


@pytest.fixture(scope="module")
def expected(file, trees, tmp_path_factory):
    """What DuckDB gives."""
    with opened("duckdb", tmp_path_factory.mktemp("scratch"), None) as engine:
        return values(engine, file, trees, TEXTS)


def plain(cell):
    return float(cell) if isinstance(cell, decimal.Decimal) else cell


def same(one, other):
    if isinstance(one, float) or isinstance(other, float):
        if one is None or other is None:
            return one is other
        return (math.isnan(one) and math.isnan(other)) or one == other or math.isclose(one, other, rel_tol=TOLERANCE)
    return one == other


def unlike(found, expected):
    """The expressions whose values differ, with the first row where they do."""
    differing = {}
    for text, cells in found.items():
        assert len(cells) == len(expected[text]) == TABLE.num_rows
        rows = [row for row, (one, other) in enumerate(zip(cells, expected[text], strict=True)) if not same(one, other)]
        if rows:
            differing[text] = {"row": rows[0], "here": cells[rows[0]], "expected": expected[text][rows[0]]}
    return differing


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_gives_the_same_value_in_every_row(name, file, trees, expected, tmp_path, request) -> None:
    """One session each, all expressions as columns of few queries."""
    # BigQuery's queries are read again, which tells more of dialects than of numbers; Spark plans each of them for a second.
    every = {"bigquery": 3, "spark": 12}.get(name, 1)
    texts = [text for text in TEXTS if zlib.crc32(text.encode()) % every == 0]
    # So many conditions are sooner worked out than compiled.
    interpreted = (("spark.sql.codegen.wholeStage", "false"), ("spark.sql.codegen.factoryMode", "NO_CODEGEN"))
    with opened(name, tmp_path / "scratch", request, interpreted) as engine:
        assert unlike(values(engine, file, trees, texts), expected) == {}


def test_the_value_is_what_duckdb_answers_to_the_text_as_it_is(file, expected) -> None:
    """But for what is surprising of DuckDB; `docs/engines.md` lists it."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    asked = {}
    for text in TEXTS:
        if text not in OTHERWISE:
            answer = connection.sql(f"SELECT {text} AS cell FROM read_parquet('{file}')").to_arrow_table()["cell"]
            asked[text] = [plain(cell) for cell in answer.to_pylist()]
    assert unlike(asked, expected) == {}


def test_what_is_listed_as_otherwise_is(file, expected) -> None:
    """An entry that is true no longer is taken out."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for text in OTHERWISE:
        try:
            answer = (
                connection.sql(f"SELECT {text} AS cell FROM read_parquet('{file}')")
                .to_arrow_table()["cell"]
                .to_pylist()
            )
        except (duckdb.Error, OverflowError):  # overflows of narrow types; a year before the first
            continue
        assert any(not same(plain(one), other) for one, other in zip(answer, expected[text], strict=True)), text


def test_every_allowed_node_has_a_case() -> None:
    """A node that is allowed from now on gets a meaning, and expressions that try it."""
    allowed = set(getattr(filters, "NODES", ()) or filters._ALLOWED)
    assert allowed - set(MEANINGS) - set(NO_MEANING_ALONE) == set(), "has no meaning"
    tried = {kind for kind in TRIED if TRIED[kind]}
    refused = {kind for kind, _, _ in REFUSED}
    without = allowed - set(NO_MEANING_ALONE) - tried - refused - READ_AS_ANOTHER
    assert without == set(), "has no expression in filters_tried.py"


@pytest.mark.parametrize("kind", [kind for kind in TRIED if TRIED[kind]], ids=lambda kind: kind.__name__)
def test_each_case_holds_the_node_it_is_there_for(kind) -> None:
    assert all(parse_filter(text).find(kind) for text in TRIED[kind])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_words_for_it(dialect, trees) -> None:
    for tree in trees.values():
        assert render(exp.select(tree.copy().as_("c")), dialect)


def test_the_expressions_tell_rows_apart(expected) -> None:
    """Values that are the same in all rows would show nothing."""
    told_apart = [text for text, cells in expected.items() if len({str(cell) for cell in cells}) > 1]
    assert len(told_apart) > 0.9 * len(TEXTS)
    assert len(TEXTS) > 400


@pytest.mark.parametrize(("kind", "text", "sentence"), REFUSED, ids=[text for _, text, _ in REFUSED])
def test_what_has_no_common_meaning_is_refused_with_a_way_out(kind, text, sentence, schema) -> None:
    with pytest.raises(NotAFilter) as refused:
        meaning(text, schema)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_simple_filters_stay_as_they_are(schema) -> None:
    """Comparisons of columns with numbers and texts: files' statistics can skip rows, and stored splits go on being found."""
    for text in (
        '"w" > 1900',
        '"x" > 0.5 AND "s" = \'x\'',
        "\"s\" IN ('a', 'b') OR \"w\" IS NULL",
        '"w" BETWEEN 1 AND 5',
        'NOT "b"',
    ):
        assert meaning(text, schema).sql("duckdb") == text


def test_a_chain_of_a_thousand_conditions_is_read(schema) -> None:
    text = " OR ".join(f"w = {number}" for number in range(1000))
    assert meaning(text, schema).sql("duckdb").count(" OR ") == 999


@pytest.mark.parametrize(
    "name", ["duckdb", "postgres", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.heavy])]
)
def test_letters_change_case_one_for_one(name, tmp_path, request) -> None:
    """Every letter of the basic plane, by itself and at the end of a word."""
    letters = [
        chr(code)
        for code in range(1, 0xFFFE)
        if not 0xD800 <= code <= 0xDFFF and (chr(code).lower() != chr(code) or chr(code).upper() != chr(code))
    ]
    pq.write_table(pa.table({"row": range(len(letters)), "s": letters}), tmp_path / "letters.parquet")
    schema = TableSchema((Column("row", "BIGINT", "integer"), Column("s", "VARCHAR", "string")), len(letters))
    trees = {text: meaning(text, schema) for text in ("lower('a' || s)", "upper(s || 'b')")}
    with opened(name, tmp_path / "scratch", request) as engine:
        found = values(engine, tmp_path / "letters.parquet", trees, list(trees))
    for cells, wanted in zip(
        found.values(), (lambda c: "a" + _simple(c, str.lower), lambda c: _simple(c, str.upper) + "B"), strict=True
    ):
        assert [(letter, cell) for letter, cell in zip(letters, cells, strict=True) if cell != wanted(letter)] == []


def _simple(letter, cased):
    if letter == "ß" and cased is str.upper:
        return "\u1e9e"
    changed = "i" if letter == "\u0130" and cased is str.lower else cased(letter)
    return (
        changed if len(changed) == 1 else letter.title() if len(letter.title()) == 1 and cased is str.upper else letter
    )


# What sqlglot itself cannot say


def test_what_a_dialect_cannot_say_is_an_error_of_ours() -> None:
    query = exp.select(exp.IgnoreNulls(this=exp.Anonymous(this="f")))
    unsupported = exp.select(exp.Count(this=exp.Distinct(expressions=[column("a"), column("b")])))
    told = []
    for dialect in DIALECTS:
        for one in (query, unsupported):
            try:
                one.sql(dialect, unsupported_level=ErrorLevel.RAISE)
            except Exception as error:
                with pytest.raises(PreprocessError) as raised:
                    render(one, dialect)
                told.append((str(error), str(raised.value)))
    assert told
    assert all("cannot be asked this" in ours for _, ours in told)
