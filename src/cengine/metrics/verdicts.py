"""From where on a model is called better than a constant: one meaning for the sentence and for its colour."""

from __future__ import annotations

# A model that saves less of the constant's distance to perfection is hardly better than it.
HARDLY_BETTER = 0.05
# Of fewer evaluated rows a metric says next to nothing: nothing is claimed of them, and nothing is shown in green.
FEW_ROWS = 10
