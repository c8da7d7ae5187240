"""The doctor: asks every part of an installation whether it would do its work today."""

from daemon.doctor.cache import Bedside
from daemon.doctor.doctor import Doctor, Limits, Means
from daemon.doctor.engine import Engines
from daemon.doctor.host import Places
from daemon.doctor.rounds import Outcomes, Rounds, Sickroom
from daemon.doctor.vault import Ward

__all__ = [
    "Bedside",
    "Doctor",
    "Engines",
    "Limits",
    "Means",
    "Outcomes",
    "Places",
    "Rounds",
    "Sickroom",
    "Ward",
]
