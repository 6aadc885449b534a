"""Features that all but determine a label, looked for before anything is run: in a part of the snapshot's files that takes a moment to read."""

from __future__ import annotations

from cengine.config.normalize import Problems
from cengine.config.read import ConfigFile
from cengine.config.resolve import Resolved
from cengine.datasources.register import Snapshot
from cengine.errors import Problem
from cengine.inspection.sample import sampled_rows


def early_leaks(snapshot: Snapshot, file: ConfigFile, resolved: Resolved) -> list[Problem]:
    """A warning for each such feature, at its place in the YAML. Filters and splits are not applied: a run looks again.

    Of points nothing is known before they are made.
    """
    if not snapshot.is_here or not resolved.labels or resolved.series is not None:
        return []
    from cengine.evaluation.leaks import associations_in

    names = list(dict.fromkeys([*(f.name for f in resolved.features), *(label.name for label in resolved.labels)]))
    warnings = Problems(file.document)
    for found in associations_in(sampled_rows(snapshot, names), resolved):
        if found["sentence"]:
            warnings.add(found["sentence"], file.root.find(("features", found["column"]), key=True))
    return list(warnings.found)
