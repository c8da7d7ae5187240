"""A cluster as its nodes tell it: which primary has which slots. Pure but for the one question."""

from binascii import crc_hqx
from collections.abc import Iterator

from msgspec import Struct, structs

from daemon.errors import Transient
from daemon.valkey.address import Address
from daemon.valkey.connection import Login, Node
from daemon.valkey.topology import seen_from

SLOTS = 16_384
MOST_PRIMARIES = 255


class Cluster(Struct, frozen=True):
    """Its primaries, and for each slot the number of its primary, from 1 on; 0 has none."""

    primaries: tuple[Login, ...]
    lanes: bytes

    @property
    def whole(self) -> bool:
        """Whether each slot has a primary."""
        return b"\0" not in self.lanes

    def lane_of(self, name: bytes) -> int:
        """The place of a key's primary among `primaries`."""
        return self.lanes[slot_of(name)] - 1


def slot_of(name: bytes) -> int:
    """The slot of a key, by what stands between its first braces if there is something."""
    opened = name.find(b"{")
    closed = name.find(b"}", opened + 1)
    if opened >= 0 and closed > opened + 1:
        name = name[opened + 1 : closed]
    return crc_hqx(name, 0) % SLOTS


async def cluster(node: Node) -> Cluster:
    """The cluster that this node is of; raises `Transient("cluster-down")` where slots lack."""
    lanes = bytearray(SLOTS)
    primaries: list[Login] = []
    for first, last, where in _ranges(await node.items("CLUSTER", "SLOTS"), node.login):
        if where not in primaries:
            primaries.append(where)
        number = primaries.index(where) + 1
        lanes[first : last + 1] = bytes([number]) * (last + 1 - first)
    found = Cluster(tuple(primaries), bytes(lanes))
    if not found.whole:
        raise Transient(
            "cluster-down",
            f"{lanes.count(0):,} slots of the cluster of {node.login.address} have no primary",
            "`valkey-cli --cluster check` says what is wrong with it",
        )
    return found


def _ranges(listed: list[object], login: Login) -> Iterator[tuple[int, int, Login]]:
    for one in listed:
        match one:
            case [int(first), int(last), [host, int(port), *_], *_]:
                said = host if isinstance(host, str) and host else login.address.host
                where = seen_from(said, told_by=login.address.host)
                address = Address(where, port, user=login.address.user, tls=login.address.tls)
                yield first, last, structs.replace(login, address=address)
