"""The flat spelling of the post rewritten to the nested one, positions kept; and the collection of problems."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from cengine.config.schema import FEWEST_FOLDS, MOST_FOLDS, TRAIN
from cengine.config.source import Document, Mark, Node
from cengine.errors import Problem, near_miss
from cengine.networks.architectures import LATER

BLOCKS = ("version", "features", "labels", "timeseries", "split", "trainer", "evaluator", "preprocessing")
# post's spelling -> place in the nested one
FLAT_SPLIT = {
    "categorize_by": ("categorize", "by"),
    "category_ratio": ("categorize", "ratio"),
    "category_folds": ("categorize", "folds"),
    "categories": ("categorize", "categories"),
    "index_by": ("index", "by"),
    "index_ratio": ("index", "ratio"),
}

# The key that may stand under `trainer` too.
LENGTH = "sequence_length"

# Other words for an architecture.
ARCHITECTURE_ALIASES = {"sequence": "sequential"}
# Keys that are looked for elsewhere, and where they stand.
PLACES = {
    "sample_weight": "it stands under a label: `labels: {NAME: {sample_weight: COLUMN}}`",
    "class_weight": "it stands under a label: `labels: {NAME: {class_weight: balanced}}`",
    "horizon": "it stands under `timeseries`",
    "sequence_length": "it stands under `timeseries`, which makes windows of rows",
}


class Problems:
    """Everything found wrong in one document."""

    def __init__(self, document: Document, found: Iterable[Problem] = ()) -> None:
        self.document = document
        self.found: list[Problem] = list(found)

    def add(self, message: str, mark: Mark, *notes: str) -> None:
        """A problem at a place."""
        self.found.append(Problem(message, self.document.locate(mark), tuple(notes)))

    def has_at(self, mark: Mark) -> bool:
        """Whether a problem at that place is known already; one mistake is told once."""
        place = self.document.locate(mark)
        return any(problem.location == place for problem in self.found)

    def unknown(
        self, what: str, word: object, known: Iterable[str], mark: Mark, listed: Iterable[str] | None = None
    ) -> None:
        """A word that is not in its table; `listed` are shown, `known` may hold aliases beside."""
        shown = ", ".join(sorted(listed if listed is not None else known))
        plural = "losses" if what == "loss" else f"{what}s" if not what.startswith("kind") else "kinds"
        self.add(f"unknown {what} {word!r}", mark, f"known {plural}: {shown}", *near_miss(str(word), known))

    def later(self, feature: str, mark: Mark) -> None:
        """Something the language has a place for, but this version does not do."""
        self.add(f"not yet supported: {feature}", mark)


def normalize(root: Node, problems: Problems) -> Node:
    """The tree in the nested spelling; unknown blocks and double spellings become problems."""
    blocks, keys = _known_blocks(root, problems)
    for name, rewrite in (("features", _named), ("labels", _named), ("split", _nested_split), ("evaluator", _slices)):
        if name in blocks:
            blocks[name] = rewrite(blocks[name], problems)
    _length_to_series(blocks, problems)
    _known_architecture(blocks)
    return Node(blocks, root.mark, keys)


def _known_blocks(root: Node, problems: Problems) -> tuple[dict[str, Node], dict[str, Mark]]:
    """The blocks under their one name, and where each is named."""
    blocks: dict[str, Node] = {}
    keys: dict[str, Mark] = {}
    for key, node in root.value.items():
        name = "preprocessing" if key == "default" else key
        mark = root.keys[key]
        if name in blocks:
            told = f"'{key}' is another name of the block on line {keys[name].line + 1}; keep one of the two"
            problems.add(told, mark)
        elif name == "custom_code":
            problems.later(LATER[name], mark)
        elif name not in BLOCKS:
            notes = [PLACES[key]] if key in PLACES else [f"known blocks: {', '.join(BLOCKS)}", *near_miss(key, BLOCKS)]
            problems.add(f"unknown block '{key}'", mark, *notes)
        else:
            blocks[name], keys[name] = node, mark
    return blocks, keys


def _length_to_series(blocks: dict[str, Node], problems: Problems) -> None:
    """`sequence_length` under `trainer` means that of the time series."""
    trainer, series = blocks.get("trainer"), blocks.get("timeseries")
    if trainer is None or series is None or not (trainer.is_mapping and series.is_mapping):
        return
    if LENGTH not in trainer.value:
        return
    if LENGTH in series.value:
        problems.add(f"'{LENGTH}' stands under `timeseries` too; keep one of the two", trainer.keys[LENGTH])
    else:
        keys = {**series.keys, LENGTH: trainer.keys[LENGTH]}
        blocks["timeseries"] = Node({**series.value, LENGTH: trainer.value[LENGTH]}, series.mark, keys)
    rest = {key: child for key, child in trainer.value.items() if key != LENGTH}
    blocks["trainer"] = Node(rest, trainer.mark, trainer.keys)


def _known_architecture(blocks: dict[str, Node]) -> None:
    """Other words for an architecture become its own."""
    trainer = blocks.get("trainer")
    if trainer is None or not trainer.is_mapping or "architecture" not in trainer.value:
        return
    given = trainer.value["architecture"]
    if isinstance(given.value, str) and given.value in ARCHITECTURE_ALIASES:
        known = Node(ARCHITECTURE_ALIASES[given.value], given.mark)
        blocks["trainer"] = Node({**trainer.value, "architecture": known}, trainer.mark, trainer.keys)


def _named(node: Node, problems: Problems) -> Node:
    """A list of columns means the same as a mapping without overrides."""
    if not node.is_list:
        return node
    names = [child for child in node.value if isinstance(child.value, str)]
    for child in node.value:
        if not isinstance(child.value, str):
            problems.add("expected the name of a column", child.mark)
    return Node({c.value: Node({}, c.mark) for c in names}, node.mark, {c.value: c.mark for c in names})


def _nested_split(node: Node, problems: Problems) -> Node:
    if not node.is_mapping:
        return node
    nested: dict[str, Node] = {}
    keys: dict[str, Mark] = {}
    for key, child in node.value.items():
        if key not in FLAT_SPLIT:
            nested[key], keys[key] = child, node.keys[key]
    for key, child in node.value.items():
        if key in FLAT_SPLIT:
            block, field = FLAT_SPLIT[key]
            if block not in nested:
                nested[block], keys[block] = Node({}, child.mark), node.keys[key]
            if not nested[block].is_mapping:
                continue
            if field in nested[block].value:
                problems.add(
                    f"'{key}' says the same as '{block}: {{{field}: ...}}'; keep one of the two", node.keys[key]
                )
            copy = nested[block]
            nested[block] = Node({**copy.value, field: child}, copy.mark, {**copy.keys, field: node.keys[key]})
    result = Node(nested, node.mark, keys)
    _check_split(result, problems)
    return result


def _check_split(node: Node, problems: Problems) -> None:
    """Exactly one way to divide; shares that add up to one; groups where groups are divided."""
    ways = {
        "ratio": node.value.get("ratio"),
        "index ratio": _inside(node, "index", "ratio"),
        "category ratio": _inside(node, "categorize", "ratio"),
        "categories": _inside(node, "categorize", "categories"),
        "folds": node.value.get("folds"),
        "category folds": _inside(node, "categorize", "folds"),
    }
    given = {name: way for name, way in ways.items() if way is not None}
    if not given:
        problems.add(
            "the split does not say how rows are divided",
            node.mark,
            "for example: ratio: {train: 0.9, eval: 0.1}, or folds: 5",
        )
    for name, way in list(given.items())[1:]:
        problems.add(
            f"rows are divided by {next(iter(given))} already, and here by {name}; keep one of the two", way.mark
        )
    for name, way in given.items():
        if name.endswith("folds"):
            _check_folds(way, node, problems)
        else:
            _check_names(way, problems)
            if name == "categories":
                _check_groups(way, problems)
            elif way.is_mapping:
                _check_shares(way, problems)
        if name.startswith("categor") and _inside(node, "categorize", "by") is None:
            problems.add(f"{name} needs the column that makes the groups", way.mark, "add `categorize_by: COLUMN`")


def _check_folds(way: Node, node: Node, problems: Problems) -> None:
    """A number of folds, and no order of the rows: all but the last fold would be predicted from what came after it."""
    number = way.value
    if isinstance(number, bool) or not isinstance(number, int) or not FEWEST_FOLDS <= number <= MOST_FOLDS:
        told = "a mapping or a list" if way.is_mapping or way.is_list else "nothing" if number is None else repr(number)
        problems.add(
            f"expected the number of folds, {FEWEST_FOLDS} to {MOST_FOLDS}, not {told}",
            way.mark,
            "for example: folds: 5",
        )
    by = _inside(node, "index", "by")
    if by is not None:
        problems.add(
            "folds have no order: with `index_by` models would learn from rows that come after those they are measured on",
            by.mark,
            "take `index_ratio: {train: 0.8, eval: 0.2}`, which measures on the last rows, or leave `index_by` out",
        )


def _check_names(way: Node, problems: Problems) -> None:
    if not way.is_mapping:
        problems.add("expected a mapping from split to share, such as {train: 0.9, eval: 0.1}", way.mark)
        return
    if TRAIN not in way.value:
        meant = [name for name in way.value if near_miss(name, [TRAIN])]
        problems.add(
            "there is no split 'train'", way.mark, *(f"is '{name}' meant to be 'train'?" for name in meant[:1])
        )
    elif len(way.value) < 2:
        problems.add("a split besides 'train' is needed to evaluate on", way.mark)
    _check_spelling(way, problems)


def _check_spelling(way: Node, problems: Problems) -> None:
    lowered: dict[str, str] = {}
    for name in way.value:
        if not name.isidentifier():
            problems.add(f"the name of split '{name}' may only hold letters, digits and _", way.keys[name])
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            problems.add(
                f"splits '{other}' and '{name}' differ in case only", way.keys[name], "give one of them another name"
            )


def _check_groups(way: Node, problems: Problems) -> None:
    """A group is in one split; 1 and '1' are the same group, whatever the column holds."""
    taken: dict[str, tuple[str, Mark]] = {}
    for split, groups in way.value.items() if way.is_mapping else ():
        for group in groups.value if groups.is_list else ():
            if group.is_mapping or group.is_list:
                continue
            first, mark = taken.setdefault(str(group.value), (split, group.mark))
            if first != split:
                problems.add(
                    f"group {group.value!r} is in split '{first}' already (line {mark.line + 1})",
                    group.mark,
                    "a group is in one split",
                )


def _check_shares(way: Node, problems: Problems) -> None:
    total = Fraction(0)
    for name, child in way.value.items():
        share = child.value
        if isinstance(share, bool) or not isinstance(share, int | float):
            problems.add(f"the share of '{name}' must be a number, found {share!r}", child.mark)
            return
        if not 0 < share < 1:
            problems.add(f"the share of '{name}' must lie between 0 and 1, found {share}", child.mark)
            return
        total += Fraction(str(share))
    if abs(total - 1) > Fraction(1, 10**9):
        problems.add(f"the shares add up to {float(total):g}, expected 1", way.mark)


def _slices(node: Node, problems: Problems) -> Node:
    """`column: {}` beside `slices:`, `metrics:`, `yardstick:`, `anomaly:` and `threshold:`, or a list, as one list of slices."""
    entries: list[Node] = []
    others: dict[str, Node] = {}
    if node.is_list:
        entries = [_slice(child) for child in node.value]
    elif node.is_mapping:
        for key, child in node.value.items():
            if key == "slices" and child.is_list:
                entries += [_slice(grandchild) for grandchild in child.value]
            elif (
                key == "metrics"
                and (child.is_list or isinstance(child.value, str) or (child.is_mapping and child.value))
            ) or (key in ("yardstick", "anomaly", "threshold") and child.value not in ({}, None)):
                others[key] = child
            elif child.value in ({}, None):
                entries.append(Node([Node(key, node.keys[key])], node.keys[key]))
            else:
                problems.add(f"slice '{key}' takes no settings: write `{key}: {{}}`", child.mark)
    elif node.value is not None:
        problems.add("'evaluator' must be a mapping of columns", node.mark)
    return Node({"slices": Node(entries, node.mark), **others}, node.mark)


def _slice(node: Node) -> Node:
    return node if node.is_list else Node([node], node.mark)


def _inside(node: Node, block: str, field: str) -> Node | None:
    inner = node.value.get(block)
    return inner.value.get(field) if inner is not None and inner.is_mapping else None
