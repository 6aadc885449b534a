"""Tests that every source, engine and learner passes, for the author of a new one: a class to derive from, run by pytest.

    class TestTrees(LearnerSuite):
        learner = Trees(type="regression")

See docs/extending.md. Ours run through the same suites.
"""

import pytest

pytest.register_assert_rewrite("cengine.testing.engines", "cengine.testing.learners", "cengine.testing.sources")

from cengine.testing.engines import EngineSuite  # noqa: E402  # pytest is to rewrite their assertions
from cengine.testing.learners import LearnerSuite  # noqa: E402
from cengine.testing.sources import SourceSuite  # noqa: E402

__all__ = ["EngineSuite", "LearnerSuite", "SourceSuite"]
