"""The table of learners: the words under `architecture:`. One of another package comes by the entry point `cengine.learners`."""

from __future__ import annotations

from cengine.config.schema import TrainerConfig
from cengine.errors import TrainingError
from cengine.plugins import Plugins

FEEDFORWARD = "feedforward"


def _unfit(found: object) -> str | None:
    if isinstance(found, type) and issubclass(found, TrainerConfig) and hasattr(found, "fit"):
        return None
    return "it is no class derived from cengine.learners.learner.Learner"


_OWN = {
    FEEDFORWARD: "cengine.learners.feedforward:Feedforward",
    "sequential": "cengine.learners.sequential:Sequential",
    "boosted_trees": "cengine.learners.boosted_trees:BoostedTrees",
}
LEARNERS: Plugins[TrainerConfig] = Plugins("learner", "cengine.learners", _OWN, _unfit, TrainingError)
