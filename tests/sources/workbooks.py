"""Small workbooks as Excel writes them, made by hand, so that every kind of cell can be in them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

# Styles: 0 general, 1 a day, 2 a time, 3 a time of day, 4 a duration.
_STYLES = """<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
<numFmts count="1"><numFmt numFmtId="164" formatCode="[h]:mm:ss"/></numFmts>
<fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>
<cellXfs count="5"><xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/><xf numFmtId="22" applyNumberFormat="1"/>
<xf numFmtId="21" applyNumberFormat="1"/><xf numFmtId="164" applyNumberFormat="1"/></cellXfs></styleSheet>"""
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_CONTENT = "application/vnd.openxmlformats-officedocument.spreadsheetml"
DAY, TIME, TIME_OF_DAY, DURATION = 1, 2, 3, 4


def error(text: str) -> str:
    """The inside of a cell that is an error."""
    return f' t="e"><v>{text}</v></c>'


def formula(text: str, value: str = "") -> str:
    """The inside of a cell with a formula, computed or not."""
    return f"><f>{text}</f>{f'<v>{value}</v>' if value else ''}</c>"


def styled(number: float, style: int) -> str:
    """The inside of a cell with a number in a format."""
    return f' s="{style}"><v>{number}</v></c>'


def write(
    path: Path,
    sheets: dict[str, Sequence[Sequence[object]]],
    *,
    merged: str = "",
    hidden: Sequence[str] = (),
    prefix: str = "",
) -> Path:
    """A workbook of these sheets; a cell is a value, None, or what `error`, `formula` or `styled` gives."""
    paths = [f"worksheets/sheet{number}.xml" for number in range(1, len(sheets) + 1)]
    kinds = [("/xl/workbook.xml", "sheet.main"), *((f"/xl/{one}", "worksheet") for one in paths)]
    types = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    types += "".join(f'<Override PartName="{part}" ContentType="{_CONTENT}.{kind}+xml"/>' for part, kind in kinds)
    states = [' state="hidden"' if name in hidden else "" for name in sheets]
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n + 1}" r:id="r{n}"{states[n]}/>' for n, name in enumerate(sheets)
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types">{types}</Types>')
        archive.writestr("_rels/.rels", _links(["xl/workbook.xml"], ["officeDocument"]))
        archive.writestr(
            "xl/_rels/workbook.xml.rels", _links([*paths, "styles.xml"], ["worksheet"] * len(paths) + ["styles"])
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINKS}"><sheets>{listed}</sheets></workbook>'
        )
        archive.writestr("xl/styles.xml", _STYLES)
        for one, rows in zip(paths, sheets.values(), strict=True):
            archive.writestr(f"xl/{one}", _sheet(rows, merged, prefix))
    return path


def _links(targets: Sequence[str], kinds: Sequence[str]) -> str:
    links = "".join(
        f'<Relationship Id="r{number}" Type="{_LINKS}/{kind}" Target="{target}"/>'
        for number, (target, kind) in enumerate(zip(targets, kinds, strict=True))
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


def _sheet(rows: Sequence[Sequence[object]], merged: str, prefix: str) -> str:
    cells = [
        "".join(_cell(f"{chr(65 + place)}{number}", value) for place, value in enumerate(row))
        for number, row in enumerate(rows, 1)
    ]
    text = "".join(f'<row r="{number}">{row}</row>' for number, row in enumerate(cells, 1))
    merging = f'<mergeCells count="1"><mergeCell ref="{merged}"/></mergeCells>' if merged else ""
    body = f"<worksheet><sheetData>{text}</sheetData>{merging}</worksheet>"
    if prefix:
        body = body.replace("</", "\0").replace("<", f"<{prefix}:").replace("\0", f"</{prefix}:")
    name = f"<{prefix}:worksheet" if prefix else "<worksheet"
    return body.replace(name, f'{name} xmlns{":" + prefix if prefix else ""}="{_MAIN}"', 1)


def _cell(place: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and value.endswith("</c>"):
        return f'<c r="{place}"{value}'
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
