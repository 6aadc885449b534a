"""Pydantic's errors as problems of a YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from cengine.config.normalize import PLACES, Problems
from cengine.config.source import Node
from cengine.errors import near_miss

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# What Python calls a tuple or a dictionary.
_WORDS_OF_YAML = {
    "a valid tuple": "a list",
    "tuple": "list",
    "a valid dictionary or instance of EarlyStopping": "a mapping",
    "a valid dictionary or instance of Anomaly": "the column that tells odd rows, {column: NAME, positive: VALUE}",
    "a valid dictionary": "a mapping",
}


def explain(problems: Problems, detail: ErrorDetails, model: type[BaseModel], node: Node, of: str) -> None:
    """Adds what one of pydantic's errors means: `model` is what the block of `node` was read as, `of` what messages call it."""
    path = tuple(part for part in detail["loc"] if part in _spoken(node, detail["loc"]))
    suffix = f" of {of}" if of else ""
    kind = detail["type"]
    if kind == "extra_forbidden":
        key = str(detail["loc"][-1])
        mark = node.find(path, key=True)
        fields = [field.alias or name for name, field in model.model_fields.items()]
        notes = _known_keys(key, fields) if len(detail["loc"]) == 1 else ()
        problems.add(f"unknown key '{key}'{suffix}", mark, *notes)
    elif kind == "missing":
        problems.add(f"'{detail['loc'][-1]}'{suffix} is missing", node.mark)
    else:
        mark = node.find(path)
        if not problems.has_at(mark):
            name = f"'{'.'.join(str(part) for part in detail['loc'][:1])}'{suffix}: " if detail["loc"] else ""
            message = detail["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:] if message else message
            for ours, yamls in _WORDS_OF_YAML.items():
                message = message.replace(ours, yamls)
            found = f", found {detail['input']!r}" if isinstance(detail["input"], str | int | float) else ""
            notes = near_miss(str(detail["input"]), _expected(detail)) if kind == "literal_error" else ()
            problems.add(f"{name}{message}{found}", mark, *notes)


def _spoken(node: Node, path: tuple[str | int, ...]) -> list[str | int]:
    """The parts of a pydantic location that stand in the YAML: those of unions do not."""
    found: list[str | int] = []
    for part in path:
        if (node.is_mapping and part in node.value) or (
            node.is_list and isinstance(part, int) and part < len(node.value)
        ):
            found.append(part)
            node = node.value[part]
    return found


def _known_keys(key: str, fields: list[str]) -> tuple[str, ...]:
    if key in PLACES and key not in fields:
        return (PLACES[key],)
    if not fields:
        return ("it takes no parameters",)
    return (f"known keys: {', '.join(fields)}", *near_miss(key, fields))


def _expected(detail: ErrorDetails) -> list[str]:
    return [word.strip(" '") for word in str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ",").split(",")]
