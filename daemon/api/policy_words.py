"""A policy in words: what is made when, how long it is kept, and what that leaves open. Pure."""

from collections.abc import Iterator

from events.facts import Policy, Window
from projections.caches import Cache
from projections.policy import DAY_MINUTES, window_text, zone
from projections.retention import SAFETY_DAYS


def words(cache: Cache, policy: Policy) -> tuple[str, ...]:
    """What comes of a policy of a cache, each a sentence; the most important one first."""
    return (*_service(cache), *_made(cache, policy), *_kept(policy), *_proven(policy))


def _service(cache: Cache) -> Iterator[str]:
    if cache.suspended is not None:
        yield (
            f"The cache is suspended ({cache.suspended}): no backup is made by itself, and "
            "retention deletes nothing."
        )


def _made(cache: Cache, policy: Policy) -> Iterator[str]:
    if not policy.auto:
        yield from _off(cache, policy)
    elif not policy.windows:
        yield (
            "Auto backups are allowed, but there is no window, so none is made by itself: only "
            f"`valkeep backup create {cache.name} --auto` makes one. {_how_to_add(cache)}"
        )
    elif zone(policy.timezone) is None:
        yield (
            f"This host's time zone database does not have {policy.timezone} any more, so no "
            "backup is made by itself. Install tzdata, or set another time zone."
        )
    else:
        yield _daily(policy)
        yield _retried(policy)


def _off(cache: Cache, policy: Policy) -> Iterator[str]:
    if policy.windows:
        windows = ", ".join(window_text(window) for window in policy.windows)
        yield f"Auto backups are off: none is made. The settings ({windows}) are kept for later."
    else:
        yield "Auto backups are off: none is made."
    if cache.declared and cache.suspended is None:
        yield f"To turn them on, say auto = true in {_section(cache)} and reload the daemon."
    else:
        window = "" if policy.windows else " --window 02:00+2h"
        yield f"`valkeep policy set {cache.name} --auto{window}` turns them on."


def _how_to_add(cache: Cache) -> str:
    if cache.declared and cache.suspended is None:
        return f"Windows are added in {_section(cache)}."
    return f"`valkeep policy set {cache.name} --window 02:00+2h` adds a window."


def _section(cache: Cache) -> str:
    return f"[caches.{cache.name}.policy] of {cache.file or 'the configuration'}"


def _daily(policy: Policy) -> str:
    spans = " and ".join(_span(window) for window in policy.windows)
    if len(policy.windows) > 4:
        shown = ", ".join(window_text(window) for window in policy.windows)
        spans = f"in these windows: {shown}"
    many = "One backup" if len(policy.windows) == 1 else f"{len(policy.windows)} backups"
    each = "It starts" if len(policy.windows) == 1 else "Each starts"
    half = " in the first half of its window, which leaves room for retries" * bool(policy.retries)
    fixed = half or " in its window"
    return (
        f"{many} a day, begun {spans} ({policy.timezone}). {each} at an instant{fixed}, "
        "spread by the cache's name and the date; it may end after the window."
    )


def _span(window: Window) -> str:
    hours, _, minutes = window.start.partition(":")
    end = int(hours) * 60 + int(minutes) + window.minutes
    next_day = " the next day" if end > DAY_MINUTES or window.minutes == DAY_MINUTES else ""
    return f"between {window.start} and {end // 60 % 24:02}:{end % 60:02}{next_day}"


def _retried(policy: Policy) -> str:
    if not policy.retries:
        return "One that fails is not tried again: the next window is the next chance."
    times = "once" if policy.retries == 1 else f"up to {policy.retries} times"
    return f"One that fails is tried again {times}, as long as that can start inside the window."


def _kept(policy: Policy) -> Iterator[str]:
    after = f"Retention deletes an auto backup {_days(policy.retention_days)} after its snapshot"
    match policy.keep_last:
        case 0:
            yield (
                f"{after}, also the last one there is: with keep_last 0 nothing is left when no "
                "new one could be made for so long."
            )
        case 1:
            yield f"{after}, but never the newest one (keep_last 1)."
        case several:
            yield f"{after}, but never the newest {several} (keep_last {several})."
    yield from _suspected(policy)
    safety = _days(max(policy.retention_days, SAFETY_DAYS))
    yield (
        "Manual backups stay until somebody deletes them; safety backups, made before a restore, "
        f"are kept for {safety}."
    )


def _suspected(policy: Policy) -> Iterator[str]:
    percent = policy.suspect_drop_percent
    if not percent:
        yield "However small a scheduled backup gets, none is held for suspect."
        return
    yield (
        f"One whose keys or bytes fall by more than {percent} % of the median of the last good "
        "ones is suspect: it is told of, and the last good ones before it stay until somebody "
        "acknowledges it (`valkeep backup ack`)."
    )


def _proven(policy: Policy) -> Iterator[str]:
    if not policy.auto:
        return
    match policy.verify:
        case "always":
            yield "Each auto backup is verified when it is complete (verify always)."
        case "daily":
            yield "The first good auto backup of a day is verified (verify daily)."
        case "never":
            yield (
                "None is verified by itself (verify never): whether one can be restored shows "
                "when somebody verifies it, or needs it."
            )


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
