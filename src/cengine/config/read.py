"""YAML -> Config: every problem of the file is collected, then reported in one go, each with its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cengine.config.explaining import explain
from cengine.config.learners import FEEDFORWARD, LEARNERS
from cengine.config.mapping import mapping_document
from cengine.config.normalize import Problems, normalize
from cengine.config.rows_checks import WITHOUT_LABELS, without_labels
from cengine.config.schema import (
    Categorize,
    ColumnConfig,
    Config,
    EvaluatorConfig,
    Index,
    KindDefaults,
    LabelConfig,
    SplitConfig,
    TrainerConfig,
)
from cengine.config.source import Document, Mark, Node, parse_document, read_document
from cengine.config.timeseries import TimeSeries
from cengine.config.wording import article, fillings_for, name_key, shown, spellings
from cengine.errors import CengineError, ConfigError, Problem
from cengine.metrics.table import METRIC_ALIASES, METRICS
from cengine.metrics.verdicts import TREES
from cengine.networks.architectures import LATER, TRAINER_TYPES
from cengine.networks.encodings import ENCODINGS
from cengine.networks.losses import LOSS_ALIASES, LOSSES
from cengine.tables import KINDS
from cengine.transforms import TRANSFORMS
from cengine.transforms.resample import RESAMPLINGS
from cengine.transforms.tuning import LABEL_TUNINGS
from cengine.words import Word

M = TypeVar("M", bound=BaseModel)
# What words within others are called, where it is not the key.
_WITHIN = {"learning_rate": "learning rate schedule"}


@dataclass(frozen=True)
class ConfigFile:
    """A configuration with the file it came from: `root` is the tree in the nested spelling, for messages.

    Where it was read as far as it can be, `problems` are what is wrong, and of the blocks `unread` nothing is known.
    """

    config: Config
    document: Document
    root: Node
    problems: tuple[Problem, ...] = ()
    unread: frozenset[str] = frozenset()

    def must_be_whole(self) -> None:
        """Raises ConfigError with everything that is wrong in it."""
        if self.problems:
            raise ConfigError(self.problems)


def load_config(path: str | Path | Mapping[str, Any], *, partly: bool = False) -> ConfigFile:
    """The configuration in a YAML file, or that of a dict. Raises ConfigError with everything that is wrong in it.

    With `partly` what can be read of it is enough, so that the rest can be checked against a table and all be told together.
    """
    return parse_config(path, partly=partly) if isinstance(path, Mapping) else _read(read_document(Path(path)), partly)


def parse_config(text: str | Mapping[str, Any], name: str = "<config>", *, partly: bool = False) -> ConfigFile:
    """The configuration of a YAML text, for which `name` stands in messages; or of a dict, whose places are paths of keys.

    `partly`: see `load_config`.
    """
    return _read(mapping_document(text) if isinstance(text, Mapping) else parse_document(text, name), partly)


def _read(document: Document, partly: bool) -> ConfigFile:
    problems = Problems(document)
    root = normalize(document.root, problems)
    reader = _Reader(root, problems)
    file = ConfigFile(reader.config(), document, root, tuple(problems.found), frozenset(reader.unread))
    if not partly:
        file.must_be_whole()
    return file


class _Reader:
    """Reads blocks; what cannot be read becomes a problem, and its default stands in its place."""

    def __init__(self, root: Node, problems: Problems) -> None:
        self.root = root
        self.problems = problems
        self.unread: set[str] = set()

    def config(self) -> Config:
        blocks = self.root.value
        reconstructs = without_labels(self.root, self.problems)
        for required in ("features", *(() if reconstructs else ("labels",)), "split", "trainer"):
            if required not in blocks:
                notes = (WITHOUT_LABELS,) if required == "labels" else ()
                self.problems.add(f"the block '{required}' is missing", self.root.mark, *notes)
        values: dict[str, Any] = {
            "features": self._columns("features", ColumnConfig),
            "labels": {} if reconstructs else self._columns("labels", LabelConfig),
            "split": self._split() or SplitConfig(),
            "trainer": self._trainer() or self._no_trainer(),
            "evaluator": self._evaluator(),
            "preprocessing": self._preprocessing(),
            "timeseries": self._timeseries(),
        }
        if "version" in blocks:
            self._check_version(blocks["version"])
        return Config(**values)

    def _check_version(self, node: Node) -> None:
        if node.value != 1 or isinstance(node.value, bool):
            self.problems.add(f"version {node.value!r} is not known", node.mark, "this cengine reads version 1")

    def _no_trainer(self) -> TrainerConfig:
        self.unread.add("trainer")
        return LEARNERS[FEEDFORWARD](type="regression", architecture=FEEDFORWARD)

    # Blocks

    def _columns(self, block: str, model: type[ColumnConfig]) -> dict[str, Any]:
        node = self.root.value.get(block)
        if node is None or not self._is_mapping(node, f"'{block}'", "columns, each with {} or overrides"):
            return {}
        if not node.value:
            self.problems.add(f"'{block}' names no column", node.mark)
        return {name: self._column(child, name, model) or model() for name, child in node.value.items()}

    def _column(self, node: Node, name: str, model: type[BaseModel]) -> Any:
        if node.value is None:
            return model()
        if not self._is_mapping(node, f"column '{name}'", "a mapping: {} or overrides"):
            return None
        values: dict[str, Any] = {}
        for key, child in node.value.items():
            match key:
                case "filling":
                    values[key] = self.word(child, fillings_for(child), "filling")
                case "transform":
                    values[key] = self.words(child, TRANSFORMS, "transform")
                case "resampling":
                    values[key] = self.word(self._only_one(child, "resampling"), RESAMPLINGS, "resampling")
                case "label_tuning":
                    values[key] = self.words(child, LABEL_TUNINGS, "label_tuning")
                case "encoding":
                    values[key] = self.word(child, ENCODINGS, "encoding")
                case "loss":
                    values[key] = self.word(child, LOSSES, "loss", LOSS_ALIASES)
                case "metrics":
                    values[key] = self.words(child, METRICS, "metric", METRIC_ALIASES)
                case _:
                    values[key] = child.plain()
        return self._model(model, values, node)

    def _split(self) -> SplitConfig | None:
        node = self.root.value.get("split")
        if node is None or not self._is_mapping(node, "'split'", "how rows are divided"):
            return None
        values: dict[str, Any] = {key: child.plain() for key, child in node.value.items()}
        for key, model in (("categorize", Categorize), ("index", Index)):
            if key in node.value and self._is_mapping(node.value[key], f"'{key}'", "a mapping"):
                values[key] = self._model(model, values[key], node.value[key])
        if isinstance(values.get("where"), str):
            values["where"] = [values["where"]]
        return self._model(
            SplitConfig,
            {key: value for key, value in values.items() if value is not None or key not in ("categorize", "index")},
            node,
        )

    def _trainer(self) -> TrainerConfig | None:
        node = self.root.value.get("trainer")
        if node is None or not self._is_mapping(node, "'trainer'", "the network and how it is trained"):
            return None
        self._choice(node, "type", TRAINER_TYPES)
        learner = self._learner(node)
        return self._model(learner, self._trainer_values(learner, node), node)

    def _trainer_values(self, learner: type[TrainerConfig], node: Node) -> dict[str, Any]:
        """The keys of the trainer block, with the learner's words and blocks read."""
        values: dict[str, Any] = {key: child.plain() for key, child in node.value.items()} | {
            "architecture": learner.name
        }
        for key, words in learner.words.items():
            if key in node.value:
                values[key] = (self.words if words.many else self.word)(
                    node.value[key], words.table, words.what, words.aliases
                )
                if values[key] is None:
                    del values[key]
        for key, block in learner.blocks.items():
            if isinstance(values.get(key), dict):
                values[key] = self._model(block, values[key], node.value[key], of=f"'{key}'")
            elif key in values:
                values[key] = block.spelled_out(values[key])
        return values

    def _learner(self, node: Node) -> type[TrainerConfig]:
        """The class under `architecture:`; where that is wrong, the one by which the other keys are read all the same."""
        self._choice(node, "architecture", LEARNERS)
        name = node.value["architecture"].value if "architecture" in node.value else FEEDFORWARD
        try:
            return LEARNERS[name if isinstance(name, str) and name in LEARNERS else FEEDFORWARD]
        except CengineError as error:
            self._unusable(error, node.value["architecture"])
            return LEARNERS[FEEDFORWARD]

    def _evaluator(self) -> EvaluatorConfig:
        node = self.root.value.get("evaluator")
        if node is None:
            return EvaluatorConfig()
        values = {"slices": node.value["slices"].plain()} if "slices" in node.value else {}
        if "metrics" in node.value:
            values["metrics"] = self.words(node.value["metrics"], METRICS, "metric", METRIC_ALIASES)
        if "yardstick" in node.value:
            values["yardstick"] = self._yardstick(node.value["yardstick"])
        values |= {key: node.value[key].plain() for key in ("anomaly", "threshold") if key in node.value}
        return self._model(EvaluatorConfig, values, node) or EvaluatorConfig()

    def _yardstick(self, node: Node) -> str | None:
        """The word beside the linear model, which is always there."""
        if node.value == TREES:
            return TREES
        if isinstance(node.value, str):
            self.problems.unknown("yardstick", node.value, (TREES,), node.mark)
        else:
            self.problems.add("'yardstick' takes one word", node.mark, f"write `yardstick: {TREES}`")
        return None

    def _preprocessing(self) -> dict[str, Any]:
        node = self.root.value.get("preprocessing")
        if node is None or not self._is_mapping(node, "'preprocessing'", "kinds of columns"):
            return {}
        found = {}
        for kind, child in node.value.items():
            if kind not in KINDS:
                self.problems.unknown("kind of column", kind, KINDS, node.keys[kind])
            else:
                found[kind] = self._column(child, kind, KindDefaults) or KindDefaults()
        return found

    def _timeseries(self) -> TimeSeries | None:
        node = self.root.value.get("timeseries")
        if node is None:
            return None
        found = None
        if self._is_mapping(node, "'timeseries'", "how rows become points and windows"):
            found = self._model(TimeSeries, {key: child.plain() for key, child in node.value.items()}, node)
        if found is None:
            self.unread.add("timeseries")
        return found

    # Words

    def _only_one(self, node: Node, what: str) -> Node:
        """The word of a list of one, as it was once written."""
        if not node.is_list:
            return node
        if len(node.value) > 1:
            self.problems.add(f"one {what} makes the value of a period, found {len(node.value)}", node.mark, "keep one")
        return node.value[0] if node.value else node

    def words(
        self, node: Node, table: Mapping[str, type[Word]], what: str, aliases: Mapping[str, str] | None = None
    ) -> Any:
        """The words of a list (or of one word); None where one is wrong."""
        children = node.value if node.is_list else [node]
        if not children and what != "layer":  # a network without hidden layers is a linear model
            self.problems.add(f"the list is empty; leave the key out for the default, or name a {what}", node.mark)
        words = [self.word(child, table, what, aliases) for child in children]
        return None if any(word is None for word in words) else tuple(words)

    def word(
        self, node: Node, table: Mapping[str, type[Word]], what: str, aliases: Mapping[str, str] | None = None
    ) -> Any:
        """The word of a bare name, of `{method, parameters}` or of `{type, ...}`; None where it is wrong."""
        name_node, parameters = self._name_and_parameters(node, what)
        if name_node is None:
            return None
        name = name_node.value
        if not isinstance(name, str):
            self._no_name(name_node, what, node)
            return None
        try:
            word = table.get((aliases or {}).get(name, name))
        except CengineError as error:
            return self._unusable(error, name_node)
        if word is None:
            if name in LATER:
                self.problems.later(LATER[name], name_node.mark)
            elif ":" in name:
                self.problems.later("your own code (custom_code)", name_node.mark)
            else:
                self.problems.unknown(what, name, [*table, *(aliases or {})], name_node.mark, listed=table)
            return None
        values = {key: child.plain() for key, child in parameters.value.items()}
        for key, known in word.within.items():
            child = parameters.value.get(key)
            # A learning rate may be a number too.
            must_be_word = word.model_fields[key].is_required()
            if child is not None and (must_be_word or child.is_mapping or isinstance(child.value, str)):
                values[key] = self.word(child, known, _WITHIN.get(key, key))
                if values[key] is None:
                    return None
        return self._model(word, values, parameters, of=f"{what} '{name}'")

    def _name_and_parameters(self, node: Node, what: str) -> tuple[Node | None, Node]:
        empty = Node({}, node.mark)
        if isinstance(node.value, str):
            return node, empty
        if not node.is_mapping:
            self._no_name(node, what)
            return None, empty
        for key in ("method", "type"):
            if key in node.value:
                rest = {k: v for k, v in node.value.items() if k != key}
                parameters = rest.pop("parameters", None)
                if parameters is not None and rest:
                    self.problems.add(
                        f"'{next(iter(rest))}' must stand under 'parameters'", node.keys[next(iter(rest))]
                    )
                    return None, empty
                if parameters is None:
                    parameters = Node(rest, node.mark, node.keys)
                elif parameters.value is None:
                    parameters = empty
                if not self._is_mapping(parameters, "'parameters'", "a mapping"):
                    return None, empty
                return node.value[key], parameters
        self.problems.add(f"{article(what)} {what} needs its name: {{{name_key(what)}: ...}}", node.mark)
        return None, empty

    def _no_name(self, node: Node, what: str, outer: Node | None = None) -> None:
        """Says that something else stands where a word's name should; `outer` is the mapping that it stands in."""
        key = next(
            (key for key in ("method", "type") if outer is not None and outer.value.get(key) is node), name_key(what)
        )
        self.problems.add(
            f"expected the name of {article(what)} {what}, found {shown(node)}",
            node.mark,
            *spellings(node, key, what),
        )

    def _unusable(self, error: CengineError, node: Node) -> None:
        """Says at its name what is wrong with the class of another package."""
        self.problems.add(error.problems[0].message, node.mark, *error.problems[0].notes)

    # Checks that all share

    def _choice(self, node: Node, key: str, known: Collection[str]) -> None:
        child = node.value.get(key)
        if child is not None and not isinstance(child.value, str):
            self.problems.add(f"'{key}' must be a name, found {shown(child)}", child.mark, f"known: {', '.join(known)}")
        elif child is not None and child.value not in known:
            if child.value in LATER:
                self.problems.later(LATER[child.value], child.mark)
            else:
                self.problems.unknown(key, child.value, list(known), child.mark)

    def _is_mapping(self, node: Node, what: str, expected: str) -> bool:
        if not node.is_mapping:
            self.problems.add(f"{what} must be {expected}, found {shown(node)}", node.mark)
        return node.is_mapping

    def _model(self, model: type[M], values: dict[str, Any], node: Node, of: str = "") -> M | None:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            details = error.errors()
            for detail in details:
                # A list too short because what is in it is wrong: that is told by itself.
                within = any(d is not detail and d["loc"][: len(detail["loc"])] == detail["loc"] for d in details)
                if detail["type"] != "too_short" or not within:
                    explain(self.problems, detail, model, node, of)
            return (
                None
                if issubclass(model, Word)
                else _without(model, values, {detail["loc"][0] for detail in details if detail["loc"]})
            )


def _without(model: type[M], values: dict[str, Any], keys: set[str | int]) -> M | None:
    """The block without the keys that are wrong, None where it is nothing without them."""
    try:
        return model.model_validate({key: value for key, value in values.items() if key not in keys})
    except ValidationError:
        return None


__all__ = ["ConfigFile", "Mark", "load_config", "parse_config"]
