"""The OpenAPI 3.1 document of a server: what it takes and gives, with the columns of its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cengine.extras import DISTRIBUTION
from cengine.serving.bundle import Bundle, Field, Label
from cengine.serving.media_types import ARROW, CSV, JSON, LINES

_TYPES: dict[str, dict[str, Any]] = {
    "boolean": {"type": ["boolean", "null"]},
    "integer": {"type": ["integer", "null"], "format": "int64"},
    "float": {"type": ["number", "null"], "format": "double"},
    "string": {"type": ["string", "null"]},
    "timestamp": {
        "type": ["string", "integer", "null"],
        "description": "ISO 8601, UTC where it names no zone; or microseconds since 1970 UTC",
    },
}
_BINARY = {"type": "string", "contentMediaType": ARROW}


def document(bundles: Sequence[Bundle], *, needs_token: bool) -> dict[str, Any]:
    """The document of the latest versions of these models."""
    from importlib import metadata

    schemas: dict[str, Any] = {"error": _ERROR, "tensors": _TENSORS, "answer": _TENSORS_ANSWER}
    paths: dict[str, Any] = {}
    for bundle in bundles:
        schemas[f"{bundle.name}.row"] = _row(bundle.fields)
        schemas[f"{bundle.name}.prediction"] = _prediction(bundle.labels)
        paths |= _paths_of(bundle, f"/predict/{bundle.name}")
    if len(bundles) == 1:
        paths["/predict"] = {"post": {**paths[f"/predict/{bundles[0].name}"]["post"], "operationId": "predict"}}
    paths |= _told_paths()
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": ", ".join(bundle.name for bundle in bundles), "version": metadata.version(DISTRIBUTION)},
        "paths": paths,
        "components": {"schemas": schemas},
        "x-models": [
            _told(bundle, "/predict" if len(bundles) == 1 else f"/predict/{bundle.name}") for bundle in bundles
        ],
    }
    if needs_token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _told(bundle: Bundle, path: str) -> dict[str, Any]:
    """What the page builds its form of."""
    columns = [{"name": one.column, "kind": one.kind, "example": _example(one)} for one in bundle.fields]
    return {"name": bundle.name, "version": bundle.version, "path": path, "columns": columns}


def _example(field: Field) -> Any:
    """What stands for a missing cell, as it may be sent: the median of whole numbers may be none."""
    is_half = field.kind == "integer" and isinstance(field.example, float)
    return round(field.example) if is_half else field.example


def _row(fields: Sequence[Field]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {one.column: _TYPES[one.kind] for one in fields},
        "required": [one.column for one in fields],
        "additionalProperties": False,
    }


def _prediction(labels: Sequence[Label]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for label in labels:
        for name, _, place in label.columns():
            if label.classes is None:
                properties[name] = {
                    "type": "number",
                    "format": "double",
                    "description": f"in the unit of {label.column}",
                }
            elif place is not None:
                properties[name] = {"type": "number", "minimum": 0, "maximum": 1}
            else:
                properties[name] = {"enum": list(label.classes)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _paths_of(bundle: Bundle, path: str) -> dict[str, Any]:
    row, told = _schema(f"{bundle.name}.row"), _schema(f"{bundle.name}.prediction")
    rows = {"type": "object", "properties": {"rows": {"type": "array", "items": row}}, "required": ["rows"]}
    answer = {
        "type": "object",
        "properties": {
            "model": {"const": bundle.name},
            "version": {"type": "string"},
            "predictions": {"type": "array", "items": told},
        },
        "required": ["model", "version", "predictions"],
    }
    predict = {
        "operationId": f"predict_{bundle.name}",
        "summary": "Predictions of rows; the answer is in the format of the request, or in that of Accept",
        "requestBody": {"required": True, "content": _contents(rows, row)},
        "responses": {
            "200": {"description": "a prediction a row, in order", "content": _contents(answer, told)},
            **_REFUSED,
        },
    }
    infer = {
        "operationId": f"infer_{bundle.name}",
        "summary": "Open Inference Protocol, version 2: a tensor a column",
        "requestBody": {"required": True, "content": {JSON: {"schema": _schema("tensors")}}},
        "responses": {"200": {"description": "tensors", "content": {JSON: {"schema": _schema("answer")}}}, **_REFUSED},
    }
    model = f"/v2/models/{bundle.name}"
    return {
        path: {"post": predict},
        f"{model}/infer": {"post": infer},
        model: {"get": _plain(f"metadata_{bundle.name}", "Inputs, outputs and versions of the model")},
        f"/v2/repository/models/{bundle.name}/load": {
            "post": _plain(
                f"load_{bundle.name}", "Reads the model's bundle again and swaps it for the one that answers"
            )
        },
    }


def _told_paths() -> dict[str, Any]:
    return {
        "/v2": {"get": _plain("server", "Name, version and extensions of the server")},
        "/v2/health/live": {"get": _plain("live", "Whether the process answers")},
        "/v2/health/ready": {"get": _plain("ready", "Whether requests are welcome; 503 while the server ends")},
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Metrics in the text format of Prometheus",
                "responses": {"200": {"description": "text", "content": {"text/plain": {}}}},
            }
        },
    }


def _plain(name: str, summary: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "JSON", "content": {JSON: {}}}},
    }


def _contents(whole: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    return {
        JSON: {"schema": whole},
        LINES: {"schema": row},
        CSV: {"schema": {"type": "string"}},
        ARROW: {"schema": _BINARY},
    }


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": _schema("error")}}}


_REFUSED = {
    "400": _refusal("the body cannot be read"),
    "401": _refusal("the token is missing or wrong"),
    "413": _refusal("too many rows or bytes"),
    "415": _refusal("a format that is not read"),
    "422": _refusal("rows that do not fit the model; names row, column and value"),
    "503": _refusal("too many rows wait; Retry-After says when to try again"),
}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer", "minimum": 1},
                    "column": {"type": "string"},
                    "value": {},
                    "problem": {"type": "string"},
                },
            },
        },
    },
    "required": ["error"],
}
_TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "data": {"type": "array"},
    },
    "required": ["name", "shape", "datatype", "data"],
}
_TENSORS = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
    "required": ["inputs"],
}
_TENSORS_ANSWER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
    "required": ["model_name", "outputs"],
}
