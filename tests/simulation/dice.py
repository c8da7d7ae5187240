"""The only chance in a simulated world: dice that fall alike for the same seed, in any process."""

from random import Random, SystemRandom  # noqa: TID251 - the one place that throws dice

Dice = Random


def dice(seed: int, *of: object) -> Dice:
    """Dice for one purpose; what they are thrown for elsewhere does not change how these fall."""
    return Random(f"{seed}:{of}")  # noqa: S311 - they are to be guessed


def fresh_seed() -> int:
    """A seed that nobody has tried: the one throw that differs from run to run."""
    return SystemRandom().randrange(10**9)
