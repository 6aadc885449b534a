"""Writes docs/words.md from the tables of words: name, parameters with defaults, the docstring's first paragraph.

python docs/make_words.py            # writes
python docs/make_words.py --check    # fails where the file is out of date
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from cengine.metrics.table import METRIC_ALIASES, METRICS
from cengine.networks.encodings import ENCODINGS
from cengine.networks.layers import LAYER_ALIASES, LAYERS
from cengine.networks.losses import LOSS_ALIASES, LOSSES
from cengine.networks.optimizers import OPTIMIZERS, SCHEDULES
from cengine.transforms import FILLINGS, TRANSFORMS
from cengine.transforms.fill import SERIES_FILLINGS
from cengine.transforms.resample import RESAMPLINGS
from cengine.transforms.tuning import LABEL_TUNINGS

TARGET = Path(__file__).parent / "words.md"
SECTIONS = (
    ("Filling", "`filling:`, what stands for a missing cell.", FILLINGS, {}),
    ("Filling of time series", "`filling:` with the block `timeseries`, beside those above.", SERIES_FILLINGS, {}),
    ("Resampling", "`resampling:`, what becomes of a period's rows, with the block `timeseries`.", RESAMPLINGS, {}),
    (
        "Label tuning",
        "`label_tuning:` of a label with the block `timeseries`, one word or a list of them, applied in order.",
        LABEL_TUNINGS,
        {},
    ),
    ("Transforms", "`transform:`, one word or a list of them, applied in order.", TRANSFORMS, {}),
    ("Encodings", "`encoding:`, how a column enters the network.", ENCODINGS, {}),
    ("Layers", "`layers:`, by Keras' names in snake case.", LAYERS, LAYER_ALIASES),
    ("Losses", "`loss:` of a label.", LOSSES, LOSS_ALIASES),
    ("Metrics", "`metrics:` of a label or of the evaluator.", METRICS, METRIC_ALIASES),
    ("Optimizers", "`optimizer:`, a name or `{type: NAME, ...}`.", OPTIMIZERS, {}),
    ("Learning rates", "`learning_rate:` of an optimizer, a number or `{type: NAME, ...}`.", SCHEDULES, {}),
)


def page() -> str:
    """The whole page."""
    parts = [
        "# Words\n\nEvery word that a YAML may use, its parameters and their defaults. Written by `docs/make_words.py`.\n"
    ]
    for title, about, table, aliases in SECTIONS:
        parts.append(f"## {title}\n\n{about}\n")
        for name, word in table.items():
            others = [alias for alias, target in aliases.items() if target == name]
            also = f" (also {', '.join(f'`{alias}`' for alias in others)})" if others else ""
            parts.append(f"- **`{name}`**{_parameters(word)}{also}{_about(word)}")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _parameters(word) -> str:
    shown = []
    for name, field in word.model_fields.items():
        default = "" if field.is_required() else f"={_default(field.get_default(call_default_factory=True))}"
        shown.append(f"{field.alias or name}{default}")
    return f" `({', '.join(shown)})`" if shown else ""


def _default(value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value)


def _about(word) -> str:
    text = (
        inspect.cleandoc(word.__doc__).split("\n\n")[0].replace("\n", " ")
        if word.__doc__ and "Word" not in word.__doc__[:5]
        else ""
    )
    return f": {text}" if text else ""


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == page() else "docs/words.md is out of date: python docs/make_words.py")
    TARGET.write_text(page())
