"""What differs between configurations, and settings as axes."""

from __future__ import annotations

import pytest

from cengine.reports.settings import axis, differing


def settings(**blocks):
    return [{"path": path.replace("__", "."), "value": value} for path, value in blocks.items()]


def feature(name: str, **more):
    return settings(
        **{
            f"features__{name}__kind": "float",
            f"features__{name}__transform": "log",
            **{f"features__{name}__{k}": v for k, v in more.items()},
        }
    )


def rows(*runs):
    return [(row["path"], row["values"]) for row in differing({str(i): run for i, run in enumerate(runs)})]


def test_only_what_differs() -> None:
    one = settings(trainer__seed=0, trainer__units=8, split__where=["x > 1"])
    other = settings(trainer__seed=0, trainer__units=16, split__where=["x > 2"])
    assert rows(one, other) == [("trainer.units", {"0": 8, "1": 16}), ("split.where", {"0": ["x > 1"], "1": ["x > 2"]})]
    assert rows(one, one, one) == []


def test_true_is_not_one() -> None:
    assert rows(settings(a=True), settings(a=1)) == [("a", {"0": True, "1": 1})]


def test_a_column_more_is_one_row() -> None:
    assert rows(feature("x"), feature("x") + feature("y", top_k=4)) == [("features.y", {"1": True})]


def test_a_column_that_some_have_is_compared_among_these() -> None:
    found = rows([], feature("y", filling="min"), feature("y", filling="max"))
    assert found == [("features.y", {"1": True, "2": True}), ("features.y.filling", {"1": "min", "2": "max"})]


def test_parameters_of_another_word_follow_from_it_but_numbers_are_told() -> None:
    one = settings(**{"trainer__layers[0]": "dense"})
    other = one + settings(
        **{"trainer__layers[1]": "dense", "trainer__layers[1]__units": 8, "trainer__layers[1]__use_bias": True}
    )
    assert rows(one, other) == [("trainer.layers[1]", {"1": "dense"}), ("trainer.layers[1].units", {"1": 8})]


def test_what_some_runs_only_have_stands_where_it_stands_there() -> None:
    one = settings(split__seed=0, trainer__a=1, trainer__z=1)
    other = settings(data__rows=4, split__seed=1, trainer__a=2, trainer__m=5, trainer__z=2)
    assert [path for path, _ in rows(one, other)] == ["data.rows", "split.seed", "trainer.a", "trainer.m", "trainer.z"]


def test_numbers_are_placed_by_size() -> None:
    found = axis("units", [8, 16, 12])
    assert found["positions"] == pytest.approx([0, 1, 0.5])
    assert [(tick["text"], tick["position"]) for tick in found["ticks"]] == [("8", 0.0), ("12", 0.5), ("16", 1.0)]


def test_numbers_of_many_sizes_are_placed_by_their_logarithm() -> None:
    assert axis("rate", [0.001, 0.01, 0.1])["positions"] == pytest.approx([0, 0.5, 1])
    assert axis("rate", [0, 0.01, 0.1])["positions"] == pytest.approx([0, 0.1, 1])


def test_numbers_that_are_close_have_even_ticks() -> None:
    found = axis("units", [1, 1.001, 3])
    assert [tick["text"] for tick in found["ticks"]] == ["1", "1.5", "2", "2.5", "3"]


def test_what_is_not_set_lies_lowest() -> None:
    found = axis("rate", [0.5, "not set", 1.0])
    assert found["positions"] == pytest.approx([0.15, 0, 1])
    assert found["told"] == ["0.5", "not set", "1.0"]
    assert found["ticks"][0] == {"position": 0.0, "text": "not set"}
    assert axis("word", ["b", "not set", "a"])["positions"] == [1.0, 0.0, 0.5]


def test_other_values_are_placed_evenly_numbers_in_their_order() -> None:
    assert axis("transform", ["log", "bucketize", "log"])["positions"] == [1.0, 0.0, 1.0]
    assert [tick["text"] for tick in axis("v", ["x10", "x2", True])["ticks"]] == ["true", "x2", "x10"]
    assert axis("same", [4, 4])["positions"] == [0.5, 0.5]


def test_many_values_have_few_ticks() -> None:
    found = axis("word", [f"w{i}" for i in range(100)])
    assert len(found["ticks"]) <= 12
    assert sorted(found["positions"]) == pytest.approx([i / 99 for i in range(100)])
