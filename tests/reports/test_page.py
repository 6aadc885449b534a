"""The page of a run: one file, no request, the answer first, and hostile texts as texts."""
# ruff: noqa: RUF001  the page writes a true minus, dashes and a cross

from __future__ import annotations

import copy
import html as markup
import itertools
import json
import re

import page_summaries
import pytest

from cengine.reports import charts, formats, html, sections, slicing
from cengine.reports.view import View

MAX_BYTES = 6_000_000
DRAWN = "() => [...document.querySelectorAll('.drawing')].filter((d) => d.offsetParent).every((d) => d.hasAttribute('data-drawn'))"


@pytest.fixture(scope="module")
def regression() -> dict:
    return page_summaries.regression_summary()


@pytest.fixture(scope="module")
def second() -> dict:
    return page_summaries.regression_summary(seed=5, run=1, shift=0.5)


@pytest.fixture(scope="module")
def regression_page(regression, cache) -> str:
    return html.page(regression, cache=cache)


SUMMARIES = {
    "regression": page_summaries.regression_summary,
    "binary": page_summaries.binary_summary,
    "classes": page_summaries.classes_summary,
}


@pytest.mark.parametrize("kind", SUMMARIES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_a_page_draws_everything_without_a_request(kind, scheme, width, cache, open_page) -> None:
    opened = open_page(html.page(SUMMARIES[kind](), cache=cache), scheme=scheme, width=width)
    opened.page.wait_for_function(DRAWN)
    opened.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert opened.page.locator(".drawing svg").count() > 3
    assert opened.said == []
    assert opened.dialogs == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    assert len(opened.asked) == 1


def test_the_answer_comes_first(regression_page, open_page) -> None:
    page = open_page(regression_page).page
    assert page.locator("main > section").first.get_attribute("id") == "answer"
    assert (
        page.locator(".verdict").inner_text()
        == page_summaries.regression_summary(num_stations=20)["labels"][0]["verdicts"][0]["sentence"]
    )
    rows = page.locator("#answer tbody tr")
    cells = rows.nth(0).locator("th, td").all_inner_texts()
    assert cells[0].startswith("mae")
    assert [cells[k].split("\n")[0].strip() for k in (1, 2, 3, 4, 5, 6, 7)] == [
        "eval",
        "7.2612",
        "7.2492 – 7.2732",
        "7.5000",
        "7.9600",
        "8.8 %",
        "3,053,205",
    ]
    assert "train median 1984" in cells[5]


def test_simpler_models_stand_in_the_answer(regression, cache, open_page) -> None:
    label = regression["labels"][0]
    page = open_page(html.page(regression, cache=cache)).page
    table = page.locator(".answer table")
    assert "Linear model" in table.locator("thead").inner_text()
    assert "Boosted trees" not in table.locator("thead").inner_text()
    mae, mse = (table.locator("tbody tr").nth(i).locator(".yardstick").inner_text() for i in (0, 1))
    assert "7.5000" in mae
    assert "the model is better (−0.2600 to −0.2200)" in " ".join(mae.split())
    assert "within noise" in mse
    assert "at most 200,000" in page.locator(".answer").inner_text()
    trees = {"trees": 7.0, "trees_difference": 0.26, "trees_low": 0.2, "trees_high": 0.3}
    none = dict.fromkeys(trees)
    both = {**label, "overall": [label["overall"][0] | trees, label["overall"][1] | none]}
    page = open_page(html.page({**regression, "labels": [both]}, cache=cache)).page
    assert "Boosted trees" in page.locator(".answer thead").inner_text()
    first = page.locator(".answer tbody tr").nth(0).locator(".yardstick").nth(1)
    assert "the model is worse" in first.inner_text()
    assert first.locator(".bad").count() == 1


def test_a_second_run_stands_in_the_answer(regression, second, cache, open_page) -> None:
    page = open_page(html.page(regression, other=second, cache=cache, sections=["answer"])).page
    assert page.locator("#answer thead th").all_inner_texts()[4:6] == ["run 1:1", "Difference"]
    cells = page.locator("#answer tbody tr").nth(0).locator("th, td").all_inner_texts()
    assert cells[4:6] == ["7.7612", "−0.5000 better"]


def test_a_model_no_better_than_a_constant_is_marked(cache, open_page) -> None:
    page = open_page(html.page(page_summaries.classes_summary(), cache=cache, sections=["answer"])).page
    assert "bad" in page.locator(".verdict").get_attribute("class").split()
    assert "−14.0 %" in page.locator("#answer tbody").inner_text()


def test_hostile_texts_are_shown_as_texts(regression, regression_page, open_page) -> None:
    opened = open_page(regression_page)
    page = opened.page
    page.wait_for_function(DRAWN)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    shown = page.locator("main").inner_text()
    for text in (
        *page_summaries.HOSTILE[:5],
        *page_summaries.HOSTILE[6:9],
        "</pre><script>alert(5)</script>",
        "<script>alert(6)</script>",
    ):
        assert text in shown
    assert page.locator("h1").inner_text() == "birth_year <b>of all</b> run 1:2"
    # Only our own scripts, no element that a text brought in.
    assert page.locator("script:not([type])").count() == regression_page.count("<script>(() => {")
    assert page.locator("img, main b, h1 b").count() == 0
    assert opened.dialogs == []


def test_the_policy_lets_no_other_script_run(regression_page, open_page) -> None:
    intruder = "<script>document.title = 'taken'</script></body>"
    opened = open_page(regression_page.replace("</body>", intruder))
    assert opened.page.title() == "birth_year <b>of all</b> 1:2"
    assert any("Content Security Policy" in said for said in opened.said)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', regression_page).group(1)
    assert "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-[^ ;]+'( 'sha256-[^ ;]+')*;", policy)


def test_a_page_of_5000_slices_is_small(regression, second, regression_page, cache) -> None:
    print(f"\none run: {len(regression_page.encode()) / 1e6:.2f} MB")
    both = html.page(regression, other=second, cache=cache).encode()
    print(f"two runs: {len(both) / 1e6:.2f} MB")
    assert len(regression_page.encode()) < MAX_BYTES / 2
    assert len(both) < MAX_BYTES


def test_more_slices_than_a_page_bears_are_left_out_and_told(regression, second, cache) -> None:
    many = copy.deepcopy(regression)
    (big,) = [found for found in many["labels"][0]["slices"] if found["columns"] == ["start_station_name"]]
    many["labels"][0]["slices"] += [big] * 20
    page = html.page(many, other=many, cache=cache)
    assert len(page.encode()) < MAX_BYTES
    data = slicing.slicing_data(many["labels"][0], many["labels"][0], ["a", "b"])
    carried = data["runs"][0]["sets"][2]
    assert 0 < len(carried["num_rows"]) < 5000
    assert len(carried["num_rows"]) + carried["num_left_out"] == 5000 + 123
    assert min(carried["num_rows"]) >= sorted(big["num_rows"])[-len(carried["num_rows"])]


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, another: str) -> float:
    low, high = sorted((luminance(one), luminance(another)))
    return (high + 0.05) / (low + 0.05)


def colours(page) -> dict[str, str]:
    code = """() => {
      const of = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
      return { paper: of('body', 'backgroundColor'), ink: of('body', 'color'), muted: of('.muted', 'color'), bad: of('.bad', 'color'),
               header: of('thead th', 'color'), axis: of('.drawing svg .role-axis-label text', 'fill'), line: of('.drawing svg .mark-line path', 'stroke') };
    }"""
    return page.evaluate(code)


def test_light_and_dark_are_both_legible(regression_page, open_page) -> None:
    found = {}
    for scheme in ("light", "dark"):
        page = open_page(regression_page, scheme=scheme).page
        page.wait_for_function(DRAWN)
        found[scheme] = colours(page)
        for name in ("ink", "muted", "bad", "header", "axis"):
            assert contrast(found[scheme][name], found[scheme]["paper"]) >= 4.5, (scheme, name)
        assert contrast(found[scheme]["line"], found[scheme]["paper"]) >= 3, scheme
    assert all(found["light"][name] != found["dark"][name] for name in found["light"])
    assert luminance(found["light"]["paper"]) > 0.9 > 0.05 > luminance(found["dark"]["paper"])
    # The button wins over the system's wish; charts follow without being drawn anew.
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert page.locator("#theme-name").inner_text() == "light"
    assert colours(page) == found["light"]
    page.reload()
    page.wait_for_function(DRAWN)
    assert colours(page) == found["light"]


@pytest.mark.parametrize("kind", SUMMARIES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_confusion_matrix_is_legible(kind, scheme, cache, open_page) -> None:
    page = open_page(html.page(SUMMARIES[kind](), cache=cache, sections=["errors"]), scheme=scheme).page
    cells = page.evaluate("""() => [...document.querySelectorAll('.confusion td[class*=heat]')].map((cell) =>
        [getComputedStyle(cell).color, getComputedStyle(cell).backgroundColor])""")
    assert bool(cells) == (kind != "regression")
    assert all(contrast(*pair) >= 4.5 for pair in cells)


def test_every_shade_of_the_matrix_bears_its_text(cache, open_page) -> None:
    text = html.page(page_summaries.classes_summary(), cache=cache, sections=["errors"])
    for scheme in ("light", "dark"):
        page = open_page(text, scheme=scheme).page
        for shade in range(10):
            pair = page.evaluate(
                """(shade) => { const cell = document.querySelector('.confusion td'); cell.className = `heat-${shade}`;
                return [getComputedStyle(cell).color, getComputedStyle(cell).backgroundColor]; }""",
                shade,
            )
            assert contrast(*pair) >= 4.5, (scheme, shade)


def test_print_is_light_and_has_no_controls(regression_page, open_page) -> None:
    page = open_page(regression_page, scheme="dark", width=800).page
    page.wait_for_function(DRAWN)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9
    for selector in (".controls", ".sections", ".theme", ".pages button"):
        assert not page.locator(selector).first.is_visible(), selector
    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".yaml").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf().startswith(b"%PDF")


def test_a_class_is_chosen_for_its_curves(cache, open_page) -> None:
    opened = open_page(html.page(page_summaries.classes_summary(), cache=cache, sections=["errors"]))
    page = opened.page
    page.wait_for_function(DRAWN)
    assert page.locator(".panel:visible").count() == 1
    page.get_by_label("Curves of class").select_option(label=page_summaries.HOSTILE[0])
    page.wait_for_function(DRAWN)
    assert page.locator(".panel:visible").get_attribute("id").endswith("-4")
    assert page.locator(".panel:visible .drawing svg").count() == 3
    assert (
        page.locator(".panel:visible .drawing").first.get_attribute("aria-label")
        == f"ROC curve of class {page_summaries.HOSTILE[0]}"
    )
    assert opened.said == []


def test_tables_and_figures_are_named_for_screen_readers(regression_page, open_page) -> None:
    page = open_page(regression_page).page
    page.wait_for_function(DRAWN)
    unnamed = page.evaluate("""() => [...document.querySelectorAll(
            'main select, main input, main button:not([hidden]), main [role=img], main [role=region], main table')]
        .filter((it) => !(it.getAttribute('aria-label') || it.labels?.length || it.caption || it.textContent.trim()))
        .map((each) => each.outerHTML.slice(0, 200))""")
    assert unnamed == []
    assert page.evaluate("[...document.querySelectorAll('thead th')].every((each) => each.scope === 'col')")
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size === document.querySelectorAll('[id]').length"
    )
    headings = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((each) => Number(each.tagName[1]))")
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_columns_with_drift_come_first(regression_page, open_page) -> None:
    page = open_page(regression_page).page
    assert page.locator(".column summary .name").all_inner_texts() == [
        "starttime",
        "start_station_name",
        "tripduration",
        page_summaries.HOSTILE[4],
    ]
    assert page.locator(".column .badge").all_inner_texts() == ["strong drift", "moderate drift"]
    page.locator(".column summary").nth(0).press("Enter")
    assert "2020-02-14 08:00:00" in page.locator(".column").nth(0).inner_text()


def test_unknown_sections_are_named(regression, cache) -> None:
    with pytest.raises(ValueError, match="unknown section 'slice'; known sections: answer, curves"):
        html.page(regression, cache=cache, sections=["slice"])
    with pytest.raises(ValueError, match="unknown section 'slice'"):
        View(regression, sections=("slice",), cache=cache)


@pytest.mark.parametrize("section", html.SECTIONS)
def test_each_section_stands_alone(section, cache, open_page) -> None:
    opened = open_page(html.page(page_summaries.regression_summary(num_stations=30), cache=cache, sections=[section]))
    opened.page.wait_for_function(DRAWN)
    assert opened.page.locator("main > section").count() == 1
    assert opened.said == []


def test_vega_is_carried_only_where_there_is_a_chart(regression, cache) -> None:
    with_charts = html.page(regression, cache=cache, sections=["curves"])
    without = html.page(page_summaries.regression_summary(num_stations=30), cache=cache, sections=["slices"])
    assert len(with_charts) > 800_000 > 100_000 > len(without)


def test_the_script_of_vega_is_kept(tmp_path, cache) -> None:
    code = html.vega_script(cache)
    (kept,) = cache.glob("vega-*.js")
    assert kept.read_text(encoding="utf-8") == code
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / kept.name).write_text("kept")
    assert html.vega_script(folder) == "kept"


def test_a_view_is_a_frame_that_cannot_reach_out(regression, cache, open_page, tmp_path) -> None:
    view = View(regression, sections=("slices",), cache=cache)
    assert repr(view) == "View(birth_year <b>of all</b> 1:2: slices)"
    frame = view._repr_html_()
    assert frame.startswith("<iframe ")
    opened = open_page(f"<!doctype html><title>a notebook</title><body>{frame}</body>")
    inside = opened.page.frame_locator("iframe")
    inside.locator("[data-told=status]").wait_for()
    assert inside.locator("[data-told=status]").inner_text().startswith("3 of 3 slices")
    inside.get_by_label("Sliced by").select_option(label="start_station_name")
    assert inside.locator("[data-told=status]").inner_text().startswith("5,000 of 5,000 slices")
    assert (
        opened.page.frames[1].evaluate(
            "(() => { try { return parent.document.title; } catch { return 'refused'; } })()"
        )
        == "refused"
    )
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "about:", "data:"))] == []
    saved = view.save(tmp_path / "view.html")
    assert saved.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert markup.escape("</script>") not in saved.read_text(encoding="utf-8").split("<body")[0]


def test_data_cannot_end_its_element() -> None:
    text = "</script><!--<script>\u2028\u2029&lt;"
    written = str(html._data("x", {"name": text, "infinite": float("inf")}))
    inside = written.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set("<>&\u2028\u2029") & set(inside)
    assert json.loads(inside) == {"name": text, "infinite": None}


def test_summaries_of_nothing_are_told(cache, open_page) -> None:
    empty = page_summaries.regression_summary(num_stations=20)
    label = empty["labels"][0]
    label.update(overall=[], verdicts=[], diagnostics=[], slices=[])
    label["worst"]["slices"] = []
    empty["curves"]["points"] = []
    empty["curves"]["best_step"] = None
    empty["columns"] = []
    empty["split"].update(by=None, num_small_groups=0, small_groups=[])
    opened = open_page(html.page(empty, cache=cache))
    shown = opened.page.locator("main").inner_text()
    for told in ("names no slices", "Nothing was measured", "No statistics", "All rows were divided together"):
        assert told in shown
    assert opened.said == []


def test_values_that_are_missing_are_dashes(cache) -> None:
    summary = page_summaries.regression_summary(num_stations=20)
    label = summary["labels"][0]
    for row in label["overall"]:
        row.update(low=None, high=None, skill=None, constant=None, model=None, constant_is=None)
    label["diagnostics"][0].update(residual_mean=None, residual_quantiles={"0.05": None, "0.5": None, "0.95": None})
    label["worst"]["slices"][0].update(low=None, high=None, rest=None, p_value=None, difference=None)
    summary["run"].update(seconds=None, ended_at=None)
    summary["run"]["stages"][0].update(seconds=None)
    assert "–" in html.page(summary, cache=cache)


NUMBERS = [
    (33319019, "33,319,019"), (7.2612345, "7.26123"), (0.088, "0.088"), (-3.5, "−3.5"), (0.0, "0"), (1234567.891, "1,234,568"),
    (0.00001234, "1.234e-05"), (None, "–"), (float("nan"), "–"), (1984.0, "1,984"), (100000.25, "100,000"), (1e20, "1e+20"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers(value, text) -> None:
    assert formats.number(value) == text


def test_values_of_columns_are_not_numbers_for_counting() -> None:
    assert formats.cell(1984) == "1984"
    assert formats.cell(1984.0) == "1984"
    assert formats.cell(0.1) == "0.1"
    assert formats.cell(True) == "true"
    assert formats.cell(None) == '<span class="null">null</span>'
    assert formats.cell("<b>") == "<bdi>&lt;b&gt;</bdi>"


def test_decimals_are_those_of_the_middle_value() -> None:
    assert formats.decimals_of([7.26, 7.96]) == 4
    assert formats.decimals_of([98.3, 122.4]) == 2
    assert formats.decimals_of([0.84, 0.86]) == 4
    assert formats.decimals_of([None, 123456.0]) == 0
    assert formats.decimals_of([]) == 0


def test_colours_of_the_heatmap_grow_in_equal_ratios() -> None:
    assert charts._starts(7) == [1, 2, 5]
    assert charts._starts(1500) == [1, 3, 10, 30, 100, 300, 1000]
    assert charts._starts(3_000_000) == [10**power for power in range(7)]
    assert charts._starts(0) == [1]
    assert all(len(charts._starts(10**power)) < 9 for power in range(19))


def test_specs_name_only_our_own_fields(regression) -> None:
    found = regression["labels"][0]["diagnostics"][0]
    renamed = [{**point, "series": "<script>datum['x']"} for point in regression["curves"]["points"]]
    specs = [
        charts.curve(renamed, 1),
        charts.predicted_true(found["predicted_true"]),
        charts.residuals(found["residuals"], 1.0),
    ]
    for spec in specs:
        fields = set(re.findall(r'"field": "([^"]*)"', json.dumps(spec)))
        assert fields <= {
            "step",
            "series",
            "value",
            "told",
            "t0",
            "t1",
            "p0",
            "p1",
            "band",
            "num_rows",
            "e0",
            "e1",
            "at",
        }
        assert "expr" not in json.dumps(spec)


def test_a_verdict_within_the_noise_is_neither_good_nor_bad() -> None:
    label = page_summaries.regression_summary(num_stations=20)["labels"][0]
    assert sections.verdict_level(label, "eval") == "good"
    label["overall"][0].update(linear_high=0.1)
    assert sections.verdict_level(label, "eval") == "hardly"
    label["overall"][0].update(linear_low=0.05, linear_difference=0.08)
    assert sections.verdict_level(label, "eval") == "bad"
    label["overall"][0].update(linear=None, high=8.0)
    assert sections.verdict_level(label, "eval") == "hardly"
    label["overall"][0].update(skill=-0.1)
    assert sections.verdict_level(label, "eval") == "bad"
    assert sections.verdict_level(label, "none such") == "none"
