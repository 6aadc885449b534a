"""SQL expressions as operations on tensors, node by node: what a word says to the engines is what it says to ONNX.

A cell is a column of rows (rows, 1) with a second column that tells where it is null, if it can be. Times are microseconds since
1970 UTC, int64. Numbers are float64 until the words are done, as they are DOUBLE in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from sqlglot import exp

from cengine.digests import text_number
from cengine.exports.literals import TYPES, NoForm, known_number, number_in, shape_of
from cengine.exports.steps import below_logarithm
from cengine.exports.times import clock_in, local_part, moment
from cengine.expressions.build import steps_of
from cengine.expressions.keys import hashed_text
from cengine.models.inputs import hash_input
from cengine.plain import Cell
from cengine.tensors import BOOL, DOUBLE, INT64, ML, TEXT, Graph, Tensor, num_at_or_below


@dataclass(frozen=True)
class Column:
    """Values (rows, 1), and where they are null (rows, 1); None where none is."""

    values: Tensor
    missing: Tensor | None = None


class IndexOf(exp.Expression, exp.Func):
    """The place of a value in list number `list` of `Lists`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "list": True}


@dataclass
class Lists:
    """Look-ups that stay nodes of the tree, with the lists that they look in."""

    lists: list[Sequence[Cell]] = field(default_factory=list)

    def index_of(self, expression: exp.Expr, kind: str, values: Sequence[Cell]) -> exp.Expr:
        """A node that stands for the index of the expression's value in `values`."""
        self.lists.append(values)
        return IndexOf(this=expression.copy(), list=exp.convert(len(self.lists) - 1))


class Compiler:
    """Expressions over `columns` as operations of `graph`."""

    def __init__(self, graph: Graph, columns: Mapping[str, Column], lists: Lists) -> None:
        self.graph, self.columns, self.lists = graph, columns, lists
        # Literals that differ from step to step of a step function.
        self._looked_up: dict[int, Tensor] = {}

    def column(self, node: exp.Expr) -> Column:
        """The expression's values. Raises NoForm for one with a node that has no operator."""
        if id(node) in self._looked_up:
            return Column(self._looked_up[id(node)])
        if (found := number_in(node)) is not None:
            return Column(self.graph.constant([[found[0]]], found[1]))
        if (steps := steps_of(node)) is not None:
            return self._steps(*steps)
        if (text := hashed_text(node)) is not None:
            return self._hash(text)
        form = _FORMS.get(type(node))
        if form is None:
            raise NoForm(type(node).__name__.upper())
        return form(self, node)

    def no_form(self, node: exp.Expr) -> NoForm:
        """The error for a node of a known class that says something unknown."""
        return NoForm(node.sql("duckdb"))

    # Reading

    def read(self, node: exp.Expr) -> Column:
        return self.columns[node.name]

    def text(self, node: exp.Expr) -> Column:
        return Column(self.graph.constant([[node.this]], TEXT))

    def boolean(self, node: exp.Expr) -> Column:
        return Column(self.graph.constant([[bool(node.this)]], BOOL))

    def inner(self, node: exp.Expr) -> Column:
        return self.column(node.this)

    # Types

    def cast(self, node: exp.Expr) -> Column:
        kind = node.args["to"].this
        if kind == exp.DType.TIMESTAMP:
            return self._time(node.this)
        dtype = TYPES.get(kind)
        if dtype is None:
            raise NoForm(f"CAST AS {kind.value}")
        found = self.column(node.this)
        if found.values.dtype == TEXT:  # onnxruntime reads '5abc' as 5
            raise NoForm(f"CAST of text AS {kind.value}")
        values = found.values
        if dtype == INT64 and values.dtype.kind == "f":
            values = values.apply("Round")  # to the nearest, halves to even, as DuckDB does; Cast cuts off
        return Column(values.cast(dtype), found.missing)

    def _time(self, node: exp.Expr) -> Column:
        if isinstance(node, exp.Literal):
            return Column(self.graph.constant([[moment(node.this)]], INT64))
        found = self.column(node)
        if found.values.dtype != INT64:
            raise NoForm("CAST AS TIMESTAMP")
        return found

    def together(self, *columns: Column, dtype: np.dtype[Any] | None = None) -> tuple[list[Tensor], Tensor | None]:
        """The values as one type, and where one of them is missing."""
        types = {one.values.dtype for one in columns}
        common = dtype or (next(iter(types)) if len(types) == 1 else DOUBLE)
        if TEXT in types and common != TEXT:
            raise NoForm("a text beside a number")
        missing = [one.missing for one in columns if one.missing is not None]
        return [one.values.cast(common) for one in columns], self._any(missing)

    def _any(self, conditions: Sequence[Tensor]) -> Tensor | None:
        if not conditions:
            return None
        found = conditions[0]
        for one in conditions[1:]:
            found = found.apply("Or", one)
        return found

    def _hash(self, node: exp.Expr) -> Column:
        """The number of a text, which a column of hashes beside the text's own has."""
        while isinstance(node, exp.Cast | exp.Paren):
            node = node.this
        if isinstance(node, exp.Coalesce):
            found = self._hash(node.this)
            (instead,) = node.expressions
            assert found.missing is not None
            return self.choose(found.missing.apply("Not"), Column(found.values), self._hash(instead))
        if isinstance(node, exp.Column) and hash_input(node.name) in self.columns:
            return self.columns[hash_input(node.name)]
        number = number_in(node)
        if number is None and not isinstance(node, exp.Literal | exp.Boolean):
            raise NoForm("MD5")
        text = str(number[0]) if number is not None else str(node.this).lower() if isinstance(node, exp.Boolean) else node.this  # fmt: skip
        return Column(self.graph.constant([[text_number(text)]], INT64))

    # Conditions

    def compare(self, node: exp.Expr) -> Column:
        (left, right), missing = self.together(self.column(node.this), self.column(node.expression))
        return Column(left.apply(_COMPARISONS[type(node)], right, dtype=BOOL), missing)

    def between(self, node: exp.Expr) -> Column:
        bounds = (self.column(node.args[key]) for key in ("low", "high"))
        (number, low, high), missing = self.together(self.column(node.this), *bounds)
        above = number.apply("GreaterOrEqual", low, dtype=BOOL)
        return Column(above.apply("And", number.apply("LessOrEqual", high, dtype=BOOL)), missing)

    def is_null(self, node: exp.Expr) -> Column:
        if not isinstance(node.expression, exp.Null):
            raise self.no_form(node)
        found = self.column(node.this)
        return Column(self.graph.constant([[False]], BOOL) if found.missing is None else found.missing)

    def negate(self, node: exp.Expr) -> Column:
        found = self.column(node.this)
        return Column(found.values.apply("Not"), found.missing)

    def both(self, node: exp.Expr) -> Column:
        (left, right), missing = self.together(self.column(node.this), self.column(node.expression))
        if missing is not None:
            raise NoForm(f"{type(node).__name__.upper()} of conditions that may be null")
        return Column(left.apply("And" if isinstance(node, exp.And) else "Or", right))

    def holds(self, node: exp.Expr) -> Tensor:
        """Where the condition is true, and not null."""
        found = self.column(node)
        return found.values if found.missing is None else found.values.apply("And", found.missing.apply("Not"))

    # Choices

    def case(self, node: exp.Expr) -> Column:
        branches, default = node.args["ifs"], node.args.get("default")
        if node.args.get("this") is not None:
            raise self.no_form(node)
        found = None if default is None else self.column(default)
        if default is None and len(branches) == 2 and branches[1].this == exp.Not(this=branches[0].this):
            # One of a condition and its opposite holds, or it is null.
            value = self.column(branches[1].args["true"])
            missing = [one for one in (value.missing, self.column(branches[0].this).missing) if one is not None]
            found, branches = Column(value.values, self._any(missing)), branches[:1]
        for branch in reversed(branches):
            condition, value = self.holds(branch.this), self.column(branch.args["true"])
            if found is None:
                nothing = [condition.apply("Not"), *([] if value.missing is None else [value.missing])]
                found = Column(value.values, self._any(nothing))
            else:
                found = self.choose(condition, value, found)
        assert found is not None
        return found

    def choose(self, condition: Tensor, one: Column, other: Column) -> Column:
        """`one` where the condition holds, else `other`."""
        (values, others), missing = self.together(one, other)
        if missing is not None:
            never = self.graph.constant([[False]], BOOL)
            missing = self.graph.where(condition, one.missing or never, other.missing or never)
        return Column(self.graph.where(condition, values, others), missing)

    def coalesce(self, node: exp.Expr) -> Column:
        found = self.column(node.this)
        for other in node.expressions:
            if found.missing is None:
                break
            found = self.choose(found.missing.apply("Not"), Column(found.values), self.column(other))
        return found

    def _steps(self, value: exp.Expr, edges: list[exp.Expr], results: list[exp.Expr]) -> Column:
        limits = np.asarray([known_number(edge) for edge in edges], np.float64)
        value, limits = below_logarithm(value, limits) or (value, limits)
        found = self.column(value)
        place = num_at_or_below(found.values.cast(DOUBLE), limits)
        if found.missing is not None:  # no comparison with null is true
            place = self.graph.where(found.missing, self.graph.constant([[len(edges)]], INT64), place)
        groups: dict[Any, list[int]] = {}
        shapes = [shape_of(result) for result in results]
        for number, (shape, _) in enumerate(shapes):
            groups.setdefault(shape, []).append(number)
        chosen: Column | None = None
        for members in groups.values():
            one = self._looked(results, [slots for _, slots in shapes], members, place)
            among = np.isin(np.arange(len(results)), members)
            condition = self.graph.add("Gather", self.graph.constant(among, BOOL), place, axis=0)
            chosen = one if chosen is None else self.choose(condition, one, chosen)
        assert chosen is not None
        return chosen

    def _looked(
        self, results: Sequence[exp.Expr], slots: Sequence[list[exp.Expr]], members: Sequence[int], place: Tensor
    ) -> Column:
        """Results that differ in their numbers alone: one of them, with the numbers looked up by the place."""
        first = members[0]
        for number, slot in enumerate(slots[first]):
            kind = number_in(slot)
            assert kind is not None
            table = np.full(len(results), kind[0], kind[1])
            table[members] = [known_number(slots[member][number]) for member in members]
            if (table != table[first]).any():
                looked = self.graph.add("Gather", self.graph.constant(table, kind[1]), place, axis=0)
                self._looked_up[id(slot)] = looked
        return self.column(results[first])

    def greatest(self, node: exp.Expr) -> Column:
        found = self.column(node.this)
        for other in node.expressions:
            beside = self.column(other)
            (one, two), _ = self.together(found, beside)
            if found.missing is not None or beside.missing is not None:
                raise NoForm(f"{type(node).__name__.upper()} of values that may be null")
            found = Column(one.apply("Max" if isinstance(node, exp.Greatest) else "Min", two))
        return found

    # Arithmetic

    def arithmetic(self, node: exp.Expr) -> Column:
        dtype = DOUBLE if isinstance(node, exp.Div) else None
        (left, right), missing = self.together(self.column(node.this), self.column(node.expression), dtype=dtype)
        return Column(left.apply(_ARITHMETIC[type(node)], right), missing)

    def remainder(self, node: exp.Expr) -> Column:
        """Of numbers that are not below 0, as hashes are: of others SQL and ONNX have different ones."""
        if hashed_text(node.this.unnest()) is None:
            raise self.no_form(node)
        return self.arithmetic(node)

    def function(self, node: exp.Expr) -> Column:
        (number,), missing = self.together(self.column(node.this), dtype=DOUBLE)
        return Column(number.apply(_FUNCTIONS[type(node)]), missing)

    def opposite(self, node: exp.Expr) -> Column:
        found = self.column(node.this)
        return Column(-found.values, found.missing)

    # Times and lists

    def extract(self, node: exp.Expr) -> Column:
        found = self._time(node.expression)
        part = local_part(found.values, node.name.lower())
        if part is None:
            raise NoForm(f"EXTRACT {node.name}")
        return Column(part, found.missing)

    def call(self, node: exp.Expr) -> Column:
        name = node.name.lower()
        if name == "epoch_us":
            return self._time(node.expressions[0])
        if name == "timezone" and isinstance(node.expressions[0], exp.Literal):
            zone, time = node.expressions[0].this, node.expressions[1]
            found = self._time(time)
            return found if zone == "UTC" else Column(clock_in(zone, found.values), found.missing)
        raise NoForm(node.name)

    def index(self, node: exp.Expr) -> Column:
        found = self.column(node.this)
        values = self.lists.lists[int(node.args["list"].this)]
        if not values:
            index = self.graph.constant([[-1]], INT64)
        elif found.values.dtype == TEXT:
            index = self._place(found.values, keys_strings=[str(value) for value in values])
        elif found.values.dtype in (BOOL, INT64):
            # onnxruntime has no look-up of booleans.
            index = self._place(found.values.cast(INT64), keys_int64s=[int(value) for value in values])
        else:
            raise NoForm("a look-up of numbers with a fraction")
        missing = index.apply("Less", 0, dtype=BOOL)
        return Column(index, missing if found.missing is None else missing.apply("Or", found.missing))

    def _place(self, values: Tensor, **keys: list[Any]) -> Tensor:
        (known,) = keys.values()
        places = list(range(len(known)))
        return self.graph.add(
            "LabelEncoder", values, dtype=INT64, domain=ML, **keys, values_int64s=places, default_int64=-1
        )


_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.LT: "Less",
    exp.LTE: "LessOrEqual",
    exp.GT: "Greater",
    exp.GTE: "GreaterOrEqual",
    exp.EQ: "Equal",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "Add",
    exp.Sub: "Sub",
    exp.Mul: "Mul",
    exp.Div: "Div",
    exp.Mod: "Mod",
}
_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Ln: "Log", exp.Sin: "Sin", exp.Cos: "Cos", exp.Floor: "Floor", exp.Abs: "Abs", exp.Exp: "Exp", exp.Sqrt: "Sqrt",
}  # fmt: skip
_FORMS: dict[type[exp.Expr], Callable[[Compiler, Any], Column]] = {
    exp.Column: Compiler.read,
    exp.Literal: Compiler.text,
    exp.Boolean: Compiler.boolean,
    exp.Paren: Compiler.inner,
    exp.Alias: Compiler.inner,
    exp.Cast: Compiler.cast,
    **dict.fromkeys(_COMPARISONS, Compiler.compare),
    exp.Between: Compiler.between,
    exp.Is: Compiler.is_null,
    exp.Not: Compiler.negate,
    exp.And: Compiler.both,
    exp.Or: Compiler.both,
    exp.Case: Compiler.case,
    exp.Coalesce: Compiler.coalesce,
    exp.Greatest: Compiler.greatest,
    exp.Least: Compiler.greatest,
    **dict.fromkeys(_ARITHMETIC, Compiler.arithmetic),
    exp.Mod: Compiler.remainder,
    **dict.fromkeys(_FUNCTIONS, Compiler.function),
    exp.Neg: Compiler.opposite,
    exp.Extract: Compiler.extract,
    exp.Anonymous: Compiler.call,
    IndexOf: Compiler.index,
}
