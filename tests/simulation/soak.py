"""Seeds without end: ``python -m tests.simulation.soak MINUTES``, or one seed over again.

Tells how many simulated days go into a second of this processor, and for a failure the seed and
how to replay it. Minutes are those of the processor.
"""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter

from tests.simulation import restore_worlds
from tests.simulation.dice import dice, fresh_seed
from tests.simulation.fleet import Fleet
from tests.simulation.restoring import KINDS
from tests.simulation.setting import Setting, light, swarm

LIGHT_SEEDS = 3
RESTORES_A_WORLD = 10
"""So many worlds of restores are lived for each fleet."""


def main() -> int:
    """Run until the time is up; 1 if any world was found wanting."""
    wanted = _arguments()
    if wanted.restore is not None:
        restore_worlds.lived(wanted.restore)
        return 0
    if wanted.seed is not None:
        return 0 if _lived(swarm(wanted.seed, days=wanted.days, caches=wanted.caches)) else 1
    _light()
    for kind in KINDS:
        _tell(f"restores, {kind}: killed at each of {restore_worlds.swept(kind)} steps")
    began, days, failed, seen = time.process_time(), 0.0, 0, Counter[str]()
    worlds = 0
    while (spent := time.process_time() - began) < 60 * wanted.minutes:
        setting = _any_setting()
        fleet = _lived(setting)
        worlds += 1
        failed += fleet is None
        days += setting.days if fleet is None else fleet.days
        seen += Counter() if fleet is None else fleet.seen
        failed += not _restored()
        if worlds % 50 == 0:
            _tell(f"{worlds} worlds, {days:.0f} days, {days / spent:.1f} days a CPU-second")
    _tell(f"{worlds} worlds, {days:.0f} days, {failed} failed")
    _tell(", ".join(f"{what} {times}" for what, times in sorted(seen.items())))
    return 1 if failed else 0


def _arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--restore", type=int, metavar="SEED")
    parser.add_argument("--days", type=float, default=4.0)
    parser.add_argument("--caches", type=int, default=6)
    return parser.parse_args()


def _any_setting() -> Setting:
    """Mostly small worlds, which are many; now and then a large one, or a long one."""
    seed = fresh_seed()
    thrown = dice(seed, "size")
    return swarm(seed, days=thrown.choice((2.0, 4.0, 4.0, 12.0)), caches=thrown.choice((3, 6, 20)))


def _light() -> None:
    began, days = time.process_time(), 0.0
    for seed in range(LIGHT_SEEDS):
        days += Fleet(light(seed)).run().days
    rate = days / (time.process_time() - began)
    _tell(f"20 caches under light faults: {rate:.1f} simulated days a CPU-second")


def _lived(setting: Setting) -> Fleet | None:
    """The world when it is over, or None when it was found wanting, which is told."""
    fleet = Fleet(setting)
    try:
        return fleet.run()
    except AssertionError as error:
        _tell(f"seed {setting.seed}, day {fleet.days:.1f}: {error}")
    replay = f"--seed {setting.seed} --days {setting.days} --caches {setting.caches}"
    _tell(f"again: python -m tests.simulation.soak {replay}")
    return None


def _restored() -> bool:
    """Some worlds of restores; what was found wanting is told, with its seed."""
    for seed in (fresh_seed() for _ in range(RESTORES_A_WORLD)):
        try:
            restore_worlds.lived(seed)
        except AssertionError as error:
            _tell(f"seed {seed} of restores: {error}")
            _tell(f"again: python -m tests.simulation.soak --restore {seed}")
            return False
    return True


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
