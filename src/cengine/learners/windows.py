"""Windows of points as learners read them: gathered from the points when a batch is made, and never stored.

A window is a few consecutive points of a series: `length` of them enter the model, and where a horizon is asked for, the labels of
the `horizon` points after them are predicted. A prediction is a row of its own: a window has as many as it has labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from cengine.config.timeseries import seasons_of
from cengine.learners.examples import (
    AHEAD_CODES,
    AHEAD_NUMBERS,
    CODES,
    FLOATS,
    GROUPS_AT_ONCE,
    NUMBERS,
    Array,
    Batch,
    Examples,
)
from cengine.names import HORIZON_STEP, POINT
from cengine.preprocess.apply import Input
from cengine.tables import ROW_ID

if TYPE_CHECKING:
    from cengine.config.resolve import Feature
    from cengine.config.timeseries import Series
    from cengine.preprocess.fit import Statistics
    from cengine.preprocess.targets import Target

# Windows that are looked for together.
GROUP_WINDOWS = 2**14


@dataclass(frozen=True)
class OwnPast:
    """A label's own past among what enters: the number at this place, times `scale` and with `offset`, is the label as it is learnt."""

    place: int
    scale: float
    offset: float


@dataclass(frozen=True)
class Frame:
    """Which points of a window are what: `length` enter, the labels of `horizon` are predicted, or that of the last one that enters.

    `ahead_numbers` and `ahead_codes` are the places of the inputs that are known of points to come; `own` is where the past of each
    label enters, None where it does not; `season` how many points a season has, None where there is none.
    """

    length: int
    horizon: int | None = None
    ahead_numbers: tuple[int, ...] = ()
    ahead_codes: tuple[int, ...] = ()
    own: tuple[OwnPast | None, ...] = ()
    season: int | None = None

    @property
    def num_points(self) -> int:
        """How many points a window has."""
        return self.length + (self.horizon or 0)

    @property
    def num_labels(self) -> int:
        """How many labels are predicted of a window."""
        return self.horizon or 1

    @property
    def labels(self) -> slice:
        """The points whose labels are predicted."""
        return slice(self.num_points - self.num_labels, self.num_points)

    def predicted(self, first: np.ndarray) -> np.ndarray:
        """The places of the points that are predicted, (n * labels,), of windows that begin at these places."""
        places: np.ndarray = first[:, None] + np.arange(self.num_points)[self.labels]
        return places.ravel()


def frame_of(
    series: Series, inputs: Sequence[Input], targets: Sequence[Target], features: Sequence[Feature], fitted: Statistics
) -> Frame:
    """The frame of the windows that a YAML asks for, where these columns enter."""
    words = series.words
    ahead = {words.timestamp, *words.known_in_advance} if words.horizon else set()
    numbers = [one for one in inputs if one.size is None]
    codes = [one for one in inputs if one.size is not None]
    of_numbers = tuple(place for place, one in enumerate(numbers) if one.feature in ahead)
    of_codes = tuple(place for place, one in enumerate(codes) if one.feature in ahead)
    known = {feature.name: feature for feature in features}
    pasts = {column.written: known[column.name] for column in series.columns if column.name in known}
    own = tuple(_own(target, pasts.get(target.name), numbers, fitted) for target in targets)
    seasons = seasons_of(words)
    return Frame(words.length, words.horizon, of_numbers, of_codes, own, seasons[0] if seasons else None)


def _own(target: Target, past: Feature | None, numbers: Sequence[Input], fitted: Statistics) -> OwnPast | None:
    """Where the past of a label enters; None unless both are learnt as they are, shifted and scaled."""
    if past is None or target.task.has_classes or any(word.name != "no_transform" for word in target.label.transforms):
        return None
    places = [place for place, one in enumerate(numbers) if one.column == past.name and one.encoding.name == "linear"]
    offset, scale = 0.0, 1.0
    for word, learnt in zip(past.transforms, fitted["features"][past.name]["transforms"], strict=True):
        if word.name == "no_transform":
            continue
        if not getattr(word, "is_linear", False):
            return None
        offset, scale = offset + scale * learnt["offset"], scale * learnt["scale"]
    return OwnPast(places[0], scale / target.scale, (offset - target.offset) / target.scale) if places else None


@dataclass(frozen=True)
class WindowBatch(Batch):
    """Windows as arrays: `floats` float32 (n, points, numbers + labels) and `codes` int32 (n, points, codes).

    `inputs` are the points that enter, (n, length, ...), and what is known ahead, (n, horizon, ...); `labels` are rows (n * labels,).
    """

    frame: Frame = Frame(1)

    @property
    def inputs(self) -> dict[str, Array]:
        floats, codes, frame = self.arrays[FLOATS], self.arrays[CODES], self.frame
        numbers = floats[..., : floats.shape[-1] - len(self.label_names)]
        found = {NUMBERS: numbers[..., : frame.length, :], CODES: codes[..., : frame.length, :]}
        if frame.ahead_numbers or frame.ahead_codes:
            found[AHEAD_NUMBERS] = numbers[..., frame.length :, list(frame.ahead_numbers)]
            found[AHEAD_CODES] = codes[..., frame.length :, list(frame.ahead_codes)]
        return found

    @property
    def labels(self) -> dict[str, Array]:
        floats = self.arrays[FLOATS]
        first = floats.shape[-1] - len(self.label_names)
        return {
            name: floats[..., self.frame.labels, first + place].reshape(-1)
            for place, name in enumerate(self.label_names)
        }

    @property
    def weights(self) -> dict[str, Array]:
        return {}

    @property
    def last_point(self) -> Batch:
        """The last point that enters, as rows of a table."""
        place = self.frame.length - 1
        return Batch({name: array[:, place] for name, array in self.arrays.items()}, self.label_names)


@dataclass(frozen=True)
class Points:
    """All points of a table one after the other: `floats` float32 (points, numbers + labels), `codes` int32 (points, codes)."""

    floats: np.ndarray
    codes: np.ndarray

    def gathered(self, first: np.ndarray, num_points: int) -> dict[str, np.ndarray]:
        """The windows that begin at these places, (n, num_points, columns)."""
        return {FLOATS: _gathered(self.floats, first, num_points), CODES: _gathered(self.codes, first, num_points)}


def _gathered(points: np.ndarray, first: np.ndarray, num_points: int) -> np.ndarray:
    """Rows of a view in which each window is one stretch of memory: taking one is one copy."""
    width = points.shape[1]
    if not width or not len(first):
        return np.empty((len(first), num_points, width), points.dtype)
    step = points.itemsize
    view = np.lib.stride_tricks.as_strided(
        points, (len(points) - num_points + 1, num_points * width), (width * step, step), writeable=False
    )
    windows: np.ndarray = view[first]  # `take` would copy the whole view first
    return windows.reshape(len(first), num_points, width)


class Windows(WindowBatch):
    """The same before it is gathered: `first` are the places of each window's first point, int64 (n,)."""

    def __init__(self, points: Points, first: np.ndarray, label_names: tuple[str, ...], frame: Frame) -> None:
        for name, value in {
            "points": points,
            "first": first,
            "label_names": label_names,
            "weighted": (),
            "frame": frame,
        }.items():
            object.__setattr__(self, name, value)

    points: Points
    first: np.ndarray

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        return self.points.gathered(self.first, self.frame.num_points)

    @property
    def bytes_per_row(self) -> int:
        width: int = self.points.floats.shape[1] + self.points.codes.shape[1]
        return 4 * self.frame.num_points * width

    @property
    def labels(self) -> dict[str, Array]:
        places = self.frame.predicted(self.first)
        first = self.points.floats.shape[1] - len(self.label_names)
        return {name: self.points.floats[places, first + place] for place, name in enumerate(self.label_names)}

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: np.ndarray) -> Windows:
        return self._of(self.first[rows])

    def part(self, first: int, end: int) -> Windows:
        return self._of(self.first[first:end])

    def padded(self, num_rows: int) -> Windows:
        """So many windows; in the place of missing ones stands the first of all points."""
        return self._of(np.concatenate([self.first, np.zeros(num_rows - len(self), np.int64)]))

    def followed_by(self, others: Sequence[Batch]) -> Windows:
        more = [other.first for other in others if isinstance(other, Windows)]
        return self._of(np.concatenate([self.first, *more]))

    def _cells(self, name: str, rows: np.ndarray, columns: Sequence[int]) -> Array:
        return self.take(rows).arrays[name][..., list(columns)]

    def _with(self, arrays: Mapping[str, Array]) -> WindowBatch:
        return WindowBatch(arrays, self.label_names, frame=self.frame)

    def each(self, change: Callable[[Array], Array]) -> Windows:
        """The same: what is held are all points, which need not be copied for the labels of some."""
        return self

    def _of(self, first: np.ndarray) -> Windows:
        return Windows(self.points, first, self.label_names, self.frame)


class WindowExamples(Examples):
    """The encoded points with the windows that Series found, as learners read them."""

    def __init__(
        self,
        path: Path,
        windows: Path,
        inputs: Sequence[Input],
        labels: Sequence[str],
        splits: Sequence[str],
        frame: Frame,
    ) -> None:
        super().__init__(path, inputs, labels, splits)
        self._frame = frame
        self.bytes_per_point = self.bytes_per_row
        self.bytes_per_row *= frame.num_points
        table = pq.read_table(windows)
        self._first, self._split = table["first"].to_numpy(), table["split"].to_numpy()
        num_groups = -(-len(self._first) // GROUP_WINDOWS)
        self.group_rows = [min(GROUP_WINDOWS, len(self._first) - group * GROUP_WINDOWS) for group in range(num_groups)]

    @property
    def frame(self) -> Frame:
        return self._frame

    @property
    def held_bytes_per_row(self) -> int:
        return int(self._first.itemsize)  # windows are gathered when they are needed

    @property
    def rows_per_example(self) -> int:
        return self.frame.num_labels

    @property
    def points_bytes(self) -> int:
        """What all points take, which are held as long as windows are gathered from them."""
        return self.bytes_per_point * int(self._file.metadata.num_rows)

    @cached_property
    def points(self) -> Points:
        """All points, held."""
        num_points = self._file.metadata.num_rows
        floats = np.empty((num_points, len(self._columns[FLOATS])), dtype=np.float32)
        codes = np.empty((num_points, len(self._columns[CODES])), dtype=np.int32)
        position = 0
        for start in range(0, self._file.num_row_groups, GROUPS_AT_ONCE):
            groups = list(range(start, min(start + GROUPS_AT_ONCE, self._file.num_row_groups)))
            table = self._file.read_row_groups(groups, columns=[*self._columns[FLOATS], *self._columns[CODES]])
            for kind, target in ((FLOATS, floats), (CODES, codes)):
                for place, name in enumerate(self._columns[kind]):
                    target[position : position + len(table), place] = table[name].to_numpy()
            position += len(table)
        return Points(floats, codes)

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.array(
            [
                np.bincount(self._split[start : start + GROUP_WINDOWS], minlength=len(self.splits))
                for start in range(0, len(self._first), GROUP_WINDOWS)
            ],
            dtype=np.int64,
        ).reshape(-1, len(self.splits))

    def batch(self, arrays: Mapping[str, Array]) -> WindowBatch:
        return WindowBatch(arrays, tuple(self.labels), frame=self.frame)

    def load(self, split: str, groups: Sequence[int] | None = None) -> Windows:
        return Windows(self.points, self._starts(split, groups), tuple(self.labels), self.frame)

    def _starts(self, split: str, groups: Sequence[int] | None) -> np.ndarray:
        wanted = self.splits.index(split)
        if groups is None:
            all_of_it: np.ndarray = self._first[self._split == wanted]
            return all_of_it
        parts = [slice(group * GROUP_WINDOWS, (group + 1) * GROUP_WINDOWS) for group in groups]
        found = [self._first[part][self._split[part] == wanted] for part in parts]
        return np.concatenate([np.empty(0, np.int64), *found])

    def column(self, name: str, split: str, groups: Sequence[int]) -> np.ndarray:
        """The identities of predictions, a row each."""
        assert name == ROW_ID
        num_labels = self.frame.num_labels
        # Of the first point that is predicted, so that windows of other lengths are compared with these.
        predicted = self._starts(split, groups) + self.frame.labels.start
        identities: np.ndarray = predicted[:, None] * num_labels + np.arange(num_labels)
        return identities.ravel()

    def beside(self, split: str, groups: Sequence[int]) -> dict[str, np.ndarray]:
        first = self._starts(split, groups)
        ahead = {HORIZON_STEP: np.tile(np.arange(1, self.frame.num_labels + 1), len(first))}
        return {POINT: self.frame.predicted(first), **(ahead if self.frame.horizon else {})}

    def picked(self, split: str, chosen: np.ndarray, block_rows: int) -> Windows:
        return self.load(split).take(chosen)

    def thinned(self, split: str, num_rows: int, block_rows: int = GROUP_WINDOWS) -> Windows:
        return self.load(split).take(self.thinned_rows(split, num_rows))

    @property
    def last_points(self) -> LastPoints:
        """The last point of each window that enters, as rows of a table."""
        return LastPoints(self)


class LastPoints(Examples):
    """The last points of windows, as rows that know nothing of the points before."""

    def __init__(self, windows: WindowExamples) -> None:
        self.windows = windows
        self.inputs, self.labels, self.splits = windows.inputs, windows.labels, windows.splits

    def load(self, split: str, groups: Sequence[int] | None = None) -> Batch:
        return self.windows.load(split, groups).last_point
