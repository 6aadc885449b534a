"""What the cells of a column are, as texts, and the type that holds every one of them without changing it.

Each cell has one class (`Spelling.class_of`); the classes that a whole column has decide its kind (`kind_of_cells`). A sample
shows some of the classes. Its kind stands if every other cell has a class that the kind admits, so that neither the sample nor
the order of rows decides anything: for all sets of classes S <= E <= admits(kind(S)), kind(E) is kind(S).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# At the end of a class: a cell of it that is written in an unusual way, such as a number between blanks.
UNUSUAL = "~"
# `whole` numbers are exact as doubles, `long` ones are not; `bare` are `+5` and `1e3`, which are numbers beside decimals and may
# be codes beside whole numbers; words are `inf` and `nan`.
_EXACT = frozenset({"bit", "whole"})
_INTEGERS = _EXACT | {"long"}
DAY_FIRST, MONTH_FIRST, EITHER = "day first", "month first", "day or month first"

_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}"
_CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6}0*)?)?"
_ZONE = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
# Nobody writes the month first with dots.
_NUMBERED = {MONTH_FIRST: r"(?:[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}|[0-9]{1,2}-[0-9]{1,2}-[0-9]{4})"}
_NUMBERED[DAY_FIRST] = rf"(?:{_NUMBERED[MONTH_FIRST]}|[0-9]{{1,2}}\.[0-9]{{1,2}}\.[0-9]{{4}})"
_NUMBERED_CLOCK = rf"(?:[ T]{_CLOCK}| (?:0?[1-9]|1[0-2]):[0-9]{{2}}(?::[0-9]{{2}})? ?[AaPp][Mm])"
_WORD = r"(?i)[+-]?(?:inf|infinity|nan)"
_USUAL_WHOLE = r"-?(?:0|[1-9][0-9]{0,14})"
# At most 15 digits, wherever the point is: a double keeps all of them.
_USUAL_DECIMAL = (
    "-?(?:" + "|".join(rf"[1-9][0-9]{{{n - 1}}}\.[0-9]{{0,{15 - n}}}" for n in range(1, 16)) + r"|0?\.[0-9]{1,15}|0\.)"
)
_USUAL_NUMBER = f"{_USUAL_DECIMAL}|{_USUAL_WHOLE}"
# One of these of at most 15 characters is a usual number.
_MOST_CHARACTERS = 15
_SHORT_NUMBER = r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)"
_USUAL_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_USUAL_TIME = rf"{_USUAL_DATE}[ T](?:[01][0-9]|2[0-3]):[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]{{1,6}})?"
_DECIMAL = r"[+-]?(?:(?:(?:[1-9][0-9]*|0)?\.[0-9]+|(?:[1-9][0-9]*|0)\.)(?:[eE][+-]?[0-9]{1,3})?|(?:[1-9][0-9]*|0)[eE][+-]?[0-9]{1,3})|\+(?:[1-9][0-9]{0,14}|0)"
_BARE = r"\+[0-9]+|[+-]?[0-9]+[eE][0-9]+"
_FIRST_MOMENT, _LAST_MOMENT = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"


@dataclass(frozen=True)
class Kind:
    """How the cells of a column are read: the SQL type, and the classes of cells that are read without a change (None: all)."""

    name: str
    sql_type: str
    admits: frozenset[str] | None = None
    order: str | None = None
    """Which comes first in a date such as 1/2/2020."""

    def holds(self, cell_class: str) -> bool:
        """Whether a cell of the class is read without a change."""
        return self.admits is None or cell_class.rstrip(UNUSUAL) in self.admits


TEXT = Kind("text", "VARCHAR")
EMPTY = Kind("empty", "VARCHAR", frozenset())


def kind_of_cells(classes: Iterable[str], order: str = MONTH_FIRST, format_type: str = "DATE") -> Kind:
    """The kind of a column whose cells have these classes.

    `order` is that of dates where both orders fit, `format_type` the type of dates in a format that the user gave.
    """
    found = frozenset(one.rstrip(UNUSUAL) for one in classes)
    if not found:
        return EMPTY
    if found <= {"format", "whole as format"}:
        return Kind("format", format_type, frozenset({"format", "whole as format"}) if "format" in found else found)
    if "whole as format" in found:
        decided = kind_of_cells(found - {"whole as format"} | {"whole"}, order, format_type)
        return Kind(
            decided.name, decided.sql_type, decided.admits and decided.admits | {"whole as format"}, decided.order
        )
    return _number(found) or _time(found) or _numbered(found, order) or TEXT


def _number(found: frozenset[str]) -> Kind | None:
    if found <= _INTEGERS:
        return Kind("integer", "BIGINT", _INTEGERS)
    if found == {"boolean"}:
        return Kind("boolean", "BOOLEAN", found)
    if found == {"boolean", "bit"}:
        return Kind("bits", "BIGINT", found)
    if found <= _EXACT | {"decimal", "bare", "word"}:
        if "decimal" in found:
            return Kind("float", "DOUBLE", _EXACT | {"decimal", "bare", "word"})
        if found & _EXACT and "bare" not in found:
            return Kind("float", "DOUBLE", _EXACT | {"decimal", "word"})
    if found <= _INTEGERS | {"bare", "word"} and not ("long" in found and "word" in found):
        # One decimal more would make numbers of them: they are texts only if the whole table says so.
        return Kind("undecided", "VARCHAR", found if found == {"word"} else found | {"bare"})
    return None


def _time(found: frozenset[str]) -> Kind | None:
    if found == {"date"}:
        return Kind("date", "DATE", found)
    if found <= {"date", "time"}:
        return Kind("time", "TIMESTAMP", frozenset({"date", "time"}))
    return Kind("zoned", "TIMESTAMP WITH TIME ZONE", found) if found == {"zoned"} else None


def _numbered(found: frozenset[str], order: str) -> Kind | None:
    """The kind of a column of dates like 1/2/2020, None where no order of day and month fits all of them."""
    orders = {cell_class.removesuffix(" at") for cell_class in found}
    if not orders <= {DAY_FIRST, MONTH_FIRST, EITHER} or len(orders - {EITHER}) > 1:
        return None
    (order,) = orders - {EITHER} or {order}
    days = frozenset({order, EITHER})
    if found <= days:
        return Kind("numbered date", "DATE", days, order)
    return Kind("numbered time", "TIMESTAMP", days | {f"{one} at" for one in days}, order)


def declared_kind(kind: str, settled: Kind) -> Kind:
    """How cells are read as a kind that the user has named; `settled` is what they look like."""
    if kind == "timestamp":
        return (
            settled
            if settled.sql_type.startswith(("DATE", "TIMESTAMP"))
            else Kind("time", "TIMESTAMP", frozenset({"date", "time"}))
        )
    return _DECLARED[kind]


_DECLARED = {
    "boolean": Kind("flag", "BOOLEAN", frozenset({"boolean", "bit"})),
    "integer": Kind("integer", "BIGINT", _INTEGERS),
    "float": Kind("float", "DOUBLE", _EXACT | {"decimal", "bare", "word"}),
    "string": TEXT,
}


def is_ambiguous(classes: Iterable[str]) -> bool:
    """Whether a column holds nothing but dates whose day and month may change places."""
    return {one.removesuffix(" at") for one in classes} == {EITHER}


def is_numbered(cell_class: str) -> bool:
    """Whether cells of the class are dates like 1/2/2020."""
    return cell_class.removesuffix(" at") in (DAY_FIRST, MONTH_FIRST, EITHER)


def order_of(columns: Iterable[Iterable[str]]) -> str | None:
    """The order of day and month that columns of these classes show; None where none shows one, or they contradict each other."""
    kinds = [_numbered(frozenset(found), EITHER) for found in columns if found]
    orders = {kind.order for kind in kinds if kind is not None and kind.order != EITHER}
    return orders.pop() if len(orders) == 1 else None


@dataclass(frozen=True)
class Spelling:
    """How numbers and dates are written in a table's texts."""

    decimal: str = "."
    thousands: str = ""
    date_format: str | None = None

    @property
    def format_type(self) -> str:
        """The SQL type of dates in `date_format`."""
        directives = set(re.findall(r"%-?(.)", self.date_format or ""))
        if "z" in directives:
            return "TIMESTAMP WITH TIME ZONE"
        return "TIMESTAMP" if directives & set("HIMSpf") else "DATE"

    def kind_of(self, classes: Iterable[str], order: str = MONTH_FIRST) -> Kind:
        """The kind of a column whose cells have these classes."""
        return kind_of_cells(classes, order, self.format_type)

    def value(self, text: str, kind: Kind) -> str:
        """SQL for the value of a text that the kind holds."""
        if kind.sql_type == "VARCHAR":
            return text
        if kind.name == "bits":
            return f"TRY_CAST(CASE LOWER({text}) WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE {text} END AS BIGINT)"
        if kind.name in ("integer", "float"):
            return f"TRY_CAST({self._plain(text)} AS {kind.sql_type})"
        if kind.name == "format":
            return f"CAST(TRY_STRPTIME({text}, {_quoted(self.date_format or '')}) AS {kind.sql_type})"
        if kind.order is not None:
            return _numbered_day(text, kind.order) if kind.name == "numbered date" else _numbered_time(text, kind.order)
        return f"TRY_CAST({text} AS {kind.sql_type})"

    def fits(self, text: str, value: str, kind: Kind, seen: Iterable[str]) -> str:
        """SQL that is true where `value`, which is the kind's of a text that is not null, says what the text says.

        `seen` are classes that the column is known to have: unusual cells are only looked for where there are some, and
        refused elsewhere.
        """
        if kind.admits is None:
            return "TRUE"
        among = f"{self.class_of(text)} IN ({', '.join(_quoted(one + mark) for one in sorted(kind.admits) for mark in ('', UNUSUAL))})"
        moment = _within_years(value, kind.sql_type)
        # Printing a number again costs less than a pattern.
        again = f"CAST({value} AS VARCHAR) = {text}"
        complete = {
            "boolean": _matches(text, "(?i)true|false"),
            "zoned": f"({_matches(text, f'(?:{_DATE})[ T]{_CLOCK}{_ZONE}')} AND {moment})",
            "numbered date": f"({_matches(text, _NUMBERED[kind.order or DAY_FIRST])} AND {moment})",
            "numbered time": f"({_matches(text, f'{_NUMBERED[kind.order or DAY_FIRST]}{_NUMBERED_CLOCK}?')} AND {moment})",
        }.get(kind.name)
        if complete is not None:
            return complete
        usual = {
            "integer": f"({again} OR {self._usual(text, _USUAL_WHOLE)})",
            "float": self._usual(text, _USUAL_NUMBER),
            "date": f"(({again} OR {_matches(text, _USUAL_DATE)}) AND {moment})",
            "time": f"(({again} OR {_matches(text, f'{_USUAL_DATE}|{_USUAL_TIME}')}) AND {moment})",
        }.get(kind.name)
        if usual is None:
            return among if kind.admits else "FALSE"
        seen = frozenset(seen)
        if not any(one.endswith(UNUSUAL) or one in ("bare", "word", "whole as format") for one in seen):
            return usual
        some = f"{usual} OR {self._is_decimal(text)}" if kind.name == "float" and f"decimal{UNUSUAL}" in seen else usual
        return f"({some} OR {among})"

    def surely_fits(self, text: str, value: str, kind: Kind, seen: Iterable[str]) -> str:
        """SQL that is true for most texts that are null or fit, and for no others. It is cheap, since every cell is tested."""
        again = f"CAST({value} AS VARCHAR) IS NOT DISTINCT FROM {text}"
        if kind.name == "integer":
            return f"({again})"
        if kind.name in ("date", "time"):
            return f"({again} AND COALESCE({_within_years(value, kind.sql_type)}, TRUE))"
        return f"({text} IS NULL OR {self.fits(text, value, kind, seen)})"

    def surely_numbers(self, values: Mapping[str, str]) -> str:
        """`surely_fits` of all columns of floats, whose values are given by text: most of a pattern's cost is that of its call."""
        # A text that is a value holds no bar, so that what stands between bars is one text.
        joined = self._usual(f"CONCAT_WS('|', {', '.join(values)})", f"(?:(?:{_SHORT_NUMBER})(?:[|]|$))*")
        lengths = ", ".join(f"STRLEN({text})" for text in values)
        read = " AND ".join(f"({text} IS NULL OR {value} IS NOT NULL)" for text, value in values.items())
        return f"({joined} AND GREATEST({lengths}, 0) <= {_MOST_CHARACTERS} AND {read})"

    def class_of(self, text: str) -> str:
        """SQL for the class of a text that is not null."""
        plain = f"TRIM({self._plain(text)}, ' ')"
        grouped = self._grouped(text)
        exact = f"CAST(CAST({plain} AS DOUBLE) AS HUGEINT) = CAST({plain} AS HUGEINT)"
        cases = [
            # Most texts show at once that they are nothing else.
            (f"NOT {_matches(text, '[-+.,0-9tTfFiInN ](?s:.*)')}", "'other'"),
            (f"{text} IN ('0', '1')", "'bit'"),
            (_matches(text, "(?i)true|false"), "'boolean'"),
            (self._usual(text, _USUAL_WHOLE), self._whole(text, "'whole'")),
            (f"{grouped} AND {_matches(plain, _USUAL_WHOLE)}", self._whole(text, f"'whole{UNUSUAL}'")),
            (
                f"{grouped} AND {_matches(plain, '-?[1-9][0-9]{15,18}')} AND TRY_CAST({plain} AS BIGINT) IS NOT NULL",
                self._whole(text, f"CASE WHEN {exact} THEN 'whole{UNUSUAL}' ELSE 'long{UNUSUAL}' END"),
            ),
            (self._usual(text, _USUAL_DECIMAL), "'decimal'"),
            (self._is_decimal(text), f"CASE WHEN {_matches(plain, _BARE)} THEN 'bare' ELSE 'decimal{UNUSUAL}' END"),
            (_matches(text, _WORD), "'word'"),
        ]
        if self.date_format is not None:
            cases = [*cases[1:], (self._in_format(text), "'format'")]
        cases += [
            (f"{_matches(text, _USUAL_DATE)} AND {_cast_within_years(text, 'DATE')}", "'date'"),
            (f"{_matches(text, _USUAL_TIME)} AND {_cast_within_years(text, 'TIMESTAMP')}", "'time'"),
            (f"{_matches(text, _DATE)} AND {_cast_within_years(text, 'DATE')}", f"'date{UNUSUAL}'"),
            (
                f"{_matches(text, f'(?:{_DATE})[ T]{_CLOCK}')} AND {_cast_within_years(text, 'TIMESTAMP')}",
                f"'time{UNUSUAL}'",
            ),
            (
                f"{_matches(text, f'(?:{_DATE})[ T]{_CLOCK}{_ZONE}')} AND {_cast_within_years(text, 'TIMESTAMP WITH TIME ZONE')}",
                "'zoned'",
            ),
            (_matches(text, f"{_NUMBERED[DAY_FIRST]}{_NUMBERED_CLOCK}?"), _order(text)),
        ]
        return f"(CASE {' '.join(f'WHEN {condition} THEN {result}' for condition, result in cases)} ELSE 'other' END)"

    def _usual(self, text: str, pattern: str) -> str:
        """SQL that is true for a number in its usual spelling."""
        return _matches(text, pattern) if not self.thousands and self.decimal == "." else "FALSE"

    def _whole(self, text: str, result: str) -> str:
        """SQL for the class of a whole number, which may be a date of the format at the same time, such as 20200131."""
        return (
            result
            if self.date_format is None
            else f"CASE WHEN {self._in_format(text)} THEN 'whole as format' ELSE {result} END"
        )

    def _in_format(self, text: str) -> str:
        return _within_years(self.value(text, Kind("format", self.format_type)), self.format_type)

    def _is_decimal(self, text: str) -> str:
        """SQL that is true for a decimal of any shape that a double keeps: of more than 15 digits it has to give all again."""
        plain = f"TRIM({self._plain(text)}, ' ')"
        number = f"TRY_CAST({plain} AS DOUBLE)"
        printed = [_digits(f"CAST({number} AS VARCHAR)"), _digits(f"PRINTF('%.16e', {number})")]
        told = f"({plain} = CAST({number} AS VARCHAR) OR STRLEN({_digits(plain)}) <= 15 OR {_digits(plain)} IN ({', '.join(printed)}))"
        # Beyond these bounds doubles are infinite, or have fewer digits.
        kept = f"(ABS({number}) BETWEEN 2.3e-308 AND 1.7976931348623157e308 AND {told} OR {number} = 0 AND {_digits(plain)} = '')"
        return f"({self._grouped(text)} AND {_matches(plain, _DECIMAL)} AND {kept})"

    def _plain(self, text: str) -> str:
        """SQL for a number with a point and no signs between thousands."""
        if self.thousands:
            text = f"REPLACE({text}, {_quoted(self.thousands)}, '')"
        return text if self.decimal == "." else f"REPLACE({text}, {_quoted(self.decimal)}, '.')"

    def _grouped(self, text: str) -> str:
        """SQL that is true where the signs between digits stand where they may."""
        if not self.thousands and self.decimal == ".":
            return "TRUE"
        groups = rf"[1-9][0-9]{{0,2}}(?:{re.escape(self.thousands)}[0-9]{{3}})+|" if self.thousands else ""
        return _matches(text, rf" *[+-]?(?:{groups}[0-9]*)(?:{re.escape(self.decimal)}[0-9]*)?(?:[eE][+-]?[0-9]+)? *")


_DIRECTIVES = "YymbBdjHIpMSfzaA"


def format_problem(date_format: str) -> str | None:
    """What is wrong with a format of dates, None where nothing is."""
    directives = [one.lstrip("-") for one in re.findall(r"%(-?.|-?$)", date_format)]
    unknown = [one for one in directives if one != "%" and (not one or one not in _DIRECTIVES)]
    if unknown:
        return f"%{unknown[0]} is not known; known: {' '.join(f'%{one}' for one in _DIRECTIVES)}"
    found = set(directives)
    if not found & set("Yy") or not ("j" in found or ("d" in found and found & set("mbB"))):
        return "it needs a year, a month and a day, such as %d/%m/%Y"
    if ("I" in found) != ("p" in found):
        return "%I and %p need each other"
    return None


def _digits(number: str) -> str:
    """SQL for the digits of a number in text, without zeros before and behind and without the exponent."""
    return f"TRIM(TRANSLATE(REGEXP_EXTRACT({number}, '^[^eE]*'), '+-.', ''), '0')"


def _order(text: str) -> str:
    """SQL for the class of a text that looks like 1/2/2020, with or without a time."""
    first = f"COALESCE({_within_years(_numbered_day(text, DAY_FIRST), 'DATE')}, FALSE)"
    dotted = _matches(text, "[0-9]+[.].*")
    second = f"COALESCE({_within_years(_numbered_day(text, MONTH_FIRST), 'DATE')} AND NOT {dotted}, FALSE)"
    order = f"CASE WHEN {first} THEN CASE WHEN {second} THEN {_quoted(EITHER)} ELSE {_quoted(DAY_FIRST)} END ELSE {_quoted(MONTH_FIRST)} END"
    return f"CASE WHEN {first} OR {second} THEN {order} || CASE WHEN CONTAINS({text}, ':') THEN ' at' ELSE '' END ELSE 'other' END"


def _year_first(text: str, order: str, rest: str) -> str:
    """SQL for a text like 1/2/2020 with the year first and the day last; `rest` is what may follow and is left out."""
    turned = r"\3-\2-\1" if order == DAY_FIRST else r"\3-\1-\2"
    return f"REGEXP_REPLACE({text}, {_quoted(rf'^([0-9]+).([0-9]+).([0-9]+){rest}')}, {_quoted(turned)})"


def _numbered_day(text: str, order: str) -> str:
    """SQL for the day that a text like 1/2/2020 says, null where the order does not fit."""
    return f"TRY_CAST({_year_first(text, order, '.*$')} AS DATE)"


def _numbered_time(text: str, order: str) -> str:
    """SQL for the time that a text like 1/2/2020 3:04 says, null where the order does not fit."""
    turned = _year_first(text, order, "")
    formats = ", ".join(f"'%Y-%m-%d %I:%M{seconds}{blank}%p'" for seconds in (":%S", "") for blank in (" ", ""))
    return f"CASE WHEN {_matches(text, '.*[AaPp][Mm]')} THEN TRY_STRPTIME({turned}, [{formats}]) ELSE TRY_CAST({turned} AS TIMESTAMP) END"


def _matches(text: str, pattern: str) -> str:
    return f"REGEXP_FULL_MATCH({text}, {_quoted(pattern)})"


def _cast_within_years(text: str, sql_type: str) -> str:
    return _within_years(f"TRY_CAST({text} AS {sql_type})", sql_type)


def _within_years(value: str, sql_type: str) -> str:
    """SQL that is true for a time that everything can hold."""
    return (
        f"{value} BETWEEN CAST({_quoted(_FIRST_MOMENT)} AS {sql_type}) AND CAST({_quoted(_LAST_MOMENT)} AS {sql_type})"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
