"""Writes docs/run.svg: a terminal with the post's job on made-up trips, as it really ran.

python docs/make_picture.py
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
COMMANDS = (
    "datasource create csv --name trips --path trips.csv",
    "pipeline push trips.yaml birth_year",
    "pipeline run birth_year -y",
    "pipeline evaluate birth_year --slice gender",
)


def main() -> None:
    """Runs the commands and draws what they print."""
    console = Console(record=True, width=118, file=StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        call(folder, "sample trips trips.csv --rows 1000000")
        (Path(folder) / "trips.yaml").write_text((ROOT / "examples" / "trips.yaml").read_text())
        for words in COMMANDS:
            console.print(Text("$ ", style="bold green") + Text(f"cengine {words}", style="bold"))
            for line in call(folder, words).splitlines():
                style = "bold yellow" if "always saying" in line else ""
                console.print(Text(line, style=style))
            console.print()
    svg = console.export_svg(title="cengine")
    # The fonts that rich names lie on another host; a page must not ask for them.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S)
    (ROOT / "docs" / "run.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def call(folder: str, words: str) -> str:
    """What a command prints, a finished bar's line for each stage."""
    done = subprocess.run(
        [sys.executable, "-m", "cengine.cli.main", *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    # Where the folder lies is of no interest.
    printed = done.stdout.replace(f"{Path(folder).resolve()}/", "").replace(f"{folder}/", "")
    stages = [line for line in done.stderr.splitlines() if ": done in" in line]
    head, split, rest = printed.partition("\nsplit:")
    if not split:
        return printed
    return head + "\n" + "\n".join(stages) + "\n" + split + rest


if __name__ == "__main__":
    main()
