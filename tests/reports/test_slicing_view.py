"""The slicing view in a browser: each control does what it says, at once, and by keyboard too."""
# ruff: noqa: RUF001  the page writes a true minus, dashes and a cross

from __future__ import annotations

import page_summaries
import pytest

from cengine.reports import html

NUM_STATIONS = 5000


@pytest.fixture(scope="module")
def summary() -> dict:
    return page_summaries.regression_summary()


@pytest.fixture(scope="module")
def one_run(summary, cache) -> str:
    return html.page(summary, cache=cache, sections=["slices"])


@pytest.fixture(scope="module")
def two_runs(summary, cache) -> str:
    return html.page(
        summary, other=page_summaries.regression_summary(seed=5, run=1, shift=0.5), cache=cache, sections=["slices"]
    )


@pytest.fixture
def stations(summary) -> dict:
    (found,) = [found for found in summary["labels"][0]["slices"] if found["columns"] == ["start_station_name"]]
    return found


@pytest.fixture
def view(one_run, open_page):
    """The view of one run, sliced by station."""
    opened = open_page(one_run)
    opened.page.get_by_label("Sliced by").select_option(label="start_station_name")
    yield opened.page
    assert opened.said == []
    assert opened.dialogs == []
    assert len(opened.asked) == 1


def by_harm(slices: dict, overall: float, metric: str = "mae", higher: bool = False) -> list[int]:
    """The places of the slices, the most harmful first."""
    found = slices["metrics"][metric]["value"]
    harm = [
        (value - overall) * rows * (-1 if higher else 1) for value, rows in zip(found, slices["num_rows"], strict=True)
    ]
    return sorted(range(len(harm)), key=lambda place: -harm[place])


def status(page) -> str:
    return page.locator("[role=status]").inner_text()


def column(page, number: int) -> list[str]:
    return page.locator(f"[data-place=table] tbody tr > :nth-child({number})").all_inner_texts()


def headers(page) -> list[str]:
    return page.locator("[data-place=table] thead th").all_inner_texts()


def bars(page):
    return page.locator(".histogram .bars button")


def type_into(page, label: str, text: str) -> None:
    page.get_by_label(label, exact=True).fill(text)


def test_what_is_there_at_first(one_run, summary, open_page) -> None:
    page = open_page(one_run).page
    assert status(page) == "3 of 3 slices, " + f"{sum(summary['labels'][0]['slices'][0]['num_rows']):,} rows"
    assert headers(page)[:4] == ["gender", "Rows", "mae", "95 % interval"]
    assert (
        "All slices together: mae 7.2612 (95 % interval 7.2492 – 7.2732) on 3,053,205 rows; lower is better."
        in page.content()
    )
    assert page.get_by_label("Split", exact=True).count() == 1
    assert not page.get_by_label("Split", exact=True).is_visible()
    genders = summary["labels"][0]["slices"][0]
    assert column(page, 1) == [str(genders["values"][0][place]) for place in by_harm(genders, 7.2612)]


def test_columns_and_crosses(view, stations) -> None:
    assert status(view).startswith("5,000 of 5,000 slices")
    first = by_harm(stations, 7.2612)[:50]
    assert column(view, 2) == [f"{stations['num_rows'][place]:,}" for place in first]
    assert headers(view)[4:] == ["Interval, drawn", "Constant", "Harm", "mse"]
    shown = [float(text.replace(",", "").replace("−", "-").replace("+", "")) for text in column(view, 7)]
    values, rows = stations["metrics"]["mae"]["value"], stations["num_rows"]
    assert shown == pytest.approx([(values[place] - 7.2612) * rows[place] for place in first], abs=0.6)
    marked = view.locator("[data-place=table] tbody tr .bad").count()
    assert marked == sum(values[place] >= stations["metrics"]["mae"]["constant"][place] for place in first) > 0
    assert "Not on this page, since they are the smallest: 123 more slices." in view.content()
    view.get_by_label("Sliced by").select_option(label="gender × usertype")
    assert headers(view)[:3] == ["gender", "usertype", "Rows"]
    assert status(view).startswith("6 of 6 slices")
    assert "null" in column(view, 1)
    assert view.locator("[data-told=left-out]").is_hidden()


def test_metric(view, stations) -> None:
    view.get_by_label("Metric").select_option(label="mse")
    assert headers(view)[2] == "mse"
    first = by_harm(stations, 98.31, "mse")[0]
    assert float(column(view, 3)[0]) == pytest.approx(stations["metrics"]["mse"]["value"][first], abs=0.06)
    assert view.locator(".histogram .axis").inner_text() == "mse"
    assert view.locator("[data-place=table] caption").inner_text() == "mse by start_station_name, eval"


def test_buckets(view) -> None:
    for number in (5, 60):
        type_into(view, "Buckets", str(number))
        assert bars(view).count() == number
    counted = [bars(view).nth(k).get_attribute("aria-label") for k in range(60)]
    assert sum(int(told.split(": ")[1].split(" ")[0].replace(",", "")) for told in counted) == NUM_STATIONS
    type_into(view, "Buckets", "100000")
    assert bars(view).count() == 100
    type_into(view, "Buckets", "")
    assert bars(view).count() == 20


def test_bars_count_slices_or_rows(view, stations) -> None:
    def heights() -> list[float]:
        return view.evaluate(
            "[...document.querySelectorAll('.histogram .fill')].map((bar) => bar.getBoundingClientRect().height)"
        )

    type_into(view, "Buckets", "10")
    values, rows = stations["metrics"]["mae"]["value"], stations["num_rows"]
    low, width = min(values), (max(values) - min(values)) / 10
    for weight, sizes in (("slices", [1] * len(rows)), ("rows", rows)):
        view.get_by_label("Bars count").select_option(label=weight)
        sums = [0.0] * 10
        for value, size in zip(values, sizes, strict=True):
            sums[min(9, int((value - low) / width))] += size
        full = max(heights())
        assert heights() == pytest.approx([full * total / max(sums) for total in sums], abs=2.5)


def test_threshold_in_rows_and_in_shares(view, stations) -> None:
    large = [rows for rows in stations["num_rows"] if rows >= 300]
    type_into(view, "Slices with at least", "300")
    assert status(view) == f"{len(large):,} of 5,000 slices, {sum(large):,} rows"
    assert view.get_by_label("Smallest slice shown").get_attribute("aria-valuetext") == "at least 300 rows"
    view.get_by_label("Unit of the smallest size").select_option("share")
    type_into(view, "Slices with at least", "0.1")
    large = [rows for rows in stations["num_rows"] if rows >= 3053.205]
    assert status(view) == f"{len(large):,} of 5,000 slices, {sum(large):,} rows"
    type_into(view, "Slices with at least", "99")
    assert status(view) == "0 of 5,000 slices, 0 rows"
    assert view.locator(".histogram").inner_text().startswith("No slice is that large.")


def test_the_slider_moves_the_threshold(view, stations) -> None:
    view.get_by_label("Smallest slice shown").fill("50")
    smallest = int(view.get_by_label("Slices with at least", exact=True).input_value())
    assert smallest == pytest.approx(stations["num_rows"][0] ** 0.5, abs=1)
    assert status(view).startswith(f"{sum(rows >= smallest for rows in stations['num_rows']):,} of 5,000 slices")


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize(("header", "key"), [("Rows", "num_rows"), ("mae", "mae"), ("mse", "mse")])
def test_sorting_by_numbers(view, stations, header, key, ascending) -> None:
    button = view.locator("[data-place=table] thead").get_by_role("button", name=header, exact=True)
    button.click()
    if ascending:
        button.click()
    values = stations["num_rows"] if key == "num_rows" else stations["metrics"][key]["value"]
    number = headers(view).index(header) + 1
    shown = [float(text.replace(",", "")) for text in column(view, number)]
    assert shown == pytest.approx(sorted(values, reverse=not ascending)[:50], abs=0.01)
    sorted_ones = view.locator("[data-place=table] th[aria-sort]")
    assert sorted_ones.count() == 1
    assert sorted_ones.get_attribute("aria-sort") == ("ascending" if ascending else "descending")


def test_sorting_by_values_has_missing_ones_last(view) -> None:
    button = view.locator("[data-place=table] thead").get_by_role("button", name="start_station_name")
    button.click()
    first = column(view, 1)
    assert first[:1] == ["(empty)"]
    assert first.index("Broadway & 0 Ave") < first.index("Broadway & 5 Ave") < first.index("Broadway & 10 Ave")
    view.get_by_role("button", name="Last page").click()
    assert column(view, 1)[-1] == "null"
    button.click()
    view.get_by_role("button", name="Last page").click()
    assert column(view, 1)[-1] == "null"


def test_the_text_filter(view) -> None:
    type_into(view, "Containing the text", "drop TABLE")
    assert status(view).startswith("1 of 5,000 slices")
    assert column(view, 1) == [page_summaries.HOSTILE[1]]
    type_into(view, "Containing the text", "<script>")
    assert set(column(view, 1)) == {page_summaries.HOSTILE[0], page_summaries.HOSTILE[4]}
    type_into(view, "Containing the text", "יפו")
    assert column(view, 1) == [page_summaries.HOSTILE[7]]
    type_into(view, "Containing the text", "no such")
    assert status(view) == "0 of 5,000 slices, 0 rows"
    type_into(view, "Containing the text", "")
    assert status(view).startswith("5,000 of 5,000 slices")


def test_pages(view) -> None:
    pages = view.locator("[data-place=pages]")
    assert "Page 1 of 100" in pages.inner_text()
    assert len(column(view, 1)) == 50
    first = column(view, 1)
    view.get_by_role("button", name="Next").click()
    assert "Page 2 of 100" in pages.inner_text()
    assert not set(first) & set(column(view, 1))
    view.get_by_role("button", name="Last page").click()
    assert "Page 100 of 100" in pages.inner_text()
    assert view.get_by_role("button", name="Next").is_disabled()
    type_into(view, "Slices with at least", "3000")
    assert "Page 1 of" in pages.inner_text()


def test_a_bar_shows_only_its_slices(view, stations) -> None:
    type_into(view, "Buckets", "10")
    values = stations["metrics"]["mae"]["value"]
    low, width = min(values), (max(values) - min(values)) / 10
    inside = [value for value in values if min(9, int((value - low) / width)) == 3]
    bars(view).nth(3).click()
    assert status(view).startswith(f"{len(inside):,} of 5,000 slices")
    assert bars(view).nth(3).get_attribute("aria-pressed") == "true"
    shown = [float(text) for text in column(view, 3)]
    assert all(low + 3 * width - 1e-3 <= value <= low + 4 * width + 1e-3 for value in shown)
    view.get_by_role("button", name="show all").click()
    assert status(view).startswith("5,000 of 5,000 slices")
    bars(view).nth(3).click()
    view.keyboard.press("Escape")
    assert status(view).startswith("5,000 of 5,000 slices")


def test_all_of_it_by_keyboard(one_run, open_page) -> None:
    page = open_page(one_run).page

    def focused(what: str):
        return page.evaluate(f"document.activeElement.{what}")

    def tab_to(condition: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"((e) => {condition})(document.activeElement)"):
                return
        raise AssertionError(f"the Tab key never came to {condition}")

    page.keyboard.press("Tab")
    assert focused("textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    tab_to("e.dataset.control === 'columns'")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert status(page).startswith("5,000 of 5,000 slices")
    tab_to("e.dataset.control === 'buckets'")
    page.keyboard.press("ArrowUp")
    assert bars(page).count() == 21
    tab_to("e.dataset.control === 'slider'")
    page.keyboard.press("End")
    assert status(page).startswith("1 of 5,000 slices")
    page.keyboard.press("Home")
    assert status(page).startswith("5,000 of 5,000 slices")
    tab_to("e.closest('.bars')")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    name = focused("getAttribute('aria-label')")
    assert name.startswith("mae ")
    page.keyboard.press("Enter")
    assert status(page).startswith(name.split(": ")[1].split(" ")[0] + " of 5,000 slices")
    assert focused("getAttribute('aria-pressed')") == "true"  # the focus stays on the bar
    page.keyboard.press("Space")
    assert status(page).startswith("5,000 of 5,000 slices")
    # One stop for all bars: the next one is outside.
    page.keyboard.press("Tab")
    assert not page.evaluate("Boolean(document.activeElement.closest('.bars'))")
    tab_to("e.closest('th')?.dataset.column === 'metric'")
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort]").inner_text() == "mae"
    assert focused("closest('th').dataset.column") == "metric"
    tab_to("e.dataset.page === 'next'")
    page.keyboard.press("Enter")
    assert "Page 2 of 100" in page.locator("[data-place=pages]").inner_text()
    assert focused("dataset.page") == "next"


def test_a_second_run_beside_the_first(two_runs, summary, open_page) -> None:
    opened = open_page(two_runs)
    page = opened.page
    page.get_by_label("Sliced by").select_option(label="start_station_name")
    assert headers(page)[-3:] == ["run 1:1", "Difference", "mse"]
    theirs = page_summaries.regression_summary(seed=5, run=1, shift=0.5)["labels"][0]["slices"][2]
    own = summary["labels"][0]["slices"][2]
    first = by_harm(own, 7.2612)[0]
    value, other = (found["metrics"]["mae"]["value"][first] for found in (own, theirs))
    row = page.locator("[data-place=table] tbody tr").nth(0).locator("th, td").all_inner_texts()
    shown = [float(row[k].split(" ")[0].split("\n")[0].replace("−", "-")) for k in (2, 7, 8)]
    assert shown == pytest.approx([value, other, value - other], abs=2e-3)
    assert page.locator(".histogram .fill.other").count() == 20
    assert "run 1:1: mae" not in page.locator("[data-told=overall]").inner_text()
    assert "; run 1:1: 7.76" in page.locator("[data-told=overall]").inner_text()
    assert page.locator(".histogram .rule.other").inner_text().startswith("run 1:1 7.76")
    page.locator("thead").get_by_role("button", name="Difference").click()
    differences = [float(text.split(" ")[0].split("\n")[0].replace("−", "-")) for text in column(page, 9)]
    assert differences == sorted(differences, reverse=True)
    page.get_by_label("beside run 1:1").uncheck()
    assert "Difference" not in headers(page)
    assert page.locator(".histogram .fill.other").count() == 0
    assert opened.said == []


def test_slices_that_only_one_run_has(cache, open_page) -> None:
    own, other = (page_summaries.regression_summary(seed=seed, num_stations=40, run=seed) for seed in (1, 2))
    other["labels"][0]["slices"][0]["values"] = [[1, 2, 9]]
    other["labels"][0]["slices"] = other["labels"][0]["slices"][:1]
    page = open_page(html.page(own, other=other, cache=cache, sections=["slices"])).page
    assert status(page).startswith("4 of 4 slices")
    assert "Only in run 1:2: 1 slice." in page.content()
    rows = {
        row[0]: row
        for row in (r.locator("th, td").all_inner_texts() for r in page.locator("[data-place=table] tbody tr").all())
    }
    assert rows["9"][2] == "–"
    assert rows["0"][7:9] == ["–", "–"]
    page.get_by_label("Sliced by").select_option(label="start_station_name")
    assert "run 1:2 was not sliced like this." in page.content()
    assert "Difference" not in headers(page)


def test_splits_are_chosen_where_there_are_several(cache, open_page) -> None:
    page = open_page(html.page(page_summaries.binary_summary(), cache=cache, sections=["slices"])).page
    before = column(page, 3)
    page.get_by_label("Split", exact=True).select_option(label="test")
    assert page.locator("[data-place=table] caption").inner_text() == "auc by sex, test"
    assert column(page, 3) != before
    assert "on 4,000 rows; higher is better" in page.locator("[data-told=overall]").inner_text()


def test_several_labels_have_views_of_their_own(cache, open_page) -> None:
    summary = page_summaries.regression_summary(num_stations=30)
    summary["labels"].append({**page_summaries.binary_summary()["labels"][0]})
    opened = open_page(html.page(summary, cache=cache))
    page = opened.page
    assert page.locator(".slicing").count() == 2
    assert page.locator(".slicing h3").all_inner_texts() == ["birth_year", "income"]
    second = page.locator(".slicing").nth(1)
    second.get_by_label("Metric").select_option(label="accuracy")
    assert second.locator("caption").inner_text() == "accuracy of income by sex, eval"
    assert page.locator(".slicing").nth(0).locator("caption").inner_text() == "mae of birth_year by gender, eval"
    assert opened.said == []
