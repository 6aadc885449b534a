"""What a bundle says to those who use it: README.md and Dockerfile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cengine.exports.certificate import PROBABILITY, measured_in
from cengine.extras import DISTRIBUTION

if TYPE_CHECKING:
    from cengine.models.model import Model

# What a server takes of the packages that cengine is made for: no Keras, no JAX, no DuckDB.
SERVING = (
    "onnxruntime>=1.22", "msgspec>=0.19", "uvicorn>=0.34", "uvloop>=0.21", "httptools>=0.6", "click>=8.2", "rich>=14",
)  # fmt: skip
PORT = 8000
_KINDS = {
    "boolean": "true or false", "integer": "a whole number", "float": "a number", "string": "a text",
    "timestamp": "a time in ISO 8601, UTC where it names no zone",
}  # fmt: skip


def dockerfile(version: str) -> str:
    """An image that serves the bundle beside it: one process, no root."""
    packages = " ".join(f'"{one}"' for one in SERVING)
    return f"""\
FROM python:3.12-slim
RUN pip install --no-cache-dir {packages} \\
 && pip install --no-cache-dir --no-deps "{DISTRIBUTION}=={version}"
RUN useradd --system --uid 10001 --no-create-home server
COPY model.json model.onnx golden.json certificate.json openapi.json /bundle/
USER 10001
EXPOSE {PORT}
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", \\
 "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "cengine.serving", "/bundle", "--host", "0.0.0.0", "--port", "{PORT}"]
"""


def readme(model: Model, certificate: Mapping[str, Any]) -> str:
    """What the model takes, what it gives, how good it is, how to use the bundle."""
    inputs = "\n".join(f"| {_code(one.name)} | {_KINDS[one.kind]} |" for one in model.signature.features)
    outputs = "\n".join(_output(one) for one in model.outputs)
    return f"""\
# {_line(model.certificate.get("run", "A model"))}

| column | holds |
|---|---|
{inputs}

Any cell may be missing (null).

{outputs}

{_verdicts(model)}

## Proof

{proof(certificate)}

    cengine model check .

compares both once more, and every file with its digest in `certificate.json`.

## Use

    cengine serve .
    curl -d '{{"rows": [...]}}' -H 'content-type: application/json' http://127.0.0.1:{PORT}/predict

`golden.json` has rows with what the model says of them; `openapi.json` describes the service. As an image, which asks for a
token because it is open to the network:

    docker build -t model . && docker run -p {PORT}:{PORT} -v ./token:/run/secrets/token:ro model --token-file /run/secrets/token

In Python, on tables of any size: `cengine.load_model(".").predict(table)`. In any other program: `model.onnx` takes each column as
[rows, 1] (times as microseconds since 1970 UTC, int64), and `COLUMN is null` beside it for those who have nulls. If it has an input
`COLUMN hash`, that is an int64 of the first seven hexadecimal digits of the MD5 of the column's text in UTF-8.
"""


def proof(certificate: Mapping[str, Any]) -> str:
    """What was compared, in a sentence."""
    told = [
        f"{_line(one['label'])}: largest difference {one['largest_difference']:.2g} {_line(measured_in(one['unit']))} "
        f"(bound {one['bound']:.2g})"
        + ("" if one["unit"] != PROBABILITY else f", rows whose class differs: {one['classes_differ']:,}")
        for one in certificate["labels"]
    ]
    return (
        f"`model.onnx` gave the same as the training model on {certificate['rows']:,} evaluated rows and "
        f"{certificate['made_up_rows']:,} made-up ones (nulls, unseen words, extremes, leap days). "
        + "; ".join(told)
        + "."
    )


def _output(output: Mapping[str, Any]) -> str:
    if not output["classes"]:
        told = f"`{_line(output['prediction'])}` is a number, in the unit of {_code(output['label'])}."
        if not output.get("quantiles"):
            return told
        listed = ", ".join(f"{share:.12g}" for share in output["at"])
        return f"{told} `{_line(output['quantiles'])}` has the quantiles {listed} of it, which ascend; `prediction` is one of them."
    classes = ", ".join(_code(one) for one in output["classes"][:20])
    more = f" and {len(output['classes']) - 20} more" if len(output["classes"]) > 20 else ""
    return (
        f"`{_line(output['prediction'])}` is the likeliest class of {_code(output['label'])}, "
        f"`{_line(output['probabilities'])}` the probability of each: {classes}{more}."
    )


def _verdicts(model: Model) -> str:
    told = [_line(one["sentence"]) for one in model.certificate.get("verdicts", ())]
    if folds := model.certificate.get("folds"):
        told.append(f"{_line(folds[:1].upper() + folds[1:])}.")
    return "\n".join(f"- {sentence}" for sentence in told)


def _code(value: object) -> str:
    """A value of the user's as code, which Markdown takes as it is."""
    return f"`{_line(value)}`"


def _line(value: object) -> str:
    """A text of the user's on one line, without what Markdown, HTML or a terminal would act upon."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text.translate({ord("`"): "'", ord("<"): "\u2039", ord(">"): "\u203a", ord("|"): "¦"})
