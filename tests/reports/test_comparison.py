"""A comparison as data, and its page in a browser off the network."""

from __future__ import annotations

import json
import math
import re
import time

import pytest

from cengine.evaluation.paired import Difference
from cengine.reports.compare import LabelFacts, RunFacts, compared, page, verdict_of
from cengine.reports.summary import plain

HOSTILE = [
    "<script>alert(1)</script>",
    '"; DROP TABLE runs; --',
    "عنوان \u202etxt 🚲",
    "n" * 200,
    "{{ 1 + 1 }} </script><!--",
    "it's & <b>",
]
METRICS = [
    {"name": "mae", "unit": "label", "higher_is_better": False, "description": "mean |y - p|"},
    {"name": "r2", "unit": "", "higher_is_better": True, "description": "1 - <b>"},
]


def run_facts(key: str, pipeline: str = "trial", **settings) -> RunFacts:
    pairs = [{"path": path.replace("__", "."), "value": value} for path, value in settings.items()]
    data = {"datasource": "trips", "snapshot": 1, "rows": 10_000}
    return RunFacts(key, pipeline, int(key.split(":")[1]), "2026-01-02T03:04:05.6+00:00", 12.5, data, pairs)


def values(mae: float, num_rows: int = 1_000) -> dict:
    def told(value: float, constant: float) -> dict:
        return {
            "model": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "constant": constant,
            "constant_is": "train median <i>",
            "skill": 0.5,
        }

    return {"num_rows": num_rows, "metrics": {"mae": told(mae, 8.0), "r2": told(1 - mae / 10, 0.0)}}


def label_facts(maes: dict[str, float], name: str = "y", against: str | None = None, **options) -> LabelFacts:
    facts = LabelFacts(
        name, "regression", list(maes), METRICS, {"eval": {key: values(mae) for key, mae in maes.items()}}
    )
    facts.choose_references(against)
    best = facts.references["eval"]
    for key, mae in maes.items():
        if key != best:
            gap = mae - maes[best]
            facts.differences["eval", key] = [
                Difference(name, "eval", "mae", 1_000, maes[best], mae, gap, gap - 0.05, gap + 0.05),
                Difference(
                    name, "eval", "r2", 1_000, 0.5, 0.5 - gap / 10, -gap / 10, -gap / 10 - 0.005, -gap / 10 + 0.005
                ),
            ]
            facts.num_common["eval", key] = options.get("num_common", 1_000)
    return facts


def comparison(runs, labels, **more) -> dict:
    return plain(compared(runs, labels, more.get("alone", []), more.get("left_out", [])))


def told(found: dict, key: str, metric: str = "mae") -> dict:
    (run,) = [run for run in found["labels"][0]["splits"][0]["runs"] if run["run"] == key]
    return run["metrics"][metric]


# Data


def test_the_best_is_marked_and_compared_with() -> None:
    found = comparison(
        [run_facts("1:1"), run_facts("2:1"), run_facts("3:1")], [label_facts({"1:1": 7.5, "2:1": 7.2, "3:1": 7.22})]
    )
    split = found["labels"][0]["splits"][0]
    assert split["reference"] == "2:1"
    assert [run["run"] for run in split["runs"]] == ["2:1", "3:1", "1:1"]
    assert [run["metrics"]["mae"]["best"] for run in split["runs"]] == [True, False, False]
    assert told(found, "2:1")["against"] is None
    assert told(found, "1:1")["against"]["verdict"] == "worse"
    assert told(found, "3:1")["against"]["verdict"] == "noise"


def test_sentences() -> None:
    runs = [run_facts("1:1", "narrow"), run_facts("2:1", "wide"), run_facts("3:1", "wider")]
    labels = [label_facts({"1:1": 7.51, "2:1": 7.2, "3:1": 7.22}, against="1:1")]
    found = comparison(runs, labels)
    assert (
        told(found, "2:1")["against"]["sentence"]
        == "eval: wide 2:1 is better than narrow 1:1, its mae lower by 0.31 (0.26 to 0.36)."
    )
    assert (
        told(found, "2:1", "r2")["against"]["sentence"]
        == "eval: wide 2:1 is better than narrow 1:1, its r2 higher by 0.031 (0.026 to 0.036)."
    )
    assert told(found, "2:1")["against"]["told"] == "better by 0.31 (0.26 to 0.36)"
    found = comparison(runs, [label_facts({"1:1": 7.51, "2:1": 7.2, "3:1": 7.22})])
    sentence = "eval: the mae of wider 3:1 and wide 2:1 differs by 0.02 (\u22120.03 to 0.07), which is within the noise of the eval sample."
    assert told(found, "3:1")["against"]["sentence"] == sentence


def test_rows_that_one_evaluated_only_are_told() -> None:
    found = comparison([run_facts("1:1"), run_facts("2:1")], [label_facts({"1:1": 7.5, "2:1": 7.2}, num_common=900)])
    assert told(found, "1:1")["against"]["sentence"].endswith(
        " Compared over the 900 rows that both evaluated; 100 of trial 1:1 and 100 of trial 2:1 are not comparable."
    )
    label = label_facts({"1:1": 7.5, "2:1": 7.2})
    label.differences["eval", "1:1"] = []
    found = comparison([run_facts("1:1"), run_facts("2:1")], [label])
    against = told(found, "1:1")["against"]
    assert (against["verdict"], against["difference"]) == ("no rows", None)
    assert (
        against["sentence"]
        == "eval: there is no row that both trial 1:1 and trial 2:1 evaluated, so that nothing can be said."
    )


@pytest.mark.parametrize(
    ("difference", "low", "high", "higher_is_better", "verdict"),
    [
        (0.3, 0.2, 0.4, True, "better"), (0.3, 0.2, 0.4, False, "worse"), (-0.3, -0.4, -0.2, False, "better"), (0.1, -0.1, 0.3, True, "noise"),
        (0.1, 0.0, 0.2, True, "noise"), (0.0, 0.0, 0.0, True, "same"), (0.3, math.nan, math.nan, True, "unknown"),
    ],
)  # fmt: skip
def test_verdicts(difference, low, high, higher_is_better, verdict) -> None:
    assert (
        verdict_of(Difference("y", "eval", "m", 9, 0.5, 0.5 + difference, difference, low, high), higher_is_better)
        == verdict
    )


def test_many_pairs_are_warned_of() -> None:
    few, many = ({f"{i}:1": 7 + i / 100 for i in range(n)} for n in (5, 30))
    assert comparison([run_facts(key) for key in few], [label_facts(few)])["note"] is None
    assert "these are 29" in comparison([run_facts(key) for key in many], [label_facts(many)])["note"]


def test_a_metric_that_is_not_known_is_no_best_one() -> None:
    label = label_facts({"1:1": 7.5, "2:1": math.nan})
    assert label.references == {"eval": "1:1"}
    found = comparison([run_facts("1:1"), run_facts("2:1")], [label])
    assert [run["run"] for run in found["labels"][0]["splits"][0]["runs"]] == ["1:1", "2:1"]
    assert told(found, "2:1")["model"] is None
    assert not told(found, "2:1")["best"]
    json.dumps(found, allow_nan=False)


# The page


def slices(keys, names, split="eval", num_columns=1) -> dict:
    def metric(shift: float) -> dict:
        return {
            "value": [shift + i / 100 for i in range(len(names))],
            "low": [shift + i / 100 - 0.2 for i in range(len(names))],
            "high": [shift + i / 100 + 0.2 for i in range(len(names))],
        }

    return {
        "columns": ["station", HOSTILE[0]][:num_columns],
        "split": split,
        "num_slices": len(names) + 7,
        "num_left_out": 7,
        "values": [list(names)] + [[i % 3 for i in range(len(names))]] * (num_columns - 1),
        "runs": {
            key: {
                "num_rows": [1000 - i for i in range(len(names))],
                "metrics": {"mae": metric(7 + n / 10), "r2": metric(0.5)},
            }
            for n, key in enumerate(keys)
        },
    }


def small_page(cache, **more) -> str:
    runs = [
        run_facts("1:1", "narrow", trainer__units=8, trainer__rate=0.01, features__x__kind="float"),
        run_facts("2:1", "wide", trainer__units=32, trainer__rate=0.01),
        run_facts("3:1", "deep", trainer__units=16, trainer__rate=0.001),
    ]
    label = label_facts({"1:1": 7.5, "2:1": 7.2, "3:1": 7.22})
    label.slices = [
        slices(["1:1", "2:1", "3:1"], [f"station {i}" for i in range(100)]),
        slices(["1:1", "2:1"], ["a", None, ""], num_columns=2),
    ]
    return page(comparison(runs, [label], **more), cache=cache)


def is_drawn(page, name: str) -> None:
    page.wait_for_selector(f"#{name}-chart[data-drawn] svg")


def labels_of(page, name: str) -> list[str]:
    return page.eval_on_selector_all(f"#{name}-chart svg text", "texts => texts.map((text) => text.textContent)")


def test_the_page_asks_for_nothing_and_says_nothing(open_page, cache) -> None:
    opened = open_page(small_page(cache))
    for name in ("slices", "parallel"):
        is_drawn(opened.page, name)
    assert len(opened.asked) == 1
    assert (opened.said, opened.dialogs) == ([], [])
    text = opened.page.inner_text("#metrics")
    assert "narrow 1:1 is worse than wide 2:1, its mae higher by 0.3 (0.25 to 0.35)." in text
    assert "within noise: 0.02 (-0.03 to 0.07)" in text.replace("\u2212", "-").replace("\n", " ")
    assert opened.page.inner_text("#metrics td.best >> nth=0").startswith("7.2000 best")
    differing = [row.split("\t") for row in opened.page.inner_text("#settings tbody").splitlines()]
    assert differing == [
        ["trainer.units", "8", "32", "16"],
        ["trainer.rate", "0.01", "0.01", "0.001"],
        ["features.x", "true", "\u2013", "\u2013"],
    ]


def test_slices_follow_the_controls(open_page, cache) -> None:
    page = open_page(small_page(cache)).page
    is_drawn(page, "slices")
    assert page.inner_text("#slices-status") == "mae of 40 of 100 slices, the largest of 107, most rows first."
    assert "station 0" in labels_of(page, "slices")
    assert "station 40" not in labels_of(page, "slices")
    assert page.eval_on_selector_all("#slices-chart svg .mark-symbol path", "dots => dots.length") >= 3 * 40

    page.fill("#slices-text", "ion 4")
    is_drawn(page, "slices")
    assert page.inner_text("#slices-status").startswith("mae of 11 slices")
    assert "station 40" in labels_of(page, "slices")
    page.fill("#slices-text", "no such station")
    is_drawn(page, "slices")
    assert page.inner_text("#slices-status").startswith("mae of 0 slices")
    page.fill("#slices-text", "")

    page.select_option("#slices-metric", label="r2")
    page.locator("#slices summary", has_text="as a table").click()
    assert page.inner_text("#slices-table caption") == "r2 with 95 % interval"
    first = page.inner_text("#slices-table tbody tr >> nth=1").split("\t")
    assert (first[0], first[1].split(), first[-1]) == ("station 1", ["0.5100", "0.3100", "\u2013", "0.7100"], "999")

    page.select_option("#slices-set", label="station \u00d7 <script>alert(1)</script>")
    is_drawn(page, "slices")
    assert {"a · 0", "null · 1", "(empty) · 2"} <= set(labels_of(page, "slices"))

    page.locator("#slices-runs-part summary").press("Enter")
    page.get_by_label("wide 2:1", exact=True).press("Space")
    is_drawn(page, "slices")
    assert page.inner_text("#slices-num-runs") == "1"
    assert page.inner_text("#slices-table thead tr").split("\t") == [
        "station \u00d7 <script>alert(1)</script>",
        "narrow 1:1",
        "Rows",
    ]


def test_a_run_stands_out_of_the_parallel_coordinates(open_page, cache) -> None:
    page = open_page(small_page(cache)).page
    is_drawn(page, "parallel")
    assert {"trainerunits", "trainerrate", "mae", "32", "7.5"} <= set(labels_of(page, "parallel"))
    opacities = "lines => lines.map((line) => Number(line.getAttribute('opacity')))"
    lines = "#parallel-chart svg .mark-line path"
    assert set(page.eval_on_selector_all(lines, opacities)) == {0.8}
    page.select_option("#parallel-run", "2:1")
    page.wait_for_function(
        f"() => [...document.querySelectorAll('{lines}')].filter((line) => line.getAttribute('opacity') === '1').length === 1"
    )
    status = page.inner_text("#parallel-status")
    assert (
        re.sub("[\u2068\u2069]", "", status)
        == "wide 2:1: trainer.units 32, trainer.rate 0.01, features.x not set, mae 7.2"
    )
    page.select_option("#parallel-metric", label="r2 of y on eval")
    is_drawn(page, "parallel")
    assert "r2" in labels_of(page, "parallel")
    page.select_option("#parallel-run", "")
    assert page.inner_text("#parallel-status") == ""
    page.locator("#parallel-chart svg .mark-line path >> nth=0").hover(force=True)
    page.wait_for_function("() => document.getElementById('parallel-status').textContent !== ''")


def test_hostile_texts_are_texts(open_page, cache) -> None:
    runs = [
        run_facts(f"{i + 1}:1", name, **{f"features__{json.dumps(name)}__kind": name, "trainer__word": name})
        for i, name in enumerate(HOSTILE)
    ]
    keys = [run.key for run in runs]
    label = label_facts({key: 7 + i / 10 for i, key in enumerate(keys)}, name=HOSTILE[0])
    label.slices = [slices(keys, HOSTILE, num_columns=2)]
    more = {
        "alone": [{"label": HOSTILE[4], "task": "binary", "run": keys[0]}],
        "left_out": [{"name": HOSTILE[1], "reason": HOSTILE[0]}],
    }
    opened = open_page(page(comparison(runs, [label], **more), cache=cache))
    for name in ("slices", "parallel"):
        is_drawn(opened.page, name)
    assert (opened.said, opened.dialogs) == ([], [])
    assert len(opened.asked) == 1
    text = opened.page.inner_text("main")
    for name in HOSTILE:
        assert name in text, name
    assert opened.page.eval_on_selector_all("main b, main i:not(bdi)", "found => found.length") == 0
    assert "<script>alert(1)</script> · 0" in labels_of(opened.page, "slices")
    # What is written from right to left must not turn round what follows it.
    name = HOSTILE[2].replace("\u202e", "")
    assert f"eval: \u2068{name}\u2069 3:1 is worse than" in text
    opened.page.select_option("#parallel-run", "3:1")
    assert "\u202e" not in opened.page.inner_text("#parallel-status")


def test_two_hundred_runs(open_page, cache) -> None:
    keys = [f"{i}:1" for i in range(1, 201)]
    runs = [
        run_facts(
            key, trainer__units=8 * (i % 9 + 1), trainer__rate=10 ** -(1 + i % 40 / 10), trainer__word=f"w{i % 30}"
        )
        for i, key in enumerate(keys)
    ]
    label = label_facts({key: 7 + math.sin(i) for i, key in enumerate(keys)})
    label.slices = [slices(keys, [f"station {i}" for i in range(100)])]
    text = page(comparison(runs, [label]), cache=cache)
    assert len(text) < 6_000_000
    opened = open_page(text)
    is_drawn(opened.page, "parallel")
    is_drawn(opened.page, "slices")
    assert opened.said == []
    assert opened.page.eval_on_selector_all("#parallel-chart svg .mark-line path", "lines => lines.length") == 200
    began = time.monotonic()
    opened.page.select_option("#parallel-run", "77:1")
    opened.page.wait_for_function("() => document.querySelector('#parallel-chart svg .mark-line path[opacity=\"1\"]')")
    assert time.monotonic() - began < 2


def test_nothing_to_compare_is_said(open_page, cache) -> None:
    found = comparison([run_facts("1:1"), run_facts("2:1")], [], alone=[{"label": "y", "task": "binary", "run": "1:1"}])
    opened = open_page(page(found, cache=cache))
    text = opened.page.inner_text("main")
    for said in (
        "No label is in two of these runs",
        "No run slices by a column",
        "configurations and data are the same",
        "no setting that differs",
    ):
        assert said in text
    assert opened.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_is_wider_than_the_page(open_page, cache, scheme, width) -> None:
    page = open_page(small_page(cache), width=width, scheme=scheme).page
    is_drawn(page, "parallel")
    is_drawn(page, "slices")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
