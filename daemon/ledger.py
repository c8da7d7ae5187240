"""The ledger: the only writer. Decides, has the log store, folds, wakes.

Commands are decided one after the other against a working state that holds the earlier ones
of the same batch; the batch is stored in one transaction and only then answered. If that
fails the working state is dropped and every caller of the batch gets the error. The append
and the fold after it are shielded together: nothing else is.
"""

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import takewhile

import anyio
from msgspec import Struct

from daemon.commands import Command
from daemon.decide import Context, Decision, decide
from daemon.errors import Rejected, Unavailable
from daemon.ports import Clock, Ids
from events import codec
from events.envelope import Commit, Entry, Envelope, Head, IdempotencyKey, Record, Who
from events.facts import START, CacheName, CommitId, Position
from events.log import Appended, Conflict, EventLog, LogError, LogFailed
from events.types import Event, stream_of
from projections.folding import Folding
from projections.state import State, evolve

DAEMON = Who(kind="daemon")
TOUCHES = 10_000
"""Of so many records it is remembered which caches they are about."""


PROBE_SECONDS = 15.0
"""A log that could not be written is tried again after so long, if nobody has to write."""


class Outcome(Struct, frozen=True):
    """What a command led to; empty when there was nothing to do."""

    positions: tuple[Position, ...]
    events: tuple[Event, ...]


class KeyedBy(Struct, frozen=True):
    """An idempotency key with the uid it belongs to, and the body that came with it (L4)."""

    uid: int
    key: str
    body: bytes

    def bound(self) -> IdempotencyKey:
        """The form that is stored."""
        return IdempotencyKey(
            uid=self.uid, key=self.key, body_sha256=hashlib.sha256(self.body).hexdigest()
        )


class Known(Struct, frozen=True):
    """A state that was folded before, and the hash of the record that it ends with."""

    state: State
    chain: bytes


class _Batch:
    """Commits that will share one transaction, and those who wait for it."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.state: State | None = None
        self.settled = anyio.Event()
        self.error: Unavailable | None = None


class Ledger:
    """Holds the state, takes commands, and answers when what they led to is durable."""

    def __init__(self, log: EventLog, clock: Clock, ids: Ids) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self._durable = State()
        self._working = self._durable
        self._open = _Batch()
        self._wanted = anyio.Event()
        self._changed = anyio.Event()
        self._trouble: Unavailable | None = None
        self._touched: deque[tuple[Position, CacheName]] = deque(maxlen=TOUCHES)
        self._touched_since = Position(0)

    @property
    def state(self) -> State:
        """The state that is durable: what has been acknowledged, and nothing else."""
        return self._durable

    @property
    def trouble(self) -> Unavailable | None:
        """Why the log cannot be written at present; None when the last append succeeded."""
        return self._trouble

    async def load(self, known: Known | None = None) -> bool:
        """Fold the log: the whole, or on from a state. First call; raises `LogError`.

        False, and nothing is loaded, if the log has another record where that state ends: then
        it is of another history.
        """
        state = State() if known is None else known.state
        # From the record before: the first one that comes is where the state ends.
        after = START if known is None else Position(state.position - 1)
        async with aclosing(self._log.read(after)) as records:
            if known is not None:
                last = await anext(records, None)
                if last is None or last.hash != known.chain:
                    return False
            folding = Folding(state)
            async for record in records:
                folding.add(record.envelope, codec.decode(record.data))
        state = self._durable = self._working = folding.state()
        self._touched.clear()
        self._touched_since = state.position
        return True

    async def head(self) -> Head:
        """The chain's end, for manifests (L3)."""
        return await self._log.head()

    def records(self, after: Position) -> AsyncGenerator[Record, None]:
        """Stored records after a position; use under `aclosing`."""
        return self._log.read(after)

    async def report(self, command: Command, who: Who = DAEMON) -> Outcome:
        """As `execute`, for what has already happened: waits until the log can be written."""
        wait = 1.0
        while True:
            try:
                return await self.execute(command, who)
            except Unavailable:
                await anyio.sleep(wait)
                wait = min(wait * 2, 30.0)

    async def changed(self, since: State) -> State:
        """Wait until the durable state is another one than this, and return it."""
        while self._durable is since:
            await self._changed.wait()
        return self._durable

    def touched(self, after: Position) -> frozenset[CacheName] | None:
        """The caches that records after a position are about; None when it may be any of them."""
        if after < self._touched_since:
            return None
        newest_first = takewhile(lambda one: one[0] > after, reversed(self._touched))
        return frozenset(cache for _, cache in newest_first)

    def check(self, command: Command) -> tuple[Event, ...]:
        """The events that this command would lead to at present, or its refusal; none happens."""
        context = Context(now=self._clock.now(), new_id="")
        return decide(self._working, command, context).events

    async def execute(self, command: Command, who: Who, key: KeyedBy | None = None) -> Outcome:
        """Decide a command; returns when its events are durable.

        Raises what the decision raises (`Rejected`, `NotFound`, `BadRequest`), or `Unavailable`
        when the log could not store it. A caller that goes away changes nothing: the fate of a
        command is in the log.
        """
        bound = key.bound() if key is not None else None
        if bound is not None and (bound.uid, bound.key) in self._working.keys:
            await self._open_batches_settle()
        if bound is not None and (bound.uid, bound.key) in self._durable.keys:
            return await self._repeated(bound)
        context = Context(now=self._clock.now(), new_id=self._ids.new())
        decision = decide(self._working, command, context)
        if not decision.events:
            return Outcome((), ())
        batch, positions = self._join(decision, context, who, bound)
        await batch.settled.wait()
        if batch.error is not None:
            raise batch.error
        return Outcome(positions, decision.events)

    def _join(
        self, decision: Decision, context: Context, who: Who, key: IdempotencyKey | None
    ) -> tuple[_Batch, tuple[Position, ...]]:
        """Fold a decision into the working state and put it into the open batch.

        There is no await between deciding and this, so commands cannot interleave.
        """
        commit = Commit(
            commit_id=CommitId(context.new_id),
            at=context.now,
            who=who,
            relied={s: self._working.heads.get(s, Position(0)) for s in decision.streams},
            entries=tuple(Entry(stream_of(e), codec.encode(e)) for e in decision.events),
            key=key,
        )
        first = self._working.position + 1
        state = self._working
        for offset, event in enumerate(decision.events):
            envelope = Envelope(
                position=Position(first + offset),
                stream=stream_of(event),
                at=commit.at,
                who=who,
                commit_id=commit.commit_id,
                key=key,
            )
            state = evolve(state, envelope, event)
        batch = self._open
        batch.commits.append(commit)
        batch.state = self._working = state
        self._wanted.set()
        return batch, tuple(Position(first + n) for n in range(len(decision.events)))

    async def run(self) -> None:
        """Store batches for ever: all that gathers while one is stored shares the next."""
        while True:
            while not await self._is_wanted():
                await self._probe()
            self._wanted = anyio.Event()
            batch, self._open = self._open, _Batch()
            with anyio.CancelScope(shield=True):
                await self._store(batch)

    async def _is_wanted(self) -> bool:
        """Wait for a batch; False where the log was in trouble and nobody has come for a while."""
        with anyio.move_on_after(None if self._trouble is None else PROBE_SECONDS):
            await self._wanted.wait()
            return True
        return False

    async def _probe(self) -> None:
        """Whether the log can be written again: trouble must not outlast its cause."""
        try:
            with anyio.CancelScope(shield=True):
                await self._log.probe()
        except LogFailed:
            raise
        except LogError as error:
            self._trouble = _refused(error)
        else:
            self._trouble = None

    async def _store(self, batch: _Batch) -> None:
        """Append and fold as one step that cannot be cancelled in between (fault 20).

        Raises `LogFailed` when the log takes no more appends: then the daemon has to end.
        """
        try:
            answers = await self._log.append(batch.commits)
        except LogError as error:
            self._drop(batch, _refused(error))
            if isinstance(error, LogFailed):
                # Whether it was stored is unknown, and writing on could hide that (fault 12).
                raise
            return
        conflict = next((a for a in answers if isinstance(a, Conflict)), None)
        if conflict is not None:
            self._drop(batch, _overtaken(conflict))
            await self.load()
            self._publish(self._durable)
            return
        if batch.state is not None:
            self._trouble = None
            self._remember(answers)
            self._publish(batch.state)
        batch.settled.set()

    def _remember(self, answers: Sequence[Appended | Conflict]) -> None:
        for answer in answers:
            for record in answer.records if isinstance(answer, Appended) else ():
                kind, _, name = record.envelope.stream.partition("/")
                if kind != "cache":
                    continue
                if len(self._touched) == TOUCHES:
                    self._touched_since = self._touched[0][0]
                self._touched.append((record.position, CacheName(name)))

    def _publish(self, state: State) -> None:
        self._durable = state
        self._changed.set()
        self._changed = anyio.Event()

    def _drop(self, batch: _Batch, error: Unavailable) -> None:
        """Nothing of this batch is known to be stored, nor of what was decided on top of it."""
        on_top, self._open = self._open, _Batch()
        self._working = self._durable
        self._trouble = error
        for failed in (batch, on_top):
            failed.error = error
            failed.settled.set()
        self._publish(self._durable)

    async def _repeated(self, key: IdempotencyKey) -> Outcome:
        """The first answer to a key, rebuilt from its events (L4)."""
        answered = self._durable.keys[key.uid, key.key]
        if answered.body_sha256 != key.body_sha256:
            raise Rejected(
                "key-reused",
                "This Idempotency-Key came before with another body.",
                "Use a new key for a new command.",
            )
        events: list[Event] = []
        positions: list[Position] = []
        async with aclosing(self._log.read(Position(answered.first - 1))) as records:
            async for record in records:
                if record.position > answered.last:
                    break
                positions.append(record.position)
                events.append(codec.decode(record.data))
        return Outcome(tuple(positions), tuple(events))

    async def _open_batches_settle(self) -> None:
        while self._durable is not self._working:
            await self._changed.wait()


def _refused(error: LogError) -> Unavailable:
    return Unavailable("log-unwritable", error.message, error.hint)


def _overtaken(conflict: Conflict) -> Unavailable:
    return Unavailable(
        "log-overtaken",
        f"Another writer moved {conflict.stream} to position {conflict.actual} in the log.",
        "Send the command again: it will be decided on the new state.",
    )
