"""`valkeep usage`: what was stored in a month, what it cost, and what the month will have cost.

How it looks is in `usage_page`. As CSV it is for a spreadsheet: exact figures, one line each.
"""

import click

from daemon.answers.usage import UsageMonth, UsageMonths
from daemon.cli.desk import Desk, json_option
from daemon.cli.usage_page import csv_text, month_page, months_page

MOST_MONTHS = 120


@click.command()
@click.option("--month", metavar="YYYY-MM", help="Another month than the running one, in UTC.")
@click.option("--cache", metavar="CACHE", help="Of this cache only, also one that was removed.")
@click.option(
    "--months",
    "count",
    type=click.IntRange(1, MOST_MONTHS),
    metavar="N",
    help="The last N months, the running one included, a line each.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with exact figures.")
@json_option
@click.pass_obj
def usage(
    desk: Desk, *, month: str | None, cache: str | None, count: int | None, as_csv: bool
) -> None:
    """Show what backups used of each vault in a month, and what that cost.

    Bytes count from the end of a backup until its deletion is confirmed; a GB-month is 2^30 bytes
    during a whole month. Prices are those of the configuration as they were at the time.
    """
    if as_csv and desk.as_json:
        raise click.UsageError("--csv and --json are two forms of one answer: name one of them.")
    if count is not None and month is not None:
        raise click.UsageError("--months counts back from the running month: leave out --month.")
    if count is not None:
        several, raw = desk.ask(UsageMonths, "/v1/usage/months", count=count, cache=cache)
        if as_csv:
            click.echo(csv_text(several.months), nl=False)
        else:
            desk.show(raw, months_page(several, cache, desk.width))
        return
    found, raw = desk.ask(UsageMonth, "/v1/usage", month=month, cache=cache, forecast=not as_csv)
    if as_csv:
        click.echo(csv_text((found,)), nl=False)
    else:
        desk.show(raw, month_page(found, cache, desk.width))
