"""Sources of other packages: found by their entry point, and never in the way when they are broken."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from registering import register, rows
from terminal import Terminal

from cengine.errors import SourceError
from cengine.sources import SOURCES

SQUARES = '''
import contextlib
import pyarrow as pa
from pydantic import Field
from cengine.sources.source import CopiedSource, batches_part

class Squares(CopiedSource):
    """Numbers and their squares."""
    name = "squares"
    title = "squares"
    upto: int = Field(ge=1, description="How many.")
    table_type: str = Field(default="public", description="Spelled with _ or -.")
    loud: bool = False

    @property
    def place(self):
        return f"squares up to {self.upto}"

    def state(self, report):
        return None

    @contextlib.contextmanager
    def opened(self, reading):
        schema = pa.schema([("N Umber", pa.int64()), ("square", pa.int64())])
        def batches():
            for n in range(self.upto):
                if n == 50:
                    raise ValueError("no further")
                yield pa.record_batch([[n], [n * n]], schema=schema)
        yield [batches_part(self.place, schema, batches, reading)]

class Half(CopiedSource):
    """Not finished."""
    name = "half"
    title = "half"
'''
BROKEN = {
    "absent": ("no_such_module:X", "ModuleNotFoundError"), "without": ("squares_source:Nothing", "AttributeError"),
    "half": ("squares_source:Half", "does not define"),
    "other": ("squares_source:pa", "no class derived from"),
    "misnamed": ("squares_source:Squares", "calls itself 'squares'"), "raising": ("raising_source:X", "ZeroDivisionError"),
}  # fmt: skip


@pytest.fixture
def package(install_package):
    """A package with one good source and many broken ones, where Python finds it."""
    lines = [
        "squares = squares_source:Squares",
        "csv = squares_source:Squares",
        *(f"{name} = {target}" for name, (target, _) in BROKEN.items()),
    ]
    modules = {"squares_source.py": SQUARES, "raising_source.py": "1 / 0"}
    return install_package("squares-source", modules, "\n".join(["[cengine.sources]", *lines]), version="1.5")


def test_a_source_of_another_package_is_one_of_ours(terminal: Terminal, package) -> None:
    said = terminal("datasource", "create", "--help").out
    assert "squares" in said
    assert "From the package squares-source 1.5." in said
    shown = terminal("datasource", "create", "squares", "--help").out
    for text in ("--upto INTEGER", "How many.", "[required]", "--table-type TEXT", "[default: public]", "--loud"):
        assert text in shown
    answer = terminal(
        "datasource", "create", "squares", "--name", "s", "--upto", 4, "--table_type", "private", "--loud"
    )
    assert "4 rows read" in answer.out
    assert "from squares up to 4" in terminal("datasource", "show").out
    assert "nothing has changed" in terminal("datasource", "commit", "s").out
    assert rows(register(terminal.project, "squares", upto=3), "N Umber") == [
        {"N Umber": n, "square": n * n} for n in range(3)
    ]


def test_its_options_are_checked(terminal, package) -> None:
    create = ("datasource", "create", "squares", "--name", "s")
    assert "Missing option '--upto'" in terminal(*create, code=2).err
    assert (
        "option 'upto' of squares: input should be greater than or equal to 1"
        in terminal(*create, "--upto", 0, code=4).err
    )
    assert "No such option" in terminal(*create, "--upto", 1, "--up-to", 2, code=2).err


def test_an_error_on_the_way_registers_nothing(terminal, package) -> None:
    answer = terminal("datasource", "create", "squares", "--name", "s", "--upto", 60, code=70)
    assert "ValueError: no further" in answer.err
    assert terminal("datasource", "list", "--json").json == []
    assert terminal.leftovers() == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_source_is_named_and_breaks_nothing_else(terminal, package, name) -> None:
    answer = terminal("datasource", "create", name, "--name", "x", code=4)
    assert f"the source '{name}' of the package squares-source 1.5 cannot be used" in answer.err
    assert BROKEN[name][1] in answer.err
    assert terminal("datasource", "create", "squares", "--name", "s", "--upto", 2).code == 0
    assert name in terminal("datasource", "create", "--help").out


def test_our_own_names_stay_ours(package) -> None:
    assert SOURCES["csv"].__module__ == "cengine.sources.csv_files"
    assert list(SOURCES).count("csv") == 1
    with pytest.raises(KeyError):
        SOURCES["nosuch"]


def test_a_datasource_whose_package_is_gone_can_still_be_looked_at(terminal, package, monkeypatch) -> None:
    terminal("datasource", "create", "squares", "--name", "s", "--upto", 4)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(package)])
    assert "4 rows" in terminal("datasource", "show", "s").out
    assert "unknown type of datasource 'squares'" in terminal("datasource", "commit", "s", code=4).err


def test_the_help_loads_no_source() -> None:
    code = "import sys; from cengine.cli.main import run; run(['datasource', 'create', '--help']);"
    code += "print(sorted(m for m in sys.modules if m.startswith('cengine.sources')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['cengine.sources', 'cengine.sources.table']"
    for name in SOURCES.own:
        assert f"  {name} " in done.stdout


def test_an_unknown_type_in_python(terminal) -> None:
    with pytest.raises(SourceError, match="unknown type of datasource 'xml'"):
        register(terminal.project, "xml")


def test_the_new_source_of_the_documentation_works(terminal, install_package) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class " in block)
    (entry,) = re.findall(r'```toml\n\[project.entry-points."cengine.sources"\]\n(.*?)\n```', page, re.S)
    assert len([line for line in code[code.index("class ") :].splitlines() if line.strip()]) <= 40
    entry_points = "[cengine.sources]\n" + entry.replace('"', "")
    install_package("my-package", {"my_package/access_log.py": code}, entry_points)
    line = '10.0.0.{} - - [29/Feb/2020:12:30:15 +0000] "GET /page/{} HTTP/1.1" 200 {}\n'
    log = terminal.write("access.log", "".join(line.format(n % 5, n, n or "-") for n in range(25)) + "something else\n")
    terminal("datasource", "create", "access-log", "--name", "requests", "--path", log, "--batch_rows", 10)
    shown = terminal("datasource", "show", "--json").json
    assert (shown["rows"], [c["name"] for c in shown["columns"]]) == (25, ["host", "method", "page", "status", "size"])
    assert [c["nulls"] for c in shown["columns"]] == [0, 0, 0, 0, 1]
    assert "nothing has changed" in terminal("datasource", "commit").out
    assert (
        "there is no file"
        in terminal("datasource", "create", "access-log", "--name", "x", "--path", "no.log", code=4).err
    )
