"""YAML text with positions, and everything a file can be instead of that."""

from __future__ import annotations

import datetime
import time

import pytest

from cengine.config.source import MAX_FILE_BYTES, parse_document, read_document
from cengine.errors import ConfigError, Location

TEXT = """\
# a comment
features:
  "start station": {filling: max}   # odd name
  age: {}
labels:
  - birth_year
list: [1, two, {three: 3}]
"""


def failure(text):
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "c.yaml")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (("features",), True, (2, 1)),
        (("features", "start station"), True, (3, 3)),
        (("features", "start station", "filling"), False, (3, 30)),
        (("features", "start station", "filling"), True, (3, 21)),
        (("features", "age"), False, (4, 8)),
        (("labels", 0), False, (6, 5)),
        (("list", 1), False, (7, 11)),
        (("list", 2, "three"), False, (7, 24)),
        (("features", "no such", "deeper"), False, (3, 3)),
    ],
)
def test_positions(path, key, place) -> None:
    document = parse_document(TEXT, "c.yaml")
    location = document.locate(document.root.find(path, key=key))
    assert (location.line, location.column) == place
    assert location.line_text == TEXT.splitlines()[place[0] - 1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("true", True), ("False", False), ("1e-3", 0.001), ("1", 1), ("0o17", 15),
        ("1.0", 1.0), ("~", None), ("null", None), ("", None), ("'1'", "1"), ("-.inf", float("-inf")), ("0.10", 0.1), ("1_000", 1000),
        ("2018-06-01", "2018-06-01"), ("2018-06-01 12:00:00", "2018-06-01 12:00:00"), ("22:30", "22:30"), ("<=50K", "<=50K"),
        ("|\n  a\n  b\n", "a\nb\n"), ("ünï 漢", "ünï 漢"),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2(text, value) -> None:
    found = parse_document(f"x: {text}").root.plain()["x"]
    assert found == value
    assert type(found) is type(value)
    assert not isinstance(found, datetime.date)


def test_keys_are_texts() -> None:
    assert parse_document("{1: a, 2.5: b}").root.plain() == {"1": "a", "2.5": "b"}


def test_aliases_stand_for_their_values() -> None:
    assert parse_document("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}").root.plain() == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }


def test_windows_line_ends_and_byte_order_mark(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [2,\r\n  3]\r\n")
    document = read_document(path)
    assert document.root.plain() == {"a": 1, "b": [2, 3]}
    assert document.locate(document.root.find(("b", 1))).line == 3


def test_tab_that_indents() -> None:
    assert failure("features:\n\tage: {}\n").render() == (
        "error: a tab is used to indent; YAML allows only spaces\n"
        "  --> c.yaml:2:1\n"
        "   |\n"
        "2  |  age: {}\n"
        "   | ^\n"
        "   = replace each tab by two spaces"
    )


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", (3, 1)),
        ("x:\n  p: 1\n  q: 2\n  p: 1\n", "p", (4, 2)),
        ("{a: 1, 'a': 2}", "a", None),
        ("1: x\n'1': y\n", "1", (2, None)),
    ],
)
def test_duplicate_keys(text, key, lines) -> None:
    problem = failure(text)
    assert problem.message == f"the key '{key}' is given twice"
    if lines is not None:
        assert problem.location.line == lines[0]
    if lines is not None and lines[1] is not None:
        assert problem.notes == (f"it also stands on line {lines[1]}; keep one of the two",)


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.system [ls]", "a: !mine 3", "a: !!set {b, c}", "a: !!binary aGk="]
)
def test_tags_construct_nothing(text) -> None:
    problem = failure(text)
    assert "tag" in problem.message
    assert problem.location.line == 1


def test_alias_bomb_ends_at_once() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.process_time()
    assert (
        failure("l0: &l0 x\n" + "\n".join(levels)).message
        == "'c.yaml' has more than 200,000 values once its aliases are expanded"
    )
    assert time.process_time() - started < 10  # expanded it would take years


def test_alias_to_itself_is_nothing() -> None:
    assert parse_document("a: &a [1, *a]").root.plain() == {"a": [1, None]}


@pytest.mark.parametrize(
    "text",
    ["a: [1, 2", "a: b: c", "a: 'x", "{", "a: *nothing", "- a\nb: c", "a: 1\n  b: 2", "%YAML 9.9\n---\na: 1", "\x00"],
)
def test_broken_syntax_is_an_error_of_ours(text) -> None:
    assert "c.yaml" in failure(text).render()


@pytest.mark.parametrize("text", ["", "   \n", "# only a comment\n", "---\n", "null"])
def test_empty(text) -> None:
    assert (
        failure(text).render() == "error: 'c.yaml' is empty\n   = `cengine pipeline template` writes one to begin with"
    )


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "3"])
def test_not_a_mapping(text) -> None:
    assert failure(text).message == "a configuration is a mapping of blocks (features, labels, ...)"


def test_two_documents_are_an_error() -> None:
    assert "c.yaml" in failure("a: 1\n---\nb: 2\n").render()


def test_missing_file_names_its_neighbours(tmp_path) -> None:
    for name in ("trips.yaml", "other.yml", "data.csv"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path / "trip.yaml")
    assert (
        caught.value.render()
        == f"error: there is no file '{tmp_path}/trip.yaml'\n   = files there: other.yml, trips.yaml"
    )


def test_files_that_are_no_configuration(tmp_path) -> None:
    binary, large = tmp_path / "binary.yaml", tmp_path / "large.yaml"
    binary.write_bytes(b"PAR1\xff\xfe\x00")
    large.write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    for path, message in (
        (binary, "is not a text file (UTF-8)"),
        (large, "is larger than 4 MB"),
        (tmp_path, "cannot read"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_document(path)
        assert message in caught.value.render()


def test_location_reads_like_a_compilers() -> None:
    assert str(Location("c.yaml", 12, 11)) == "c.yaml:12:11"
