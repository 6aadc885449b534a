"""Boosted trees pass what every learner passes."""

from __future__ import annotations

from cengine.learners.boosted_trees import BoostedTrees
from cengine.testing import LearnerSuite


class TestBoostedTrees(LearnerSuite):
    learner = BoostedTrees(type="regression", trees=60, learning_rate=0.1)
