"""Transform: the rows of all splits, encoded."""

from __future__ import annotations

from typing import Any, ClassVar

from cengine.config.resolve import Resolved
from cengine.stages.context import Context
from cengine.stages.fit import Fit
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work

ENCODED = "encoded.parquet"


class Transform(Stage):
    """One Parquet file of numbers."""

    name = "Transform"
    after = (Split, Fit)
    version = 3
    num_scans = 1
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.1, "cells": 2.5e-8},
        CPU: {FIXED: 0.2, "cells": 1e-7},
        PEAK: {FIXED: 2.5e8, "cells": 4},
        KEPT: {FIXED: 1e4, "cells": 1.1},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        return {}

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        return {"cells": context.snapshot.schema.num_rows * context.num_encoded}

    def columns(self, context: Context) -> set[str]:
        return context.learnt_columns

    def num_queries(self, resolved: Resolved) -> int:
        return 1

    def run(self, context: Context, work: Work) -> None:
        from cengine.preprocess.apply import write_encoded
        from cengine.preprocess.fit import read_statistics

        split = context.split(work.of(Split))
        total = sum(split.report.rows.values())
        resolved = context.resolved

        def advance(share: float) -> None:
            context.progress.advance(share * total)

        with context.table_engine() as engine:
            statistics = read_statistics(work.of(Fit))
            columns = (resolved.features, resolved.labels)
            num_rows = write_encoded(
                engine, context.encoded_rows, split, *columns, statistics, work.folder / ENCODED, advance
            )
        work.details["num_rows"] = num_rows
