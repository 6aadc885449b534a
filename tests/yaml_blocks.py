"""The YAML blocks of a Markdown text."""

import re


def of(markdown: str) -> list[str]:
    """Their texts, in order."""
    return re.findall(r"```yaml\n(.*?)```", markdown, re.S)
