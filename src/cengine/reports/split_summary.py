"""How the rows of a run were split, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from cengine.preprocess.point_split import PointSplit
from cengine.preprocess.split import FoldedSplit

if TYPE_CHECKING:
    from cengine.reports.summary import Evidence


class FoldsSummary(TypedDict):
    """The rows of each fold, whether its groups are whole, and what was measured by whom."""

    rows: dict[str, int]
    whole_groups: bool
    sentence: str


class SplitSummary(TypedDict):
    """How the rows were split."""

    by: str | None
    order: str | None
    seed: int
    rows: dict[str, int]
    num_groups: int
    num_small_groups: int
    small_groups: list[Any]
    num_left_out: int
    num_filtered: int
    folds: NotRequired[FoldsSummary]
    series: NotRequired[list[str]]


def split_summary(evidence: Evidence) -> SplitSummary:
    split, report = evidence.split, evidence.split.report
    used = sum(report.rows.values()) + report.num_left_out
    found: SplitSummary = {
        "by": split.by,
        "order": split.order,
        "seed": split.seed,
        "rows": report.rows,
        "num_groups": report.num_groups,
        "num_small_groups": report.num_small_groups,
        "small_groups": report.small_groups,
        "num_left_out": report.num_left_out,
        "num_filtered": evidence.data["num_rows"] - used,
    }
    if isinstance(evidence.seen, PointSplit):
        found["series"] = evidence.seen.told
    if isinstance(split, FoldedSplit):
        whole = split.kind == "groups"
        found["folds"] = {
            "rows": split.dealt.report.rows,
            "whole_groups": whole,
            "sentence": evidence.results.folds or "",
        }
    return found
