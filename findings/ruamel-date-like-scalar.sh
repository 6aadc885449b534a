#!/usr/bin/env bash
# ruamel.yaml 0.19.1 refuses a whole file because of a plain scalar that looks
# like a date without being one. In the core schema of YAML 1.2, which this
# library follows by default, there is no timestamp at all, so "version:
# 2020-13-45" or a part number 2023-02-30 is a string. One would expect the
# string, or at worst a YAML error that names the line. What comes is a bare
# ValueError from the datetime module, "month must be in 1..12" or the like:
# no file, line or column, and not a subclass of YAMLError, so a program that
# catches the documented error class stops. It holds for the safe and the
# round-trip loader. 2020-1-1 and 12:30:45 do come back as strings.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ruamel.yaml==0.19.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import ruamel.yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

print("ruamel.yaml", ruamel.yaml.__version__)
for kind in ("safe", "rt"):
    for text in ("2020-13-45", "2023-02-30"):
        document = f"title: parts list\nnumber: {text}\n"
        try:
            value = YAML(typ=kind).load(document)["number"]
        except ValueError as error:
            print(f"{kind}, {text}: {type(error).__name__}: {error}")
            assert not isinstance(error, YAMLError), "the error is now a YAMLError"
            assert not hasattr(error, "problem_mark"), "the error now has a position"
        else:
            raise SystemExit(f"{text} is now read as {value!r}")
    quoted = YAML(typ=kind).load("number: '2020-13-45'\nshort: 2020-1-1\n")
    assert (quoted["number"], quoted["short"]) == ("2020-13-45", "2020-1-1"), "strings have changed"
PY
