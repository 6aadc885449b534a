"""Scalars for TensorBoard, written without TensorFlow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


class ScalarWriter:
    """Event files under `folder`, one sub-folder a split, so that TensorBoard draws train and eval in one chart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> ScalarWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def write(self, step: int, values: dict[str, dict[str, float]]) -> None:
        """One point of each curve: values by split and name."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        for split, scalars in values.items():
            if split not in self._writers:
                self._writers[split] = EventFileWriter(str(self.folder / split))
            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
            writer = self._writers[split]
            writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=points)))
            writer.flush()
