"""The rules of the house, as tests."""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import cengine
from cengine.stages.table import STAGES, Series, Split
from cengine.tasks import TASKS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "cengine").rglob("*.py"))
MAX_LINES = 400
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "core", "base", "tools"}
HEAVY = ("keras", "jax", "duckdb", "pyarrow", "sqlglot", "tensorflow", "torch", "pandas", "sqlalchemy")


def test_layers_import_only_those_below(tmp_path) -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--cache-dir",
        str(tmp_path),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count; those for types alone do not. CycleError names the modules of a circle."""
    graph = grimp.build_graph("cengine", exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) > 200
    graphlib.TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).prepare()


def test_files_are_short() -> None:
    assert len(SOURCES) > 50
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_modules_have_names_that_say_something() -> None:
    assert [str(path) for path in SOURCES if path.stem in EMPTY_NAMES or path.parent.name in EMPTY_NAMES] == []


def test_modules_have_docstrings() -> None:
    assert [
        str(path) for path in SOURCES if not path.read_text().startswith('"""') and "versions" not in path.parts
    ] == []


def texts_of(path: Path) -> set[str]:
    """The texts in a module's code, without the names that it exports."""
    tree = ast.parse(path.read_text())
    exported = [
        node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    left_out = {id(part) for node in exported for part in ast.walk(node)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out
    }


def test_a_stage_is_known_by_its_name_to_itself_alone() -> None:
    """Whoever asks for a stage by a text of his own would have to be found where one is added; headings of tables are no names."""
    names = {stage.name for stage in STAGES}
    assert len(names) == 7
    # Headings of tables, and a class of pandas.
    headings = {
        "cli/statistics.py": {Split.name},
        "cli/evaluate.py": {Split.name},
        "sources/frames.py": {Series.name},
    }
    known = {path.relative_to(ROOT / "src" / "cengine").as_posix(): texts_of(path) & names for path in SOURCES}
    found = {path: said - headings.get(path, set()) for path, said in known.items() if said}
    assert {path: said for path, said in found.items() if said} == {
        f"stages/{stage.name.lower()}.py": {stage.name} for stage in STAGES
    }


def test_a_task_is_known_by_its_name_to_itself_alone() -> None:
    """Whoever asks for a task by a text of his own would have to be found where one is added; others ask the task what it is."""
    asked = {
        (path.relative_to(ROOT / "src" / "cengine").as_posix(), ast.unparse(node))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)} & set(TASKS)
    }
    assert {(path, text) for path, text in asked if "task" in text} == set()


def loaded_by(statement):
    """The heavy modules that a statement brings in."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import cengine", set()),
        ("import cengine.errors, cengine.tables", set()),
        ("import cengine.config.read", {"sqlglot"}),
        ("from cengine import parse_config", {"sqlglot"}),
        ("import cengine.config.checks", {"sqlglot"}),
    ],
)
def test_imports_are_light(statement, heavy) -> None:
    assert loaded_by(statement) <= heavy


@pytest.mark.parametrize("name", cengine.__all__)
def test_public_names_resolve_and_are_documented(name) -> None:
    found = getattr(cengine, name)
    if name == "__version__":
        assert found.count(".") == 2
        return
    assert found.__module__.startswith("cengine.")
    assert found.__doc__
    assert len(found.__doc__.strip().splitlines()[0]) > 10


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'cengine' has no attribute 'no_such_name'"):
        cengine.no_such_name  # noqa: B018


def test_every_module_imports() -> None:
    for path in SOURCES:
        if "migrations" not in path.parts and path.name != "__main__.py":
            importlib.import_module(
                ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
            )
