"""How a training went, as curves and in sentences: which weights were kept and by which rows, and whether it was too long or too short."""

from __future__ import annotations

from typing import Any, TypedDict

from cengine.config.schema import INNER, TRAIN


class ImportanceSummary(TypedDict):
    """The share that a feature has in what was learnt of a label, 1 in all."""

    label: str
    feature: str
    share: float


class CurvePoint(TypedDict):
    """What was measured at a step."""

    step: int
    split: str
    name: str
    value: float | None


class Curves(TypedDict):
    """How training went. `steps_are` and `weights_are` are what the learner calls its steps and what it learns."""

    told: list[str]
    judged_on: str | None
    best_step: int | None
    stopped_early: bool
    num_steps: int
    num_weights: int
    planned_steps: int | None
    steps_are: str
    weights_are: str
    importance: list[ImportanceSummary]
    points: list[CurvePoint]


# A loss that rises, or falls, by less than this share of itself is noise.
CLEARLY = 0.05
# And a fall that is less than this share of all that was learnt, as of a loss that is next to nothing.
WORTH = 0.01
# Curves of fewer points tell nothing of their end.
FEWEST_POINTS = 4

Losses = list[tuple[int, float]]


def training_told(training: dict[str, Any]) -> list[str]:
    """The sentences; `training` is what Train has written, in this version or an earlier one. Without curves there are none."""
    if training["best_step"] is None or not training["history"]:
        return []
    told = [_kept(training)]
    if training["stopped_early"]:
        told.append("Training stopped early, since it got no better.")
    name = _watched(training)
    if name is None:
        return told
    seen, learnt = _losses(training, name), _losses(training, TRAIN)
    if len(seen) == len(learnt) >= FEWEST_POINTS:
        told += _overfitted(training, name, seen, learnt) or _too_short(training, name, seen)
    return told


def _kept(training: dict[str, Any]) -> str:
    step, judged = training["best_step"], training["judged_on"]
    kept = f"The first {step:,} trees" if _has_trees(training) else f"The weights of step {step:,}"
    if judged is None:
        if _has_trees(training):
            return f"All {step:,} trees were kept; no rows chose among their numbers."
        return f"The last weights, of step {step:,}, were kept; no rows chose among the steps."
    if judged == INNER:
        rows = f"{training['num_judged']:,} rows that were kept back from train"
        return f"{kept} were kept: their loss is the least on {rows} to choose by."
    if "num_judged" in training:
        return f"{kept} were kept: their loss is the least on {judged}, which chose them, so that the metrics of {judged} flatter."
    return f"{kept} were kept, judged on {judged}, as cengine did then: the metrics of {judged} flatter."


def _has_trees(training: dict[str, Any]) -> bool:
    return training.get("steps_are") == "trees"


def _watched(training: dict[str, Any]) -> str | None:
    """Whose loss tells how training went: the rows that chose, else those of a reported split."""
    beside = [name for name in training["history"][-1] if name not in ("step", TRAIN)]
    judged: str | None = training["judged_on"]
    return judged if judged in beside else next(iter(beside), None)


def _losses(training: dict[str, Any], name: str) -> Losses:
    found = [(entry["step"], entry.get(name, {}).get("loss")) for entry in training["history"]]
    return [(step, loss) for step, loss in found if loss is not None]


def _overfitted(training: dict[str, Any], name: str, seen: Losses, learnt: Losses) -> list[str]:
    """That from some step on the model learnt its rows by heart."""
    place = min(range(len(seen)), key=lambda i: seen[i][1])
    (step, least), (last, risen) = seen[place], seen[-1]
    before, after = learnt[place][1], learnt[-1][1]
    if not (place < len(seen) - 1 and risen > (1 + CLEARLY) * least and after < (1 - CLEARLY) * before):
        return []
    one, last_ones = ("tree", "all trees") if _has_trees(training) else ("step", "the last weights")
    kept = (
        f"those {'up to tree' if _has_trees(training) else 'of step'} {training['best_step']:,} were kept"
        if training["judged_on"] is not None
        else f"{last_ones} were kept all the same; `early_stopping: true` would keep the best"
    )
    return [
        f"Overfitting: from {one} {step:,} to {last:,} the loss rose from {least:.4g} to {risen:.4g} on {name}, "
        f"while it fell from {before:.4g} to {after:.4g} on train; {kept}."
    ]


def _too_short(training: dict[str, Any], name: str, seen: Losses) -> list[str]:
    """That the loss still fell clearly at the end."""
    if training["stopped_early"] or training.get("limit"):
        return []
    (step, before), (last, after) = seen[len(seen) - 1 - max(1, len(seen) // 4)], seen[-1]
    all_fallen = seen[0][1] - after
    if after > (1 - CLEARLY) * before or before - after < WORTH * all_fallen or after > min(loss for _, loss in seen):
        return []
    one, more = ("tree", "trees") if _has_trees(training) else ("step", "train_steps or epochs")
    return [
        f"Underfitting: the loss on {name} still fell at the end, from {before:.4g} at {one} {step:,} to {after:.4g} at {one} {last:,}; "
        f"train longer, with more {more}."
    ]


def _gains(training: dict[str, Any]) -> list[ImportanceSummary]:
    """Of each label and feature, as far as the learner tells."""
    return [
        {"label": label, "feature": feature, "share": share}
        for label, found in training.get("importance", {}).items()
        for feature, share in found.items()
    ]


def curves_of(training: dict[str, Any]) -> Curves:
    """How a training went, for a page."""
    points: list[CurvePoint] = [
        {"step": entry["step"], "split": split, "name": name, "value": value}
        for entry in training["history"]
        for split, values in entry.items()
        if split != "step"
        for name, value in values.items()
    ]
    return {
        "told": training_told(training),
        "judged_on": training["judged_on"],
        "best_step": training["best_step"],
        "stopped_early": training["stopped_early"],
        "num_steps": training["num_steps"],
        "num_weights": training["num_weights"],
        # Where a limit ended training, how long it was meant to be.
        "planned_steps": training["planned_steps"] if training.get("limit") else None,
        "steps_are": training.get("steps_are", "steps"),
        "weights_are": training.get("weights_are", "weights"),
        "importance": _gains(training),
        "points": points,
    }
