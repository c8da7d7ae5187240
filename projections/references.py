"""What somebody may mean by a reference that no living backup has.

Pure. Living ones are found by the catalog; what has failed, was given up or goes is found here,
as far as it is remembered.
"""

from projections.catalog import Backup, Catalog


def fitting(catalog: Catalog, reference: str) -> tuple[Backup, ...]:
    """All remembered backups that a reference may mean, also what failed or goes; oldest first."""
    every = (b for of_cache in catalog.values() for b in of_cache.values())
    found = (
        b for b in every if b.backup_id.startswith(reference) or f"{b.cache}/{b.name}" == reference
    )
    return tuple(sorted(found, key=lambda b: b.backup_id))
