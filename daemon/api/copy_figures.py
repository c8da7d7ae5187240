"""Figures of copies for Prometheus, by cache and by the vault in which they lie.

Knows what the log knows of them; the names are `valkeep_…` as those of `metrics`.
"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from daemon.api.proofs_view import copies_views
from projections.state import State


def copy_figures(state: State) -> Iterator[Metric]:
    """How many are whole, how many are damaged, and when one was last read back."""
    there = GaugeMetricFamily(
        "valkeep_copies", "Copies that are whole by what is known", labels=["cache", "vault"]
    )
    bad = GaugeMetricFamily(
        "valkeep_copies_damaged", "Copies that were found damaged", labels=["cache", "vault"]
    )
    for name in sorted(state.catalog):
        for told in copies_views(state, name):
            there.add_metric([name, told.vault], told.whole)
            bad.add_metric([name, told.vault], told.damaged)
    read = GaugeMetricFamily(
        "valkeep_copy_last_proven_timestamp_seconds",
        "When a copy was last read back and was whole",
        labels=["cache", "vault"],
    )
    for name, vaults in sorted(state.readings.items()):
        for where, known in sorted(vaults.items()):
            if known.proven_at is not None:
                read.add_metric([name, where], known.proven_at.timestamp())
    yield there
    yield bad
    yield read
