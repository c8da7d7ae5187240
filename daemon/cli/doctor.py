"""`valkeep doctor`: can every part be reached, and what is missing where it cannot."""

from collections import Counter
from collections.abc import Iterator, Mapping

import click

from daemon.answers.doctor import Examined, Finding, Grade
from daemon.cli import patient_question
from daemon.cli.desk import Desk, json_option
from daemon.cli.words import elapsed, plural, sentence

COLOURS: Mapping[Grade, str] = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@json_option
@click.pass_obj
def doctor(desk: Desk) -> None:
    """Try out every part: vaults, caches, the engine, the host; worst first.

    Small objects are put into every vault, read, listed and deleted; nothing else is changed.
    The exit code is 0, also with warnings, and 1 where there is a problem.
    """
    found, raw = patient_question.ask(desk, Examined, "/v1/doctor")
    desk.show(raw, page(desk, found))
    raise click.exceptions.Exit(1 if found.grade == "problem" else 0)


def page(desk: Desk, found: Examined) -> Iterator[str]:
    """A line for each finding, what to do below it, and what they come to."""
    for finding in found.findings:
        yield from _told(desk, finding)
    counts = Counter(finding.grade for finding in found.findings)
    told = ", ".join((plural(counts["problem"], "problem"), plural(counts["warning"], "warning")))
    told = f"{told}, {counts['ok']:,} ok; {elapsed(found.seconds)}"
    yield f"{_mark(desk, found.grade)} in all: {told}"


def _told(desk: Desk, finding: Finding) -> Iterator[str]:
    of = f"{finding.part} {finding.name}" if finding.name else finding.part
    told = f"{_mark(desk, finding.grade)} {of}: {sentence(' '.join(finding.message.split()))}"
    yield from desk.flowed(told, rest="    ")
    if finding.hint:
        hint = f"  hint: {sentence(' '.join(finding.hint.split()))}"
        yield from desk.flowed(hint, rest="    ")


def _mark(desk: Desk, grade: Grade) -> str:
    return desk.mark(grade.upper(), colour=COLOURS[grade])
