"""Moving keys from the private engine into a target, or counting what that would do.

Knows wishes and conflicts, the pace, and which key goes which way. Each key is replaced by one
command, so clients see the old value or the new one; what a target cannot take is named.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import anyio
from msgspec import Struct, field, structs

from daemon.ports import Progress
from daemon.valkey.connection import Login, Timeouts, open_node
from daemon.valkey.keys.big import Big, apart
from daemon.valkey.keys.globs import lua_pattern
from daemon.valkey.keys.lane import Lane, Tally, open_lane, passed
from daemon.valkey.keys.slots import Cluster, cluster
from daemon.valkey.keys.store import Choice, Options, Pack, Store, Ways, ended
from daemon.valkey.resp import NotResp
from daemon.valkey.wire import Lost
from events.moves import KeysMoved, KeysWish

NAMED = 20
"""So many of the keys that were refused are named."""
MOVED_TRIES = 9
MOVED_SECONDS = 0.1
"""A slot that is being moved has its keys in two places for a while: each try waits twice as long
as the one before, so that it may take 25 s."""
PACES_A_SECOND = 4
LARGE_BYTES = 32 << 20
"""Values that take more are moved by element, if they can be."""
LIGHT_BYTES = 256 << 20
"""Of so little data no single value can be too much for the private engine to copy."""
GROUP_BYTES, MOST_AT_ONCE, LEAST_AT_ONCE = 256 << 10, 200, 4
"""Strings are read together, so many that they are about as large as this."""
_NEVER = 1 << 30


class Way(Struct, frozen=True):
    """A target as it was looked at: one login, or a cluster's; and what it takes at most.

    `sets_ends` says that its `SET` knows ``PXAT`` (since Redis 6.2).
    """

    login: Login
    timeouts: Timeouts
    longest: int = 512 << 20
    cluster: Cluster | None = None
    sets_ends: bool = True

    @property
    def logins(self) -> tuple[Login, ...]:
        """Every primary."""
        return (self.login,) if self.cluster is None else self.cluster.primaries


class Plan(Struct, frozen=True):
    """What to take: which databases, by which wish, and how far TTLs are shifted.

    `databases` says what each becomes on the target; None: it is counted, and stays out.
    """

    wish: KeysWish
    databases: dict[int, int | None]
    shift_milliseconds: int = 0


class Counts(Struct):
    """What a pass has come to."""

    chosen: int = 0
    expired: int = 0
    written: int = 0
    there: int = 0
    by_element: int = 0
    refused: list[str] = field(default_factory=list)
    per_database: dict[int, int] = field(default_factory=dict)

    def moved(self) -> KeysMoved:
        """As a fact; only some of those that were refused are named."""
        names = tuple(self.refused[:NAMED])
        more = len(self.refused) - NAMED
        return KeysMoved(
            chosen=self.chosen,
            existing=self.there,
            written=self.written,
            skipped=self.there,
            expired=self.expired,
            by_element=self.by_element,
            refused=(*names, f"and {more:,} more") if more > 0 else names,
        )


class Mover:
    """One restore's keys, from the store to the target."""

    def __init__(self, store: Store, way: Way, plan: Plan, progress: Progress) -> None:
        self._store = store
        self._way = way
        self._plan = plan
        self._progress = progress
        self._counts = Counts()
        self._large: dict[int, tuple[bytes, ...]] = {}
        self._group = 0
        self._sent = 0
        self._stride = 0.0
        self._began = 0.0

    async def count(self, *, look: bool) -> Counts:
        """How many keys are chosen, and with `look` how many of them the target has already.

        Comes before `move`, which relies on what was weighed here.
        """
        self._counts = Counts()
        self._progress.phase("counting keys")
        await self._weigh()
        for source, target in (await self._databases()).items():
            await self._counted(source, target if look else None)
        return self._counts

    async def move(self, chosen: int, *, plain_bytes: int) -> Counts:
        """Write the keys; raises what ends the whole, with what was written left there."""
        self._counts = Counts()
        self._stride = plain_bytes / max(1, chosen)
        self._progress.phase("moving keys", plain_bytes)
        self._began = anyio.current_time()
        for source, target in (await self._databases()).items():
            if target is not None:
                await self._moved(source, to=target)
        return self._counts

    async def _weigh(self) -> None:
        """Find the keys that must not be copied whole, and how many others may be at once."""
        held, total = await self._databases(), await self._store.dataset_bytes()
        everything = sum(keys for keys, _ in (await self._store.databases()).values())
        group = GROUP_BYTES * everything // max(1, total)
        self._group = min(MOST_AT_ONCE, group) if group >= LEAST_AT_ONCE else 0
        if total <= LIGHT_BYTES:
            return
        for source in held:
            large: list[bytes] = []
            async for pack, ways in self._packs(await self._choice(source, "weigh")):
                large += [key for key, _ in pack.big]
                await ways.skip()
                self._progress.advance(0)
            self._large[source] = tuple(large)

    async def _databases(self) -> dict[int, int | None]:
        held = await self._store.databases()
        return {one: to for one, to in self._plan.databases.items() if one in held}

    async def _choice(self, source: int, verb: str) -> Choice:
        wish, way = self._plan.wish, self._way
        await self._store.select(source)
        held = await self._store.databases()
        rate = wish.keys_per_second
        options = Options(
            verb=verb,
            ttl=wish.ttl,
            shift=self._plan.shift_milliseconds,
            replace=wish.on_conflict == "replace",
            ways=len(way.logins),
            large=LARGE_BYTES,
            longest=way.longest,
            group=self._group if way.sets_ends else 0,
            expires=held[source][1] > 0,
            most=max(1, rate // PACES_A_SECOND) if rate and verb == "restore" else _NEVER,
        )
        lanes = way.cluster.lanes if way.cluster else b""
        return Choice(
            options=options,
            patterns=_patterns(wish),
            prefix=wish.rename_prefix.encode(),
            lanes=lanes,
            large=self._large.get(source, ()),
        )

    async def _counted(self, source: int, target: int | None) -> None:
        choice = await self._choice(source, "count" if target is None else "exists")
        before = self._counts.chosen
        keys, ending = (await self._store.databases())[source]
        if target is None and not choice.patterns and not ending:
            self._counts.chosen += keys  # All of them: nobody has to look.
            self._counts.per_database[source] = keys
            return
        if target is None:
            async for pack, ways in self._packs(choice):
                self._add(pack)
                await ways.skip()
        else:
            async with self._lanes(target) as lanes:
                async for pack, ways in self._packs(choice):
                    self._add(pack)
                    await passed(ways, lanes)
                for lane in lanes:
                    await lane.drained()
                    self._counts.there += lane.tally.there
        self._counts.per_database[source] = self._counts.chosen - before

    async def _moved(self, source: int, *, to: int) -> None:
        choice = await self._choice(source, "restore")
        before = self._counts.chosen
        names: tuple[bytes, ...] = ()
        for attempt in range(MOVED_TRIES):
            last = attempt == MOVED_TRIES - 1
            async with self._lanes(to) as lanes:
                big = await self._written(choice, lanes, names)
                for key, at in big:
                    await self._apart(Big(key, at, choice), lanes, source)
                names = self._settled(lanes, source, last=last)
            if not names:
                break
            await anyio.sleep(0 if last else MOVED_SECONDS * 2**attempt)
            choice = await self._looked_again(choice)
        self._counts.per_database[source] = self._counts.chosen - before

    async def _written(
        self, choice: Choice, lanes: tuple[Lane, ...], names: tuple[bytes, ...]
    ) -> list[tuple[bytes, int]]:
        """One pass; the keys that are too large for it, with their ends."""
        big: list[tuple[bytes, int]] = []
        async for pack, ways in self._packs(choice, names):
            if not names:
                self._add(pack)
            big += pack.big
            self._sent += pack.sent
            await passed(ways, lanes)
            self._progress.advance(int(pack.chosen * self._stride))
            await self._pace()
        for lane in lanes:
            await lane.drained()
        return big

    async def _apart(self, big: Big, lanes: tuple[Lane, ...], source: int) -> None:
        name = big.choice.prefix + big.key
        lane = lanes[self._lane_of(name)]
        self._progress.phase("moving a large key")
        try:
            done = await apart(self._store, lane, big, self._plan.wish, self._progress)
        except (Lost, NotResp) as error:
            raise ended(self._store.engine, error) from error
        self._sent += done.sent
        self._counts.written += done.written
        self._counts.there += done.there
        self._counts.by_element += done.by_element
        if done.why:
            self._counts.refused.append(f"db{source} {_shown(big.key)}: {done.why}")

    def _lane_of(self, name: bytes) -> int:
        found = self._way.cluster
        return 0 if found is None else found.lane_of(name)

    def _settled(self, lanes: tuple[Lane, ...], source: int, *, last: bool) -> tuple[bytes, ...]:
        """Add up what the lanes have; the names that are to be tried once more."""
        again: list[bytes] = []
        sent, self._sent = self._sent, 0
        for lane in lanes:
            tally, lane.tally = lane.tally, Tally()
            sent -= tally.there + len(tally.refused) + len(tally.again)
            self._counts.there += tally.there
            refused = [*tally.refused]
            if last:
                refused += [(one, "its slot did not come to rest") for one in tally.again]
            else:
                again += tally.again
            self._counts.refused += [f"db{source} {_shown(key)}: {why}" for key, why in refused]
        self._counts.written += sent  # All are answered, and the others were done.
        return tuple(name.removeprefix(self._plan.wish.rename_prefix.encode()) for name in again)

    async def _looked_again(self, choice: Choice) -> Choice:
        """The choice for a cluster as it is now."""
        async with open_node(self._way.login, self._way.timeouts) as node:
            self._way = structs.replace(self._way, cluster=await cluster(node))
        lanes = self._way.cluster.lanes if self._way.cluster else b""
        options = structs.replace(choice.options, ways=len(self._way.logins))
        return structs.replace(choice, options=options, lanes=lanes)

    async def _packs(
        self, choice: Choice, names: tuple[bytes, ...] = ()
    ) -> AsyncGenerator[tuple[Pack, Ways], None]:
        try:
            async with aclosing(self._store.packs(choice, names)) as packs:
                async for pack, ways in packs:
                    yield pack, ways
        except (Lost, NotResp) as error:
            raise ended(self._store.engine, error) from error

    def _add(self, pack: Pack) -> None:
        self._counts.chosen += pack.chosen
        self._counts.expired += pack.expired
        self._progress.advance(0)

    async def _pace(self) -> None:
        rate = self._plan.wish.keys_per_second
        if rate:
            await anyio.sleep_until(self._began + self._counts.chosen / rate)

    @asynccontextmanager
    async def _lanes(self, database: int) -> AsyncGenerator[tuple[Lane, ...], None]:
        """A lane to each primary, with somebody who listens at each."""
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            lanes: list[Lane] = []
            for login in self._way.logins:
                lane = await stack.enter_async_context(
                    open_lane(login, self._way.timeouts, database)
                )
                lanes.append(lane)
                tasks.start_soon(lane.listen)
            yield tuple(lanes)
            tasks.cancel_scope.cancel()


def _patterns(wish: KeysWish) -> tuple[bytes, ...]:
    """None stands for all."""
    if "*" in wish.patterns:
        return ()
    return tuple(lua_pattern(one.encode()) for one in wish.patterns)


def _shown(key: bytes) -> str:
    text = key[:100].decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in text)
