#!/usr/bin/env bash
# ruamel.yaml 0.19.1 writes a text that begins with a colon, such as ":0", bare
# into a flow mapping, which YAML 1.2 allows where no space follows the colon.
# Its round-trip reader reads the text back. Its safe reader does so too where
# the flow mapping is the whole document, but raises a ParserError where the
# mapping is the value of a key in a block: the same package, asked to read
# safely, refuses what it has written.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ruamel.yaml==0.19.1
"$work/venv/bin/python" - <<'PY'
from io import StringIO

import ruamel.yaml
from ruamel.yaml.comments import CommentedMap

inner = CommentedMap(column=":0")
inner.fa.set_flow_style()
stream = StringIO()
ruamel.yaml.YAML().dump({"rows": 1, "split": inner}, stream)
text = stream.getvalue()


def read(kind, text):
    try:
        return ruamel.yaml.YAML(typ=kind, pure=True).load(text)
    except ruamel.yaml.error.YAMLError as error:
        return type(error).__name__


nested = {kind: read(kind, text) for kind in ("rt", "safe")}
alone = read("safe", "{column: :0}")
print("ruamel.yaml", ruamel.yaml.__version__, "writes", repr(text))
print("read round-trip:", nested["rt"], "| read safely:", nested["safe"], "| the mapping alone, safely:", alone)
assert "{column: :0}" in text, "the text is quoted now"
assert nested["rt"] == {"rows": 1, "split": {"column": ":0"}}, "the round-trip reader reads something else"
assert nested["safe"] == "ParserError", "the safe reader reads it now"
assert alone == {"column": ":0"}, "the safe reader no longer reads the mapping alone"
PY
