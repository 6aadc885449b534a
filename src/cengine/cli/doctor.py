"""`cengine doctor`: what is as it should be, and what mends the rest."""

from __future__ import annotations

import dataclasses

import click

from cengine.cli.options import SETTINGS, json_option

EXIT_PROBLEM = 1


@click.command(context_settings=SETTINGS)
@json_option
def doctor(as_json: bool) -> None:
    """What this installation, this machine and this project are like, and the command that mends what is wrong.

    Exit code 1 where there is a problem; a warning is none.
    """
    from cengine.cli.output import cell, echo, print_json
    from cengine.doctor.finding import PROBLEM, WARNING
    from cengine.doctor.health import examine
    from cengine.store.project import project_folder

    found = []
    for finding in examine(project_folder()):
        found.append(finding)
        if not as_json:
            echo(f"{finding.state:<8} {finding.name:<13} {cell(finding.text)}")
            if finding.mend:
                echo(f"{'':<23}= {cell(finding.mend)}")
    problems, warnings = (sum(finding.state == state for finding in found) for state in (PROBLEM, WARNING))
    if as_json:
        print_json(
            {"problems": problems, "warnings": warnings, "findings": [dataclasses.asdict(finding) for finding in found]}
        )
    else:
        echo(f"\n{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}")
    if problems:
        raise click.exceptions.Exit(EXIT_PROBLEM)


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
