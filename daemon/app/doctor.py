"""The doctor, put together from the parts of one daemon."""

from pathlib import Path

from daemon.app.real import ForsakenThreads, password
from daemon.app.settings import LOG_NAME
from daemon.app.vaults import Sickroom
from daemon.config import Config
from daemon.doctor import Bedside, Doctor, Engines, Means, Outcomes, Places, Rounds, Ward
from daemon.doctor.cache import Prober
from daemon.ports import Clock
from daemon.valkey.connection import Timeouts
from daemon.valkey.server_clock import ServerClocks


def make_doctor(
    config: Config, sickroom: Sickroom, outcomes: Outcomes, engines: Engines, bedside: Bedside
) -> tuple[Doctor, Rounds]:
    """The doctor, and the rounds to run in the background."""
    rounds = Rounds(sickroom, outcomes)
    places = Places(config.daemon.socket, str(Path(config.daemon.data_dir)), LOG_NAME)
    means = Means(outcomes.ledger, bedside.clock, ForsakenThreads(), places, engines)
    ward = Ward(rounds, sickroom, outcomes.ledger, outcomes.installation)
    return Doctor(means, ward, bedside), rounds


def make_bedside(prober: Prober, clock: Clock, timeouts: Timeouts) -> Bedside:
    """How caches are looked at: as when they are added."""
    return Bedside(prober, ServerClocks(password, timeouts), clock)
