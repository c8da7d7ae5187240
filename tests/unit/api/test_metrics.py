"""Figures for Prometheus: named by its conventions, and what the log says."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.answers.standing import ReachView, Vitals
from daemon.api.metrics import Scrape, exposition
from daemon.api.views import Moment
from events.facts import Occurrence
from events.prices import PricesSet, VaultPrice
from events.types import BackupFailed, WindowMissed
from projections.checks import Line
from projections.state import State
from tests.support.given import NOON, given
from tests.support.samples import B1, B2, FOR_GOOD, MAIN, ORDERS, complete, registered
from tests.support.screens import HOST

PACKAGING = Path(__file__).parents[3] / "packaging"
RULES = PACKAGING / "prometheus" / "valkeep.rules.yml"
DASHBOARD = PACKAGING / "grafana" / "valkeep.json"
WINDOW = Occurrence(day=NOON.date(), start="02:00", opens_at=NOON, closes_at=NOON)
CRITICAL = Line("critical", "fresh", "it is old", "make one", ORDERS)


class Nobody:
    """A board on which nothing is written."""

    def standing(self, work_id: str) -> None:
        """Nobody works."""


def scraped(state: State) -> dict[tuple[str, str], float]:
    """Every sample by its name and its labels."""
    moment = Moment(state, NOON, Nobody())
    scrape = Scrape(moment, (CRITICAL,), {}, "1.2", 60.0, writable=True)
    found = {}
    for family in text_string_to_metric_families(exposition(scrape).decode()):
        assert family.documentation
        for sample in family.samples:
            labels = " ".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    return found


def test_figures_are_what_the_log_says() -> None:
    """What exists, what has happened, and what is judged are one sample each."""
    told = scraped(
        given(
            registered(),
            *complete(B1),
            *complete(B2, name="two"),
            BackupFailed(cache=ORDERS, backup_id=B2, attempt=1, failure=FOR_GOOD),
            WindowMissed(cache=ORDERS, occurrence=WINDOW, reason="the daemon was not running"),
        )
    )
    assert told["valkeep_build_info", "version=1.2"] == 1
    assert told["valkeep_backups_completed_total", "cache=orders"] == 2
    assert told["valkeep_backup_attempts_failed_total", "cache=orders"] == 1
    assert told["valkeep_windows_missed_total", "cache=orders"] == 1
    assert told["valkeep_restores_failed_total", "cache=orders"] == 0
    assert told["valkeep_check_status", "cache=orders rule=fresh"] == 3
    at = told["valkeep_last_backup_timestamp_seconds", "cache=orders"]
    assert abs(at - NOON.timestamp()) < 60
    assert ("valkeep_last_good_timestamp_seconds", "cache=orders") not in told


def test_what_was_measured_is_told() -> None:
    """The host's figures and each vault's are samples, where they are known."""
    vitals = Vitals(HOST, {"main": ReachView(NOON, free_bytes=7), "far": ReachView(NOON, FOR_GOOD)})
    moment = Moment(given(registered()), NOON, Nobody())
    scrape = Scrape(moment, (), {}, "1.2", 60.0, writable=True, vitals=vitals)
    text = exposition(scrape).decode()
    assert 'valkeep_vault_reachable{vault="main"} 1.0' in text
    assert 'valkeep_vault_reachable{vault="far"} 0.0' in text
    assert 'valkeep_vault_free_bytes{vault="main"} 7.0' in text
    assert 'valkeep_vault_free_bytes{vault="far"}' not in text
    assert "valkeep_data_dir_free_bytes 3.3" in text
    assert "valkeep_resident_memory_bytes 8.8" in text
    assert "valkeep_spool_bytes 0.0" in text


def test_prices_are_beside_the_bytes() -> None:
    """With what is stored, a monitoring system can tell what storing costs at present."""
    told = scraped(given(PricesSet("EUR", {MAIN: VaultPrice("0.023")}), registered(), *complete()))

    assert told["valkeep_vault_storage_price", "currency=EUR vault=main"] == 0.023
    assert told["valkeep_stored_bytes", "cache=orders kind=manual vault=main"] == 50


def test_names_keep_the_conventions() -> None:
    """Counters end in their unit and ``_total``, times are in seconds, sizes in bytes."""
    for name, _ in scraped(given(registered(), *complete())):
        assert re.fullmatch(r"valkeep_[a-z]+(_[a-z]+)*", name)
        assert not re.search(r"_(minutes|hours|ms|milliseconds|mib|kb|age)\b", name)


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_every_figure_that_is_asked_for_exists(file: Path) -> None:
    """No alert and no panel waits for a figure that nobody gives."""
    told = {name for name, _ in scraped(given(registered(), *complete()))} | EMPTY
    asked = set(re.findall(r"\bvalkeep_[a-z_]+", file.read_text(encoding="utf-8")))
    assert asked
    assert asked <= told


EMPTY = {
    "valkeep_last_good_timestamp_seconds",
    "valkeep_last_proven_timestamp_seconds",
    "valkeep_next_start_timestamp_seconds",
    "valkeep_restore_estimate_seconds",
    "valkeep_vault_faults",
    "valkeep_vault_reachable",
    "valkeep_vault_free_bytes",
    "valkeep_data_dir_free_bytes",
    "valkeep_log_bytes",
    "valkeep_resident_memory_bytes",
    "valkeep_spool_bytes",
    "valkeep_work",
    "valkeep_last_backup_fork_seconds",
    "valkeep_last_backup_copy_on_write_bytes",
    "valkeep_last_backup_duration_seconds",
}
"""Families that are there without a sample in a small world; `test_families_are_there`."""


def test_families_are_there() -> None:
    """A family that has nothing to tell yet is described all the same."""
    moment = Moment(given(registered(), *complete()), NOON, Nobody())
    text = exposition(Scrape(moment, (), {}, "1.2", 60.0, writable=True)).decode()
    described = set(re.findall(r"# TYPE (\S+)", text))
    assert described >= EMPTY


def test_the_dashboard_is_one() -> None:
    """Each panel has a title, a place and a question."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len(panels) >= 8
    for panel in panels:
        assert panel["title"]
        assert panel["gridPos"]["w"] + panel["gridPos"]["x"] <= 24
        assert all(target["expr"] for target in panel["targets"])
