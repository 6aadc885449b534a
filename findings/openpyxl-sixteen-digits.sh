#!/usr/bin/env bash
# openpyxl 3.1.5 writes numbers into a workbook with 16 significant digits. A
# Python float needs up to 17 to come back as the same float, the file format
# takes 17, and Excel writes 17 itself, so one would expect a saved value to
# be read back equal. About a quarter of all random floats are not: 0.1 + 0.2
# comes back as 0.3, and whole numbers of 17 digits as floats with the last
# digits changed. Nothing is reported. It hurts those who compare a workbook
# with its source, use floats from it as keys, or store long account and order
# numbers as numbers. The digits are lost while writing; a reader such as
# python-calamine 0.9.1 sees the same shortened value.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openpyxl==3.1.5 python-calamine==0.9.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import openpyxl, python_calamine, random
from importlib.metadata import version

random.seed(1)
values = [0.1 + 0.2, 110.00000000000001, 12345678901234568] + [random.random() for _ in range(2000)]
book = openpyxl.Workbook()
for value in values:
    book.active.append([value])
book.save("numbers.xlsx")
back = [row[0] for row in openpyxl.load_workbook("numbers.xlsx").active.iter_rows(values_only=True)]
other = [row[0] for row in
         python_calamine.CalamineWorkbook.from_path("numbers.xlsx").get_sheet_by_index(0).to_python()]
changed = sum(a != b for a, b in zip(values, back))
print("openpyxl", openpyxl.__version__, "python-calamine", version("python-calamine"))
print("written:        ", values[:3])
print("read back:      ", back[:3])
print("by python-calamine:", other[:3])
print("changed:", changed, "of", len(values))
assert len(back) == len(other) == len(values)
assert back[0] == 0.3 and back[2] != values[2], "the first values now come back unchanged"
assert changed > 300, "floats now survive the round trip"
assert other[0] == 0.3, "the digits are no longer lost while writing"
PY
