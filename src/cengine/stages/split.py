"""Split: which row belongs to which split."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from cengine.config.resolve import Resolved
from cengine.config.schema import INNER_SHARE, SplitConfig
from cengine.expressions.meanings import MEANING_VERSION
from cengine.stages.context import Context
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work

# What a split of whole groups keeps back of train where its groups are too few.
OF_ROWS = ", or rows of groups"


class Split(Stage):
    """Groups and cuts; rows are not written."""

    name = "Split"
    num_scans = 3  # groups, buckets, cuts
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.3, "cells": 2.5e-8},
        CPU: {FIXED: 0.4, "cells": 5e-8},
        PEAK: {FIXED: 2.5e8, "cells": 4},
        KEPT: {FIXED: 1e4, "cells": 0.01},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        resolved = context.resolved
        return {
            "data": context.snapshot.content,
            "where": [condition.sql() for condition in context.filters],
            **({"meaning": MEANING_VERSION} if context.filters else {}),
            "split": _divided(resolved.split),
            "labels": sorted(label.name for label in context.labels_of_rows if label.filling is None),
            **(
                {"inner": f"{INNER_SHARE}{OF_ROWS if resolved.split.whole_groups else ''}"}
                if resolved.has_inner
                else {}
            ),
        }

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        return {"cells": context.snapshot.schema.num_rows * len(self.columns(context))}

    def columns(self, context: Context) -> set[str]:
        return context.placed_columns

    def num_queries(self, resolved: Resolved) -> int:
        split = resolved.split
        if split.whole_groups:
            return 3 if resolved.has_inner else 1  # two more where rows of them are kept back
        return 3 if split.index.by is None else 2

    def run(self, context: Context, work: Work) -> None:
        from cengine.preprocess.folds import fit_folds
        from cengine.preprocess.split import fit_split

        with context.table_engine() as engine:
            engine.expect(self.num_scans, context.report_rows)
            resolved = context.resolved
            divide = fit_folds if resolved.split.num_folds else fit_split
            split = divide(engine, context.rows, resolved.split, work.folder, inner=resolved.has_inner)
        work.details["report"] = asdict(split.report)


def _divided(split: SplitConfig) -> dict[str, Any]:
    """What says where rows go; what has been said before there were folds is said as it was."""
    found = split.model_dump(mode="json", exclude={"where"})
    for block in (found, found["categorize"]):
        if block["folds"] is None:
            del block["folds"]
    return found
