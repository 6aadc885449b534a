"""The page and the OpenAPI document: complete without a network, and texts of a model are texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import bundles_served as bundles
import jsonschema
import pytest

import cengine


@pytest.fixture
def page(browser) -> Iterator:
    """A page that remembers what it asked for and complained of."""
    context = browser.new_context()
    opened = context.new_page()
    opened.asked, opened.said = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("console", lambda told: opened.said.append(told.text) if told.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
    yield opened
    context.close()


def test_a_row_is_tried_in_the_page(page, serving, folders) -> None:
    server = serving(folders["price"])
    page.goto(f"{server.url}/docs")
    page.wait_for_selector("#row:not([hidden])")
    page.get_by_label("Size").fill("7")
    page.get_by_label("grams").fill("1.25")
    page.get_by_label("word").fill(bundles.ODD.replace("\n", " "))
    page.get_by_label("at", exact=False).last.scroll_into_view_if_needed()
    page.locator(".cell", has_text="member").get_by_label("missing").check()
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#answer:not([hidden])")
    shown = page.locator("#predicted").inner_text().split()
    row = {"Size": 7, "grams": 1.25, "word": bundles.ODD.replace("\n", " "), "member": None}
    at = page.locator("#cell-4").input_value()
    told = server.post("/predict", {"rows": [{**row, "at": at}]}).json["predictions"][0]["prediction"]
    assert shown == ["prediction", str(told)]
    # The command that is shown gives the same in a shell.
    import subprocess

    command = page.locator("#command").inner_text()
    assert json.loads(subprocess.run(["bash", "-c", command], capture_output=True).stdout)["predictions"] == [
        {"prediction": told}
    ]
    page.get_by_label("Size").fill("many")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#told.wrong")
    assert page.locator("#told").inner_text() == "column 'Size', row 1: 'many' is no integer"
    assert {url.split("/")[2] for url in page.asked if not url.startswith("data:")} == {f"127.0.0.1:{server.port}"}
    assert [said for said in page.said if "422" not in said] == []


@pytest.mark.slow
def test_names_that_are_markup_are_shown_as_text(page, serving, tmp_path) -> None:
    """A column, a label and classes whose names would run a script."""
    project = cengine.open_project(tmp_path / "project")
    odd = "<img src=x onerror=alert(1)>"
    table = bundles.table().select(["grams", "word", "rich"])
    table = table.rename_columns(["grams", odd, f"{odd} label"])
    classes = [f"</script>{odd}" if cell == "yes" else "no" for cell in table[2].to_pylist()]
    table = table.set_column(2, f"{odd} label", [classes])
    quoted = json.dumps(odd)
    text = f"features: {{grams: {{}}, {quoted}: {{}}}}\nlabels: {{{json.dumps(odd + ' label')}: {{}}}}\nsplit: {{ratio: {{train: 0.8, eval: 0.2}}}}\n"
    text += f"trainer: {{type: classification, {bundles.TRAINER}}}"
    model = cengine.execute(
        cengine.plan(project, cengine.parse_config(text), cengine.register(project, table, name="odd")), name="odd"
    ).model()
    from cengine.exports.bundle import write_bundle

    write_bundle(model, tmp_path / "bundle", [table.select(["grams", odd])])
    server = serving(tmp_path / "bundle")
    page.goto(f"{server.url}/docs")
    page.wait_for_selector("#row:not([hidden])")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#answer:not([hidden])")
    assert f"probability_</script>{odd}" in page.locator("#predicted").inner_text()
    assert odd in page.locator("#cells").inner_text()
    assert page.locator("img").count() == 0
    assert page.said == []
    metrics = server.get("/metrics").body.decode()
    for line in metrics.splitlines():
        assert re.fullmatch(r'#.*|[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)*\})? [-+0-9.einf]+', line), line


def test_where_a_token_is_needed_the_page_asks_for_it(page, serving, folders, tmp_path) -> None:
    (tmp_path / "token").write_text("a-secret-of-more-than-16-characters")
    server = serving(folders["kind"], "--token-file", tmp_path / "token")
    page.goto(f"{server.url}/docs")
    page.wait_for_selector("#access:not([hidden])")
    assert page.locator("#row").is_hidden()
    page.get_by_label("Token").fill("a-secret-of-more-than-16-characters")
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#answer:not([hidden])")
    assert "a-secret" not in page.locator("#command").inner_text()


def test_the_page_may_do_nothing_but_ask_its_server(server) -> None:
    for path in ("/docs", "/docs/page.js", "/docs/page.css"):
        headers = server.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
    folder = Path(cengine.__file__).parent / "serving" / "static"
    texts = "".join(file.read_text() for file in folder.iterdir())
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son\w+=", texts)
    assert server.get("/").headers["location"] == "/docs"


def test_the_openapi_document_is_valid_and_describes_what_is_answered(server, models) -> None:
    from openapi_spec_validator import validate

    document = server.get("/openapi.json").json
    validate(document)
    assert document["openapi"].startswith("3.1")
    for name, model in models.items():
        rows = bundles.rows_of(bundles.table().slice(0, 20), model)
        for row in rows:
            jsonschema.validate(row, document["components"]["schemas"][f"{name}.row"])
        for found in server.post(f"/predict/{name}", {"rows": rows}).json["predictions"]:
            jsonschema.validate(found, document["components"]["schemas"][f"{name}.prediction"])
        refused = server.post(f"/predict/{name}", {"rows": [{}]})
        jsonschema.validate(refused.json, document["components"]["schemas"]["error"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**rows[0], "Size": "x"}, document["components"]["schemas"][f"{name}.row"])
    for path, methods in document["paths"].items():
        for method in methods:
            assert server(method.upper(), path).status not in (404, 405), path
