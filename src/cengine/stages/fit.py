"""Fit: what the words learn of the train rows."""

from __future__ import annotations

from typing import Any, ClassVar

from cengine.config.resolve import Resolved
from cengine.stages.context import Context
from cengine.stages.series import Series
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work


class Fit(Stage):
    """Statistics of every feature and label."""

    name = "Fit"
    after = (Split, Series)
    num_scans = 3  # ranges, moments, counts
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.3, "cells": 4e-8},
        CPU: {FIXED: 0.4, "cells": 8e-8},
        PEAK: {FIXED: 2.5e8, "cells": 2},
        KEPT: {FIXED: 1e4},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        return {
            "features": [feature.identity() for feature in context.resolved.features],
            "labels": [label.identity() for label in context.resolved.labels],
        }

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        return {"cells": context.snapshot.schema.num_rows * context.num_encoded}

    def columns(self, context: Context) -> set[str]:
        return context.learnt_columns

    def num_queries(self, resolved: Resolved) -> int:
        from cengine.preprocess.fit import num_queries

        return num_queries(resolved)

    def run(self, context: Context, work: Work) -> None:
        from cengine.preprocess.fit import fit, write_statistics

        with context.table_engine() as engine:
            engine.expect(self.num_scans, context.report_rows)
            write_statistics(fit(engine, context.rows, context.split(work.of(Split)), context.resolved), work.folder)
