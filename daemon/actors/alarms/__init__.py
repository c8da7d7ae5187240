"""Alarms: who watches what stands, who delivers messages, and who shows that we live."""

from daemon.actors.alarms.alarms import Alarms
from daemon.actors.alarms.heart import Beating, Heart
from daemon.actors.alarms.seams import Messenger, Outgoing, Pulse, Surroundings

__all__ = ["Alarms", "Beating", "Heart", "Messenger", "Outgoing", "Pulse", "Surroundings"]
