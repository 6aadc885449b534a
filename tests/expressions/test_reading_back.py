"""No text in any slot of any allowed node becomes SQL of its own, in any dialect."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp
from test_filters import ALLOWED

from cengine.errors import PreprocessError
from cengine.expressions import reading_back
from cengine.expressions.allowed import NODES, TYPES
from cengine.expressions.dialects import render, said
from cengine.expressions.filters import NotAFilter, parse_filter
from cengine.expressions.reading_back import check_reads_back

DIALECTS = ("duckdb", "postgres", "spark", "bigquery")
MARKER = "marker"
PIECES = ("'", '"', "`", "\\", ";", "--", "/*", "*/", "(", ")", "[", "]", ",", ".", "$$", "${x}", "%", "@", "?", ":", "\n", "\r", "\t", "\u2019",
          " ", "0", "1", "day", "integer", "or", "as", "from", "e'", "r'", "b'", "\\u0027", "\\x27", "&#39;")  # fmt: skip
TEXTS = st.lists(st.sampled_from((*PIECES, f" {MARKER} ", MARKER)) | st.text(max_size=3), max_size=8).map("".join)
# Each node in each slot in turn: (kind, slot). A new node comes by itself.
SLOTS = [(kind, slot) for kind in NODES for slot in kind.arg_types]


FORMS = (
    str, exp.var, exp.Literal.string, lambda text: exp.to_identifier(text, quoted=True), lambda text: exp.to_identifier(text, quoted=False),
    lambda text: exp.Literal(this=text, is_string=False), exp.column, lambda text: exp.DataType(this=exp.DType.USERDEFINED, kind=text),
    lambda text: exp.DataTypeParam(this=exp.var(text)),
)  # fmt: skip


def written_with(kind: type[exp.Expr], slot: str, text: str, form: int) -> str:
    """What a user would write to have such a node with the text in that slot; empty where nothing gives such a tree."""
    try:
        return planted(kind, slot, text, form).sql("duckdb")
    except Exception:  # a generator may stumble over what no parser makes
        return ""


def planted(kind: type[exp.Expr], slot: str, text: str, form: int) -> exp.Expr:
    """A condition with such a node that holds the text in that slot, bare or in another node."""
    held = FORMS[form](text)
    arguments = {name: filler(kind, name) for name, needed in kind.arg_types.items() if needed}
    arguments[slot] = [held] if slot in ("expressions", "ifs") else held
    node = kind(**arguments)
    if isinstance(node, exp.DataType):
        node = exp.Cast(this=exp.column("a"), to=node)
    elif isinstance(node, exp.DataTypeParam):
        node = exp.Cast(this=exp.column("a"), to=exp.DataType(this=exp.DType.DECIMAL, expressions=[node]))
    elif isinstance(node, exp.Var):
        node = exp.Extract(this=node, expression=exp.column("a"))
    elif isinstance(node, exp.Identifier):
        node = exp.Column(this=node)
    return exp.Is(this=exp.Paren(this=node), expression=exp.null())


def filler(kind: type[exp.Expr], slot: str) -> object:
    if slot == "unit" or (kind is exp.Extract and slot == "this"):
        return exp.var("DAY")
    if slot == "to":
        return exp.DataType(this=exp.DType.INT)
    if slot == "ifs":
        return [exp.If(this=exp.true(), true=exp.column("b"))]
    if slot == "expressions":
        return [exp.column("b")]
    if slot == "is_string":
        return True
    return "b" if kind in (exp.Identifier, exp.Literal, exp.Var) else exp.column("b")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(SLOTS), form=st.integers(0, len(FORMS) - 1), text=TEXTS)
def test_no_slot_lets_a_text_through(place, form, text) -> None:
    """Written as a user would write it: refused, or read by every engine as one condition with the texts as values."""
    holds(written_with(*place, text, form))


ODD = (
    f"x{MARKER}) {MARKER}",
    f"'{MARKER}",
    f"\\' {MARKER} --",
    f"` {MARKER}; {MARKER}",
    f'" {MARKER}',
    f"day' {MARKER}",
)


@pytest.mark.parametrize("kind", NODES, ids=[kind.__name__ for kind in NODES])
def test_a_marker_in_any_slot_stays_there(kind) -> None:
    for number, slot in enumerate(kind.arg_types):
        for form in range(len(FORMS)):
            holds(written_with(kind, slot, ODD[(number + form) % len(ODD)], form))


TEMPLATES = (
    "cast(a as {t}) = 1", 'cast(a as "{t}") = 1', "cast(a as decimal({t})) = 1", "cast(a as decimal('{t}')) = 1", "a::{t} = 1",
    "extract({t} from a) = 1", "extract('{t}' from a) = 1", 'extract("{t}" from a) = 1', "date_trunc('{t}', a) = b", "date_trunc({t}, a) = b",
    "date_diff('{t}', a, b) = 1", "interval '{t}' day < a", "interval '1 {t}' < a", "interval '{t}' < a", "a = '{t}'", '"{t}" = 1', "a in {t}",
    "a in ('{t}', 'x')", "trim({t} 'x' from a) = b", "a like '{t}' escape '{t}'", "regexp_matches(a, '{t}', '{t}')", "a collate {t} = b", "{t}", "a = {t}",
    "concat(a, '{t}') = b", "timestamp '{t}' < a", "case a when '{t}' then true end", "a = e'{t}'", "a = $${t}$$", "starts_with(a, '{t}')", "a || '{t}' = b",
)  # fmt: skip


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(template=st.sampled_from(TEMPLATES), text=TEXTS)
def test_no_text_that_a_user_writes_gets_through(template, text) -> None:
    holds(template.replace("{t}", text))


def holds(written: str) -> None:
    """The text is refused, or what each engine is sent is one SELECT of allowed values with the user's texts as values."""
    try:
        checked = parse_filter(written)
    except NotAFilter:
        return
    for dialect in DIALECTS:
        try:
            check_reads_back(checked, dialect)
        except (NotAFilter, PreprocessError):  # refused, or nothing that the dialect can say
            continue
        (query,) = sqlglot.parse(f"SELECT 1 FROM t WHERE ({render(checked, dialect)}) LIMIT 7", dialect=dialect)
        assert isinstance(query, exp.Select) and query.args["limit"].expression.name == "7", (written, dialect)
        where = query.args["where"]
        for node in where.walk():
            # What is written is a value or a name in quotes, or of a closed list.
            if isinstance(node, exp.Var | exp.Anonymous | exp.Command):
                assert MARKER not in node.name.lower() and not set(node.name) & set("'\"`;()\\ "), (written, dialect)
            assert not isinstance(node, exp.DataType) or MARKER not in node.sql().lower(), (written, dialect)
        assert {name.name for name in where.find_all(exp.Column)} == {
            name.name for name in checked.find_all(exp.Column)
        }


@pytest.mark.parametrize("text", [text for text, _ in ALLOWED])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_allowed_reads_back(text, dialect) -> None:
    check_reads_back(parse_filter(text), dialect)


@pytest.mark.parametrize(
    "value", ["it's", "\\", "\\'", '"', "`", "${env:HOME}", "-- x", "/* x */", "a;b", "\n", "%", "''", "\\\\'"]
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_odd_values_are_told_to_every_engine(value, dialect) -> None:
    condition = parse_filter("a = '" + value.replace("'", "''") + "'")
    check_reads_back(condition, dialect)
    (read,) = sqlglot.parse(f"SELECT {render(condition, dialect)}", dialect=dialect)
    assert [literal.name for literal in read.find_all(exp.Literal)] == [value]


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_reads_back_here(kind) -> None:
    written = exp.Is(this=exp.Cast(this=exp.column("a"), to=exp.DataType(this=kind)), expression=exp.null()).sql(
        "duckdb"
    )
    check_reads_back(parse_filter(written), "duckdb")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_rule_that_pastes_a_text_is_found(dialect, monkeypatch) -> None:
    """The tree is checked, and then a faulty rule writes a text without its quotes: the engine would read something else."""
    condition = parse_filter("a = 'x'' marked ('")
    monkeypatch.setattr(
        reading_back, "said", lambda tree, name: "a = x OR marked" if "marked" in tree.sql() else said(tree, name)
    )
    reading_back._check_reads_back.cache_clear()
    with pytest.raises(NotAFilter, match="would read something else"):
        check_reads_back(condition, dialect)
