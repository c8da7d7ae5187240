"""The other side of channels in a world: who takes messages, who fails, who never answers.

What was delivered stays delivered, whoever is killed.
"""

from collections import Counter

from msgspec import Struct, field

from daemon.actors.alarms import Outgoing, Surroundings
from daemon.commands import SetNotifications
from daemon.errors import Transient
from events.alarms import KINDS, Channel, ChannelName, Manner
from tests.simulation.virtual import pass_time

GOOD, WEAK, HUNG, DEAD = map(ChannelName, ("good", "weak", "hung", "dead"))
BOUND_SECONDS = 45.0
WAY_SECONDS = 0.3
CHANNELS = tuple(Channel(name, on=KINDS) for name in (DEAD, GOOD, HUNG, WEAK))
MANNER = Manner(host="far", group_wait=10, repeat_every=86_400, weekly="")


class FarPost(Struct, eq=False):
    """Four channels; `delivered` has every message that arrived, as often as it did.

    The weak one fails at its first two tries, the hung one takes a message and never answers
    the first time, the dead one takes nothing.
    """

    delivered: list[tuple[ChannelName, Outgoing]] = field(default_factory=list)
    tries: Counter[ChannelName] = field(default_factory=Counter)

    @property
    def notifications(self) -> SetNotifications:
        """What the configuration says."""
        return SetNotifications(MANNER, CHANNELS)

    @property
    def surroundings(self) -> Surroundings:
        """What a daemon is given of it."""
        return Surroundings(self, {})

    async def send(self, channel: ChannelName, outgoing: Outgoing) -> str:
        """See `Messenger.send`."""
        self.tries[channel] += 1
        await pass_time(WAY_SECONDS)
        if channel == DEAD or (channel == WEAK and self.tries[channel] <= 2):
            raise Transient("notify-refused", "The server refuses the connection.", "Is it up?")
        self.delivered.append((channel, outgoing))
        await pass_time(BOUND_SECONDS if channel == HUNG else WAY_SECONDS)
        if channel == HUNG and self.tries[channel] == 1:
            raise Transient("notify-timeout", "It was not delivered in time.", "Check it.")
        return "far"
