#!/usr/bin/env bash
# MLServer 1.7.1, installed afresh, takes uvloop 0.22 or newer, and then serves
# no model: its inference worker asks uvloop for the current event loop of a
# process that has just begun, which uvloop 0.22 answers with an error where
# 0.21 made a loop. The worker ends, the server removes the model from its
# registry and stays up, and every request is answered with 400, "not ready".
# With uvloop 0.21.0 and nothing else changed the worker gets its loop.
# The script asks the worker's own method, without a server.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
asked() {
    "$work/venv/bin/python" -W ignore - <<'PY'
import asyncio
from importlib.metadata import version
from types import SimpleNamespace

from mlserver.parallel.worker import Worker
from mlserver.utils import install_uvloop_event_loop

install_uvloop_event_loop()
own = SimpleNamespace(_responses=None, _requests=None)
try:
    Worker._ignore_signals(own)
except RuntimeError as error:
    found = f"RuntimeError: {error}"
else:
    found = "a loop"
print("mlserver", version("mlserver"), "uvloop", version("uvloop"), "->", found)
PY
}
pip mlserver==1.7.1 uvloop==0.22.1
new=$(asked)
pip uvloop==0.21.0
old=$(asked)
echo "$new"
echo "$old"
[[ "$new" == *"no current event loop"* ]] || { echo "the newer uvloop no longer ends the worker" >&2; exit 1; }
[[ "$old" == *"-> a loop" ]] || { echo "the older uvloop no longer gives a loop" >&2; exit 1; }
