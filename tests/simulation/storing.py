"""What must hold of usage in every world: the log counts the bytes that lie in the vaults (S3).

Looks at the far side alone: names and lengths of objects, none of the daemon's own reckoning.
"""

from collections import Counter
from collections.abc import Mapping

from projections.usage import Usage
from tests.simulation.invariants import Complaints
from tests.simulation.view import View
from tests.support.samples import MAIN


def usage_is_what_lies_there(view: View) -> Complaints:
    """S3: at the end each vault holds as many bytes of backups as are counted, and no others."""
    counted = _counted(view.state.usage)
    there: dict[str, int] = {MAIN: _bytes(view.far.objects)}
    there |= {name: _bytes(vault.objects) for name, vault in view.far.vaults.items()}
    for vault in sorted({*counted, *there}):
        lying = there.get(vault, 0)
        if counted[vault] != lying:
            yield f"{counted[vault]} bytes are counted in {vault}, and {lying} lie there"


def _counted(usage: Usage) -> Counter[str]:
    found: Counter[str] = Counter()
    for of_cache in usage.changes.values():
        for (vault, *_), change in of_cache.items():
            found[vault] += change.delta
    return found


def _bytes(objects: Mapping[str, bytes]) -> int:
    """All of backups but their manifests."""
    return sum(
        len(data)
        for name, data in objects.items()
        if name.startswith("caches/") and not name.endswith("/manifest.json")
    )


AT_THE_END = (usage_is_what_lies_there,)
