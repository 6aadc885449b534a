"""YAML -> Config: every problem of the file is collected, then reported in one go, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cengine.config.mapping import mapping_document
from cengine.config.normalize import Problems, normalize
from cengine.config.schema import (
    Categorize,
    ColumnConfig,
    Config,
    EarlyStopping,
    EvaluatorConfig,
    Index,
    KindDefaults,
    LabelConfig,
    SplitConfig,
    TrainerConfig,
)  # fmt: skip
from cengine.config.source import Document, Mark, Node, parse_document, read_document
from cengine.errors import ConfigError, Problem, near_miss
from cengine.networks.architectures import ARCHITECTURES, LATER, TRAINER_TYPES
from cengine.networks.encodings import ENCODINGS
from cengine.networks.layers import LAYERS
from cengine.networks.losses import LOSS_ALIASES, LOSSES
from cengine.networks.metrics import METRIC_ALIASES, METRICS
from cengine.networks.optimizers import OPTIMIZERS, SCHEDULES
from cengine.tables import KINDS
from cengine.transforms import FILLINGS, TRANSFORMS
from cengine.transforms.resample import LABEL_TUNINGS, RESAMPLINGS
from cengine.words import Word

Path_ = tuple[str | int, ...]
# What Python calls a tuple or a dictionary.
_WORDS_OF_YAML = {
    "a valid tuple": "a list",
    "tuple": "list",
    "a valid dictionary or instance of EarlyStopping": "a mapping",
    "a valid dictionary": "a mapping",
}


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
        for required in ("features", "labels", "split", "trainer"):
            if required not in blocks:
                self.problems.add(f"the block '{required}' is missing", self.root.mark)
        values: dict[str, Any] = {
            "features": self._columns("features", ColumnConfig),
            "labels": self._columns("labels", LabelConfig),
            "split": self._split() or SplitConfig(),
            "trainer": self._trainer() or self._no_trainer(),
            "evaluator": self._evaluator(),
            "preprocessing": self._preprocessing(),
        }
        if "version" in blocks and (blocks["version"].value != 1 or isinstance(blocks["version"].value, bool)):
            self.problems.add(f"version {blocks['version'].value!r} is not known", blocks["version"].mark, "this cengine reads version 1")
        return Config(**values)

    def _no_trainer(self) -> TrainerConfig:
        self.unread.add("trainer")
        return TrainerConfig(type="regression")

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
                    values[key] = self.word(child, FILLINGS, "filling")
                case "transform":
                    values[key] = self.words(child, TRANSFORMS, "transform")
                case "resampling":
                    values[key] = self.word(child, RESAMPLINGS, "resampling")
                case "label_tuning":
                    values[key] = self.word(child, LABEL_TUNINGS, "label_tuning")
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
            SplitConfig, {key: value for key, value in values.items() if value is not None or key not in ("categorize", "index")}, node
        )

    def _trainer(self) -> TrainerConfig | None:
        node = self.root.value.get("trainer")
        if node is None or not self._is_mapping(node, "'trainer'", "the network and how it is trained"):
            return None
        values: dict[str, Any] = {key: child.plain() for key, child in node.value.items()}
        self._choice(node, "type", TRAINER_TYPES)
        self._choice(node, "architecture", ARCHITECTURES)
        if "layers" in node.value:
            values["layers"] = self.words(node.value["layers"], LAYERS, "layer")
        if "optimizer" in node.value:
            values["optimizer"] = self.word(node.value["optimizer"], OPTIMIZERS, "optimizer")
        stopping = values.get("early_stopping")
        if stopping is True:
            values["early_stopping"] = EarlyStopping()
        elif stopping is False:
            values["early_stopping"] = None
        elif isinstance(stopping, int):
            values["early_stopping"] = {"patience": stopping}
        elif isinstance(stopping, dict):
            values["early_stopping"] = self._model(EarlyStopping, stopping, node.value["early_stopping"], of="'early_stopping'")
        failed = [key for key in ("layers", "optimizer") if key in values and values[key] is None]
        return self._model(TrainerConfig, {key: value for key, value in values.items() if key not in failed}, node)

    def _evaluator(self) -> EvaluatorConfig:
        node = self.root.value.get("evaluator")
        if node is None:
            return EvaluatorConfig()
        values = {"slices": node.value["slices"].plain()} if "slices" in node.value else {}
        if "metrics" in node.value:
            values["metrics"] = self.words(node.value["metrics"], METRICS, "metric", METRIC_ALIASES)
        return self._model(EvaluatorConfig, values, node) or EvaluatorConfig()

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

    # Words

    def words(self, node: Node, table: Mapping[str, type[Word]], what: str, aliases: Mapping[str, str] | None = None) -> Any:
        """The words of a list (or of one word); None where one is wrong."""
        children = node.value if node.is_list else [node]
        if not children and what != "layer":  # a network without hidden layers is a linear model
            self.problems.add(f"the list is empty; leave the key out for the default, or name a {what}", node.mark)
        words = [self.word(child, table, what, aliases) for child in children]
        return None if any(word is None for word in words) else tuple(words)

    def word(self, node: Node, table: Mapping[str, type[Word]], what: str, aliases: Mapping[str, str] | None = None) -> Any:
        """The word of a bare name, of `{method, parameters}` or of `{type, ...}`; None where it is wrong."""
        name_node, parameters = self._name_and_parameters(node, what)
        if name_node is None:
            return None
        name = name_node.value
        if not isinstance(name, str):
            self._no_name(name_node, what, node)
            return None
        word = table.get((aliases or {}).get(name, name))
        if word is None:
            if name in LATER:
                self.problems.later(LATER[name], name_node.mark)
            elif ":" in name:
                self.problems.later("your own code (custom_code)", name_node.mark)
            else:
                self.problems.unknown(what, name, [*table, *(aliases or {})], name_node.mark, listed=table)
            return None
        values = {key: child.plain() for key, child in parameters.value.items()}
        rate = parameters.value.get("learning_rate")
        if rate is not None and (rate.is_mapping or isinstance(rate.value, str)):
            values["learning_rate"] = self.word(rate, SCHEDULES, "learning rate schedule")
            if values["learning_rate"] is None:
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
                    self.problems.add(f"'{next(iter(rest))}' must stand under 'parameters'", node.keys[next(iter(rest))])
                    return None, empty
                if parameters is None:
                    parameters = Node(rest, node.mark, node.keys)
                elif parameters.value is None:
                    parameters = empty
                if not self._is_mapping(parameters, "'parameters'", "a mapping"):
                    return None, empty
                return node.value[key], parameters
        self.problems.add(f"{_article(what)} {what} needs its name: {{{_name_key(what)}: ...}}", node.mark)
        return None, empty

    def _no_name(self, node: Node, what: str, outer: Node | None = None) -> None:
        """Says that something else stands where a word's name should; `outer` is the mapping that it stands in."""
        key = next((key for key in ("method", "type") if outer is not None and outer.value.get(key) is node), _name_key(what))
        self.problems.add(f"expected the name of {_article(what)} {what}, found {_shown(node)}", node.mark, *_spellings(node, key, what))

    # Checks that all share

    def _choice(self, node: Node, key: str, known: Iterable[str]) -> None:
        child = node.value.get(key)
        if child is not None and not isinstance(child.value, str):
            self.problems.add(f"'{key}' must be a name, found {_shown(child)}", child.mark, f"known: {', '.join(known)}")
        elif child is not None and child.value in LATER:
            self.problems.later(LATER[child.value], child.mark)
        elif child is not None and child.value not in list(known):
            self.problems.unknown(key, child.value, list(known), child.mark)

    def _is_mapping(self, node: Node, what: str, expected: str) -> bool:
        if not node.is_mapping:
            self.problems.add(f"{what} must be {expected}, found {_shown(node)}", node.mark)
        return node.is_mapping

    def _model(self, model: type[BaseModel], values: dict[str, Any], node: Node, of: str = "") -> Any:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            details = error.errors()
            for detail in details:
                # A list too short because what is in it is wrong: that is told by itself.
                within = any(d is not detail and d["loc"][: len(detail["loc"])] == detail["loc"] for d in details)
                if detail["type"] != "too_short" or not within:
                    self._explain(detail, model, node, of)
            return None if issubclass(model, Word) else _without(model, values, {detail["loc"][0] for detail in details if detail["loc"]})

    def _explain(self, detail: Any, model: type[BaseModel], node: Node, of: str) -> None:
        path = tuple(part for part in detail["loc"] if part in _spoken(node, detail["loc"]))
        suffix = f" of {of}" if of else ""
        kind = detail["type"]
        if kind == "extra_forbidden":
            key = str(detail["loc"][-1])
            mark = node.find(path, key=True)
            notes = _known_keys(key, list(model.model_fields)) if len(detail["loc"]) == 1 else ()
            self.problems.add(f"unknown key '{key}'{suffix}", mark, *notes)
        elif kind == "missing":
            self.problems.add(f"'{detail['loc'][-1]}'{suffix} is missing", node.mark)
        else:
            mark = node.find(path)
            if not self.problems.has_at(mark):
                name = f"'{'.'.join(str(part) for part in detail['loc'][:1])}'{suffix}: " if detail["loc"] else ""
                message = detail["msg"].removeprefix("Value error, ")
                message = message[0].lower() + message[1:] if message else message
                for ours, yamls in _WORDS_OF_YAML.items():
                    message = message.replace(ours, yamls)
                found = f", found {detail['input']!r}" if isinstance(detail["input"], str | int | float) else ""
                notes = near_miss(str(detail["input"]), _expected(detail)) if kind == "literal_error" else ()
                self.problems.add(f"{name}{message}{found}", mark, *notes)


def _without(model: type[BaseModel], values: dict[str, Any], keys: set[Any]) -> Any:
    """The block without the keys that are wrong, None where it is nothing without them."""
    try:
        return model.model_validate({key: value for key, value in values.items() if key not in keys})
    except ValidationError:
        return None


def _spoken(node: Node, path: Path_) -> list[str | int]:
    """The parts of a pydantic location that stand in the YAML: those of unions do not."""
    found: list[str | int] = []
    for part in path:
        if (node.is_mapping and part in node.value) or (node.is_list and isinstance(part, int) and part < len(node.value)):
            found.append(part)
            node = node.value[part]
    return found


def _known_keys(key: str, fields: list[str]) -> tuple[str, ...]:
    if not fields:
        return ("it takes no parameters",)
    return (f"known keys: {', '.join(fields)}", *near_miss(key, fields))


def _expected(detail: Any) -> list[str]:
    return [word.strip(" '") for word in str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]


def _name_key(what: str) -> str:
    """The key under which the name of a word stands."""
    return "method" if what in ("filling", "transform", "encoding", "resampling", "label_tuning") else "type"


def _spellings(node: Node, key: str, what: str) -> tuple[str, ...]:
    """How a word with parameters is written, by the example of `{dense: 8}` where one may be meant."""
    names = list(node.value) if node.is_mapping else []
    name = names[0] if len(names) == 1 else "NAME"
    parameters = "parameters: {...}" if key == "method" else "PARAMETER: VALUE"
    return (f"write {name}, or with parameters {{{key}: {name}, {parameters}}}",)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _shown(node: Node) -> str:
    if node.is_mapping:
        return "a mapping"
    if node.value is None:
        return "nothing"
    return "a list" if node.is_list else repr(node.value)


__all__ = ["ConfigFile", "Mark", "load_config", "parse_config"]
