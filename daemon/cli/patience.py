"""``--wait`` and ``--timeout``, the same for everything that takes long.

Knows how a span of time is written, and how the two belong together: a time-out is a wait, and
nobody can wait for no longer than so long without waiting.
"""

import functools
from collections.abc import Callable

import click

from daemon.cli.desk import F

UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class Span(click.ParamType[float]):
    """A span of time in seconds: ``90``, ``90s``, ``10m``, ``1.5h``, ``2d``, also put together."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; what is no span is refused with the form of one."""
        if isinstance(value, int | float):
            return float(value)
        seconds = seconds_of(str(value))
        if seconds is None:
            self.fail(f"{str(value)!r} is no span of time: say 90s, 10m or 2h.", param, ctx)
        return seconds


def seconds_of(text: str) -> float | None:
    """The seconds that a text like ``1h30m`` means; None for anything else, and for nothing."""
    import re  # noqa: PLC0415 - only who says --timeout needs it

    text = text.strip().lower().replace(" ", "")
    parts: list[tuple[str, str]] = re.findall(r"(\d+(?:\.\d+)?)([a-z]*)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    if any(unit not in UNITS or (not unit and len(parts) > 1) for _, unit in parts):
        return None
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def wait_options(*, default: bool) -> Callable[[F], Callable[..., None]]:
    """``--wait/--no-wait`` and ``--timeout`` as `wait` and `timeout`; a time-out is a wait."""

    def decorated(command: F) -> Callable[..., None]:
        @functools.wraps(command)
        def patient(*arguments: object, **given: object) -> None:
            timeout, wait = given.get("timeout"), given.get("wait")
            if timeout is not None and wait is False:
                raise click.UsageError("--timeout is how long to wait, and --no-wait says not to.")
            given["wait"] = (default or timeout is not None) if wait is None else wait
            command(*arguments, **given)

        otherwise = " (the default), or do not." if default else "; else it is only asked for."
        for option in (
            click.option(
                "--timeout",
                type=Span(),
                metavar="SPAN",
                help="Wait no longer than this: 90s, 10m, 2h. The work goes on then.",
            ),
            click.option(
                "--wait/--no-wait",
                default=None,
                help=f"Stay until it has ended, showing how far it is{otherwise}",
            ),
        ):
            patient = option(patient)
        return patient

    return decorated
