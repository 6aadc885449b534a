"""Series: rows -> points on a grid, and where windows of them begin. Only with `timeseries:`."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any, ClassVar

from cengine.config.resolve import Resolved
from cengine.engines.duckdb import DuckDB
from cengine.stages.context import Context
from cengine.stages.split import Split
from cengine.stages.stage import CPU, FIXED, KEPT, PEAK, SECONDS, Folders, Load, Rates, Stage, Work


class Series(Stage):
    """Points in one Parquet file, the first point of each window in another."""

    name = "Series"
    after = (Split,)
    num_scans = 1
    rates: ClassVar[Rates] = {
        SECONDS: {FIXED: 0.3, "cells": 5e-7},
        CPU: {FIXED: 0.5, "cells": 1e-6},
        PEAK: {FIXED: 3e8, "cells": 20},
        KEPT: {FIXED: 1e4, "cells": 4},
    }

    def settings(self, context: Context) -> dict[str, Any]:
        assert context.resolved.series is not None
        return context.resolved.series.identity()

    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        return {"cells": context.snapshot.schema.num_rows * len(self.columns(context))}

    def columns(self, context: Context) -> set[str]:
        assert context.resolved.series is not None
        return context.placed_columns | set(context.resolved.series.raw_columns)

    def num_queries(self, resolved: Resolved) -> int:
        from cengine.preprocess.grid import num_queries

        assert resolved.series is not None
        return num_queries(resolved.series)

    def run(self, context: Context, work: Work) -> None:
        from cengine.preprocess.series import write_series

        split, resolved = context.split(work.of(Split)), context.resolved
        with contextlib.ExitStack() as engines:
            engine = engines.enter_context(context.table_engine())
            here = engine if isinstance(engine, DuckDB) else engines.enter_context(context.engine_beside())
            engine.expect(self.num_scans, context.report_rows)
            report = write_series(engine, context.rows, split, resolved, here, work.folder, inner=resolved.has_inner)
        work.details["report"] = asdict(report)
