"""What docs/autoencoders.md says is run, and its page is looked at in a browser."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import planted
import pytest
import yaml_blocks
from terminal import Terminal

import cengine
from cengine.metrics.table import METRICS
from cengine.reports import html
from cengine.tasks import Reconstruction

PAGE = (Path(__file__).parent.parent / "docs" / "autoencoders.md").read_text()
SHORTER = "trainer:\n  type: autoencoder\n  train_steps: 40\n"


def shorter(text: str) -> str:
    return re.sub(r"trainer: \{type: autoencoder\}|trainer:\n  type: autoencoder\n", SHORTER, text)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    folder = tmp_path_factory.mktemp("autoencoders-page")
    terminal = Terminal(folder / "project", folder)
    terminal("sample", "trips", folder / "trips.csv", "--rows", 800)
    terminal("datasource", "create", "csv", "--name", "trips", "--path", folder / "trips.csv")
    for number, text in enumerate(yaml_blocks.of(PAGE)):
        name = ("odd_trips", "known")[number]
        terminal("pipeline", "push", terminal.write(f"{name}.yaml", shorter(text)), name)
        answer = terminal("pipeline", "run", name, "--yes")
        assert "each column's mean" in answer.out
    return terminal


def test_its_yamls_run_and_what_is_known_is_measured(typed: Terminal) -> None:
    known = {row["metric"] for row in cengine.find_run(typed.project, "known").results.overall_rows}
    told = {name for line in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in re.findall(r"`(\w+)`", line)}
    assert known == told & {name for name, word in METRICS.items() if Reconstruction.name in word.tasks}


def test_its_command_and_its_python_run(typed: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed("sample", "trips", "new-trips.csv", "--rows", 50, "--seed", 5)
    (line,) = re.findall(r"```console\n(.*?)\n```", PAGE, re.S)
    typed(*shlex.split(line)[1:])
    run = cengine.find_run(typed.project, "odd_trips")
    import pyarrow.csv

    table = pyarrow.csv.read_csv("new-trips.csv")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names = {"run": run, "table": table, "cengine": cengine}
    exec(code, names)
    assert names["codes"].column_names == ["code_0", "code_1", "code_2", "code_3"]
    assert len(names["scores"]) == 50


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict:
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("planted-page")
    table = planted.planted(folder / "rows.parquet")
    hostile = "<b>wide</b>\u202e"
    place = table.column_names.index("size")
    table = table.rename_columns(["<i>size</i>" if name == "size" else name for name in table.column_names])
    values = [hostile if value == "large" else value for value in table.column(place).to_pylist()]
    table = table.set_column(place, "<i>size</i>", [values])
    pq.write_table(table, folder / "rows.parquet")
    home = cengine.open_project(folder / "project")
    text = planted.YAML.replace("  size: {}", '  "<i>size</i>": {}').replace(
        "size: {}, threshold", '"<i>size</i>": {}, threshold'
    )
    snapshot = cengine.register(home, "parquet", path=str(folder / "rows.parquet"))
    return cengine.execute(cengine.plan(home, cengine.parse_config(text.replace("1200", "400")), snapshot)).summary


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_the_page_in_a_browser(summary, scheme, width, tmp_path, browser) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_offline(True)
    page, said = context.new_page(), []
    page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    file = tmp_path / "report.html"
    file.write_text(html.page(summary, cache=tmp_path / "cache"), encoding="utf-8")
    page.goto(file.as_uri())
    page.wait_for_function(
        "() => [...document.querySelectorAll('.drawing')].filter((d) => d.offsetParent).every((d) => d.hasAttribute('data-drawn'))"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert said == []
    titles = page.locator("main > section > h2").all_inner_texts()
    assert [titles[k] for k in (2, 3, 4)] == ["Which columns are reconstructed", "Scores", "The oddest rows"]
    assert page.locator("#errors .drawing svg").count() == 1
    assert "Left out, one value in all train rows: nothing" in page.locator("#errors").inner_text()
    rows = page.locator("#rows tbody tr")
    assert rows.count() == 25
    assert "expected" in rows.first.inner_text()
    assert page.locator("#rows tbody i").count() == page.locator("#rows tbody b").count() == 0
    assert "PCA" in page.locator("#answer thead").inner_text()
    assert page.locator(".verdict").inner_text().startswith("The autoencoder has auc")
    context.close()
