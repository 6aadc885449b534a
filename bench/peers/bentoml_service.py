"""The ONNX file as a BentoML service: one row a request, checked by the types of the signature."""

from __future__ import annotations

import json
import os

import bentoml
import numpy as np
import onnxruntime

KINDS = json.loads(os.environ["KINDS"])
DTYPES = {"boolean": np.bool_, "integer": np.int64, "float": np.float64, "string": object, "timestamp": np.int64}
BLANKS = {"boolean": False, "string": ""}


@bentoml.service(workers=1, traffic={"timeout": 10})
class Served:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(os.environ["GRAPH"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, rows: list[dict[str, bool | int | float | str | None]]) -> list[float]:
        feeds = {}
        for name, kind in KINDS.items():
            cells = [row[name] for row in rows]
            missing = np.array([cell is None for cell in cells]).reshape(-1, 1)
            values = [BLANKS.get(kind, 0) if cell is None else cell for cell in cells]
            feeds[name] = np.array(values, DTYPES[kind]).reshape(-1, 1)
            if missing.any():
                feeds[f"{name} is null"] = missing
        outputs = dict(
            zip([one.name for one in self.session.get_outputs()], self.session.run(None, feeds), strict=True)
        )
        found = outputs.get("probabilities")
        return (outputs["prediction"] if found is None else found[:, -1]).tolist()
