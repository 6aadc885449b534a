"""What an autoencoder reconstructs: which columns, by which loss, and what a constant would lose.

A number is standardized by its train rows and has one output; its loss is the squared error. A code has an output for each of its
indices (of very many, for each of MOST_BUCKETS buckets that they are hashed to), a boolean two; the loss is minus the logarithm of the
share that the true one is given. Each column's loss is divided by that of its constant in the train rows: of numbers the variance, of
codes the entropy. So columns weigh alike, and 1 has learnt nothing. A column that has one value in all train rows is left out.

Outputs stand side by side: those of numbers first, then those of codes in groups of the same width, a power of two, so that a group
is one array; what is beyond a code's indices never gets a share.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cengine.errors import StoreError, TrainingError
from cengine.learners.examples import CODES, NUMBERS, Batch
from cengine.preprocess.apply import Input

if TYPE_CHECKING:
    import jax

FILE = "reconstruction.json"
VERSION = 1
NUMBER, FLAG, CODE = "number", "flag", "code"
# Codes with more indices are hashed to so many.
MOST_INDICES, MOST_BUCKETS = 10_000, 1_024
# Knuth's multiplicative hash; the upper ten bits of 32 are the bucket.
_FACTOR, _SHIFT = 0x9E3779B1, 22
# Standardized numbers are cut off here, so that their squares are numbers in 32 bits.
FARTHEST = 1e15
# A deviation that is a smaller share of the mean is rounding.
_LEAST_DEVIATION = 1e-7
# What masks an output that is none.
_NEVER = -1e9


@dataclass(frozen=True)
class Part:
    """A reconstructed column: `place` is where the batch has it, among its numbers or its codes.

    Of numbers `mean` and `scale` are those of the train rows; of codes and booleans `shares` are those of the indices (or buckets).
    """

    column: str
    feature: str
    kind: str
    place: int
    size: int = 1
    is_hashed: bool = False
    mean: float = 0.0
    scale: float = 1.0
    shares: tuple[float, ...] = ()

    @property
    def entropy(self) -> float:
        """The log loss of the constant, in nats."""
        shares = np.array([share for share in self.shares if share > 0])
        return float(-(shares * np.log(shares)).sum())

    @property
    def brier(self) -> float:
        """The squared error of the constant's shares."""
        return 1.0 - float(np.square(self.shares).sum())

    @property
    def width(self) -> int:
        """How many outputs it has, those that are none among them."""
        return 1 if self.kind == NUMBER else 1 << (self.size - 1).bit_length()


@dataclass(frozen=True)
class Group:
    """Codes of the same width: their parts, and where their outputs begin."""

    parts: tuple[Part, ...]
    first: int

    @property
    def width(self) -> int:
        return self.parts[0].width

    @property
    def end(self) -> int:
        return self.first + len(self.parts) * self.width


@dataclass(frozen=True)
class Layout:
    """The reconstructed columns: `parts` in the order of their outputs, `left_out` the columns with one value in `num_rows` train rows."""

    parts: tuple[Part, ...]
    left_out: tuple[str, ...] = ()
    num_rows: int = 0

    @staticmethod
    def of(inputs: Sequence[Input], blocks: Iterable[Batch]) -> Layout:
        """That of these train rows. Raises TrainingError where every column has one value."""
        counted = _Counted(inputs)
        for block in blocks:
            counted.add(block)
        parts = counted.parts()
        kept = [part for part in parts if not _is_constant(part)]
        if not kept:
            raise TrainingError(
                f"every feature has one value in all of the {counted.num_rows:,} train rows: there is nothing to reconstruct"
            )
        ordered = sorted(kept, key=lambda part: (part.width, part.kind != NUMBER))
        left_out = tuple(part.column for part in parts if _is_constant(part))
        return Layout(tuple(ordered), left_out, counted.num_rows)

    @cached_property
    def numbers(self) -> tuple[Part, ...]:
        """The parts that are numbers, which come first."""
        return tuple(part for part in self.parts if part.kind == NUMBER)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The others."""
        found, first = [], len(self.numbers)
        for _, parts in itertools.groupby(self.parts[first:], key=lambda part: part.width):
            found.append(Group(tuple(parts), first))
            first = found[-1].end
        return tuple(found)

    @property
    def num_outputs(self) -> int:
        """How many outputs there are in all."""
        return self.groups[-1].end if self.groups else len(self.numbers)

    def losses(self, outputs: jax.Array, inputs: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Losses and squared errors of each part, each divided by its constant's: (n, parts) of JAX, of outputs (n, num_outputs)."""
        import jax
        import jax.numpy as jnp

        losses, squares = [], []
        if self.numbers:
            errors = outputs[:, : len(self.numbers)] - self._standardized(inputs[NUMBERS], jnp)
            losses.append(errors * errors)
            squares.append(losses[0])
        for group in self.groups:
            raw = outputs[:, group.first : group.end].reshape((-1, len(group.parts), group.width))
            raw = raw + jnp.asarray(_masks(group), jnp.float32)
            true = jnp.arange(group.width) == self._indices(group, inputs, jnp)[..., None]
            told = jax.nn.log_softmax(raw, axis=-1)
            shares = jnp.exp(told)
            own = jnp.where(true, told, 0.0).sum(axis=-1)
            entropies = jnp.asarray([part.entropy for part in group.parts], jnp.float32)
            briers = jnp.asarray([part.brier for part in group.parts], jnp.float32)
            losses.append(-own / entropies)
            squares.append(jnp.square(shares - true).sum(axis=-1) / briers)
        return jnp.concatenate(losses, axis=1), jnp.concatenate(squares, axis=1)

    def constant(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """The same of what constants say, float64 (n, parts): the mean of a number, the shares of a code."""
        inputs = batch.inputs
        losses, squares = [], []
        if self.numbers:
            losses.append(np.square(self._standardized(inputs[NUMBERS].astype(np.float64), np)))
            squares.append(losses[0])
        for group in self.groups:
            indices = np.asarray(self._indices(group, inputs, np))
            for place, part in enumerate(group.parts):
                shares, own = np.array(part.shares), indices[:, place]
                least = 0.5 / max(1, self.num_rows)
                losses.append(-np.log(np.maximum(shares[own], least))[:, None] / part.entropy)
                squared = 1.0 - 2.0 * shares[own] + np.square(shares).sum()
                squares.append(squared[:, None] / part.brier)
        return np.hstack(losses), np.hstack(squares)

    def told(self, outputs: np.ndarray) -> list[np.ndarray]:
        """What outputs (n, num_outputs) say of each part: encoded numbers, or the numbers of the likeliest indices; float64 (n,)."""
        found = [
            outputs[:, place].astype(np.float64) * part.scale + part.mean for place, part in enumerate(self.numbers)
        ]
        for group in self.groups:
            raw = outputs[:, group.first : group.end].reshape((-1, len(group.parts), group.width)) + _masks(group)
            found += [*raw.argmax(axis=-1).astype(np.float64).T]
        return found

    def encoded(self, batch: Batch) -> list[np.ndarray]:
        """What `told` is compared with: the encoded numbers, and the indices, of each part, float64 (n,)."""
        numbers = batch.inputs[NUMBERS]
        return [
            numbers[:, part.place].astype(np.float64)
            if part.kind == NUMBER
            else self.indices(part, batch).astype(np.float64)
            for part in self.parts
        ]

    def indices(self, part: Part, batch: Batch) -> np.ndarray:
        """Which index, or bucket, of a part that is no number rows have, (n,)."""
        return np.asarray(self._indices(Group((part,), 0), batch.inputs, np))[:, 0]

    def _standardized(self, numbers: Any, library: Any) -> Any:
        """The parts that are numbers, standardized, (n, numbers)."""
        taken = numbers[:, np.array([part.place for part in self.numbers])]
        means, scales = (
            np.array([getattr(part, what) for part in self.numbers], taken.dtype) for what in ("mean", "scale")
        )
        return library.clip((taken - means) / scales, -FARTHEST, FARTHEST)

    def _indices(self, group: Group, inputs: Mapping[str, Any], library: Any) -> Any:
        """The indices of codes of one group, (n, parts)."""
        columns = []
        for part in group.parts:
            if part.kind == FLAG:
                columns.append((inputs[NUMBERS][:, part.place] > 0.5).astype(library.int32))
                continue
            codes = inputs[CODES][:, part.place]
            if part.is_hashed:
                codes = ((codes.astype(library.uint32) * library.uint32(_FACTOR)) >> library.uint32(_SHIFT)).astype(
                    library.int32
                )
            columns.append(codes)
        return library.stack(columns, axis=1)

    def write(self, folder: Path) -> None:
        """Writes it as JSON."""
        told = {**asdict(self), "version": VERSION}
        (folder / FILE).write_text(json.dumps(told, ensure_ascii=False))

    @staticmethod
    def read(folder: Path) -> Layout:
        """What `write` wrote. Raises StoreError where it is damaged."""
        try:
            told = json.loads((folder / FILE).read_text())
            parts = tuple(Part(**{**part, "shares": tuple(part["shares"])}) for part in told["parts"])
            return Layout(parts, tuple(told["left_out"]), int(told["num_rows"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{folder / FILE} is damaged: {error}",
                "cengine cache verify --repair removes it, and the next run builds it again",
            ) from error


def _is_constant(part: Part) -> bool:
    """Whether a column has one value in the train rows."""
    return part.scale == 0.0 if part.kind == NUMBER else max(part.shares, default=1.0) >= 1.0


def _masks(group: Group) -> np.ndarray:
    """What is added to outputs so that those that are none get no share, (parts, width)."""
    return np.array([[0.0 if k < part.size else _NEVER for k in range(group.width)] for part in group.parts])


class _Counted:
    """What is counted of train rows, block by block: sums of numbers, rows of each index."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.num_rows = 0
        self._drafts = _drafts(inputs)
        num_numbers = sum(one.size is None for one in inputs)
        self._mean, self._squares = np.zeros(num_numbers), np.zeros(num_numbers)
        self._counts = [np.zeros(part.size, np.int64) for part in self._drafts if part.kind == CODE]

    def add(self, block: Batch) -> None:
        """Counts the rows of a block (Chan, Golub and LeVeque 1979)."""
        if not len(block):
            return
        numbers = block.inputs[NUMBERS].astype(np.float64)
        own, total = numbers.mean(axis=0), self.num_rows + len(block)
        delta = own - self._mean
        self._squares += np.square(numbers - own).sum(axis=0) + delta**2 * (self.num_rows * len(block) / total)
        self._mean += delta * (len(block) / total)
        codes = [part for part in self._drafts if part.kind == CODE]
        for part, counts in zip(codes, self._counts, strict=True):
            counts += np.bincount(Layout((part,)).indices(part, block), minlength=part.size)
        self.num_rows = total

    def parts(self) -> list[Part]:
        """The columns, in the order of the inputs."""
        counts, found = iter(self._counts), []
        for part in self._drafts:
            if part.kind == CODE:
                own = next(counts) / max(1, self.num_rows)
                found.append(replace(part, shares=tuple(own.tolist())))
                continue
            mean = float(self._mean[part.place])
            if part.kind == FLAG:
                found.append(replace(part, shares=(1.0 - mean, mean)))
                continue
            deviation = float(np.sqrt(self._squares[part.place] / max(1, self.num_rows)))
            scale = deviation if deviation > _LEAST_DEVIATION * abs(mean) else 0.0
            found.append(replace(part, mean=mean, scale=scale))
        return found


def _drafts(inputs: Sequence[Input]) -> list[Part]:
    """The columns before anything is known of their rows."""
    num, found = [0, 0], []
    for one in inputs:
        place = num[one.size is not None]
        num[one.size is not None] += 1
        if one.size is None:
            kind, size, is_hashed = (FLAG, 2, False) if one.is_boolean else (NUMBER, 1, False)
        else:
            is_hashed = one.size > MOST_INDICES
            kind, size = CODE, MOST_BUCKETS if is_hashed else one.size
        found.append(Part(one.column, one.feature, kind, place, size, is_hashed))
    return found
