#!/usr/bin/env bash
# python-calamine 0.9.1 returns an error cell of a workbook (#N/A, #DIV/0!) as
# an empty string, exactly what it returns for a cell that is empty. One would
# expect an error object, the text of the error, or an exception; openpyxl
# 3.1.5 gives the text #N/A for the same cell. A formula that was never
# computed, as every workbook written by a program has them, comes as the same
# empty string, so three quite different states cannot be told apart. Whoever
# checks a sheet for failed lookups before loading it finds none, and the
# failed rows pass as blank and drop out of sums.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openpyxl==3.1.5 python-calamine==0.9.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import openpyxl, python_calamine
from importlib.metadata import version

book = openpyxl.Workbook()
for row in (["case", "value"], ["number", 5], ["not available", "#N/A"], ["division", "#DIV/0!"],
            ["formula without a value", "=B2*2"], ["empty", None]):
    book.active.append(row)
kinds = [cell.data_type for cell in book.active["B"][1:]]
book.save("cells.xlsx")
calamine = dict(python_calamine.CalamineWorkbook.from_path("cells.xlsx").get_sheet_by_index(0).to_python())
other = dict(openpyxl.load_workbook("cells.xlsx", data_only=True).active.iter_rows(values_only=True))
print("python-calamine", version("python-calamine"), "openpyxl", openpyxl.__version__)
for name in list(calamine)[1:]:
    print(f"{name}: python-calamine {calamine[name]!r}, openpyxl {other[name]!r}")
assert kinds == ["n", "e", "e", "f", "n"], "the workbook is not built as intended"
assert other["not available"] == "#N/A" and other["division"] == "#DIV/0!", "openpyxl has changed"
assert calamine["number"] == 5, "numbers have changed"
assert calamine["empty"] == "", "empty cells have changed"
assert calamine["not available"] == calamine["division"] == "", "error cells are now told apart"
assert calamine["formula without a value"] == "", "formulas without a value are now told apart"
PY
