"""What a row filter may be made of, as closed lists: kinds of nodes, types, units, and the few words that are written as they are.

Whatever is not listed here is refused. Values and names of columns are free: they are quoted wherever they are written.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

# Anything else (a sub-query, a statement, a function that reads a file, an aggregate, a random number) is refused by name.
NODES: tuple[type[exp.Expr], ...] = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple,
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.In, exp.Between, exp.Is, exp.Like, exp.ILike, exp.RegexpLike, exp.Escape,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.DPipe,
    exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam,
    exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.Sqrt, exp.Ln, exp.Exp, exp.Pow, exp.Greatest, exp.Least,
    exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Substring, exp.StartsWith, exp.EndsWith, exp.Contains, exp.Concat,
    exp.Extract, exp.Year, exp.Month, exp.Day, exp.Hour, exp.Minute, exp.DayOfWeek, exp.DayOfYear, exp.Quarter, exp.Week,
    exp.TimestampTrunc, exp.DateTrunc, exp.DateDiff, exp.Interval, exp.Var, exp.Date,
    exp.Timestamp, exp.TsOrDsToDate, exp.TimeStrToTime, exp.DateStrToDate,
)  # fmt: skip

# The types that a cell may be cast to, by the names that a message lists.
TYPES: Mapping[exp.DType, str] = {
    exp.DType.BOOLEAN: "BOOLEAN",
    exp.DType.TINYINT: "TINYINT", exp.DType.SMALLINT: "SMALLINT", exp.DType.INT: "INTEGER", exp.DType.BIGINT: "BIGINT",
    exp.DType.INT128: "HUGEINT",
    exp.DType.UTINYINT: "UTINYINT", exp.DType.USMALLINT: "USMALLINT", exp.DType.UINT: "UINTEGER", exp.DType.UBIGINT: "UBIGINT",
    exp.DType.FLOAT: "FLOAT", exp.DType.DOUBLE: "DOUBLE", exp.DType.DECIMAL: "DECIMAL",
    exp.DType.TEXT: "VARCHAR", exp.DType.VARCHAR: "VARCHAR",
    exp.DType.DATE: "DATE", exp.DType.TIME: "TIME",
    exp.DType.TIMESTAMP: "TIMESTAMP", exp.DType.TIMESTAMPNTZ: "TIMESTAMP", exp.DType.TIMESTAMPTZ: "TIMESTAMPTZ",
}  # fmt: skip
# How many parameters a type takes at most; those that are not listed take none. Each is a whole number.
TYPE_PARAMETERS: Mapping[exp.DType, int] = {exp.DType.DECIMAL: 2}

# The units of times, one list for each slot that takes one.
_PERIODS = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")
UNITS: Mapping[tuple[type[exp.Expr], str], tuple[str, ...]] = {
    (exp.Extract, "this"): (*_PERIODS, "ISOYEAR", "DOW", "DAYOFWEEK", "ISODOW", "DOY", "DAYOFYEAR", "EPOCH"),
    (exp.TimestampTrunc, "unit"): _PERIODS,
    (exp.DateTrunc, "unit"): _PERIODS,
    (exp.DateDiff, "unit"): _PERIODS,
    (exp.Interval, "unit"): _PERIODS,
}
# Units with two names, by the one that they are rendered with.
UNIT_NAMES: Mapping[str, str] = {"DOW": "DAYOFWEEK", "DOY": "DAYOFYEAR"}

# The other slots that hold a bare text, not a node. A slot that is not listed holds none.
WORDS: Mapping[tuple[type[exp.Expr], str], tuple[str, ...]] = {
    (exp.Trim, "position"): ("BOTH", "LEADING", "TRAILING"),
}
