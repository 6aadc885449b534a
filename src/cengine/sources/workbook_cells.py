"""Cells of a sheet that the reader of workbooks would hand over as empty or rounded, found in the sheet's own XML.

An error (#DIV/0!) and a formula that was never computed come as empty, and of more than 15 digits some are lost.
"""

from __future__ import annotations

import posixpath
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path

from cengine.errors import SourceError

CHUNK_BYTES = 2**20
_MOST_BYTES_OF_NAMES = 2**24
# Some programs write a prefix before each name.
_CELL = re.compile(rb"<(?:\w+:)?c\s([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)", re.DOTALL)
_END = re.compile(rb"</(?:\w+:)?row>")
_PLACE = re.compile(rb'\br="([A-Z]+\d+)"')
_KIND = re.compile(rb'\bt="(\w+)"')
_VALUE = re.compile(rb"<(?:\w+:)?v(?:\s[^>]*)?>([^<]+)</")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def cell_name(row: int, column: int) -> str:
    """What Excel calls the cell of a row, counted from 1, and a column, counted from 0."""
    letters, number = "", column + 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def check_cells(file: Path, sheet: str, label: str, tick: Callable[[], None]) -> None:
    """Raises SourceError for the first cell whose value would not arrive as it is."""
    try:
        with zipfile.ZipFile(file) as archive:
            path = _sheet_path(archive, sheet)
            if path is None:
                return  # a chart has no cells
            with archive.open(path) as stream:
                held = b""
                while chunk := stream.read(CHUNK_BYTES):
                    held += chunk
                    *_, end = (0, *(found.end() for found in _END.finditer(held)))
                    _check(held[:end], label)
                    held = held[end:]
                    tick()
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, EOFError) as error:
        raise SourceError(f"'{file}' is damaged: {error}", "open and save it again in Excel") from None


def _check(xml: bytes, label: str) -> None:
    for found in _CELL.finditer(xml):
        attributes, inner = found.groups()
        if not inner:
            continue
        place = _PLACE.search(attributes)
        cell = f"{label}: cell {place.group(1).decode() if place else '?'}"
        kind = _KIND.search(attributes)
        value = _VALUE.search(inner)
        if kind is not None and kind.group(1) == b"e":
            raise SourceError(
                f"{cell} is an error, {value.group(1).decode() if value else '?'}", "mend it, or leave the cell empty"
            )
        if (
            value is None
            and _FORMULA.search(inner)
            and not (kind is not None and kind.group(1) in (b"str", b"s", b"inlineStr"))
        ):
            raise SourceError(f"{cell} is a formula that was never computed", "open and save the workbook in Excel")
        if value is not None and (kind is None or kind.group(1) == b"n") and len(value.group(1)) > 15:
            digits = value.group(1).strip().lstrip(b"-")
            if digits.isdigit() and len(digits.strip(b"0")) > 15 and int(float(digits)) != int(digits):
                raise SourceError(
                    f"{cell} is {digits.decode()}, of which a number of Excel loses digits", "write it as a text"
                )


def _sheet_path(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Where the XML of a sheet lies in the workbook."""
    for name in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels"):
        if archive.getinfo(name).file_size > _MOST_BYTES_OF_NAMES:
            raise zipfile.BadZipFile(f"{name} is too large")
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    link = next(
        (one.get(_LINK) for one in book.iter() if one.tag.endswith("}sheet") and one.get("name") == sheet), None
    )
    links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    target = next((one.get("Target") for one in links if one.get("Id") == link), None)
    if target is None:
        return None
    path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join("xl", target))
    return path if path in archive.namelist() else None
