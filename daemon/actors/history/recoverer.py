"""Recovering: a person decides that what the vaults know becomes ours again (L6, S2).

Each step may be repeated after a kill: what is known already is passed over, and the record
that ends a recovery is written last. Nothing in a vault is deleted: copies of a log that was
given up are kept aside.
"""

from collections.abc import Sequence

import anyio
import structlog
from msgspec import Struct
from msgspec.structs import replace

from daemon.actors.history.chain import records_of
from daemon.actors.history.comparison import identities
from daemon.actors.history.seams import Outside, Rebuilding
from daemon.actors.history.survey import Plan, VaultSurvey, is_new, survey
from daemon.commands import Command, FinishRecovery, FoundCache, FoundDeletion, RecoverFound
from daemon.errors import Rejected, Transient
from daemon.ledger import Ledger
from daemon.ports import Tell, untold
from daemon.storage.log_copies import list_segments, set_aside
from daemon.storage.ownership import take_over
from daemon.storage.vault import Vault
from events.envelope import Who
from events.facts import START, BackupId, CacheName, Position, VaultName
from projections import catalog
from projections.state import State

log = structlog.get_logger()


class Recovered(Struct, frozen=True):
    """What was done; with `imported` the daemon goes on with the history that the vault had."""

    vaults: tuple[VaultName, ...]
    backups: int
    caches: tuple[CacheName, ...]
    imported: Position = START


class Wish(Struct, frozen=True):
    """What is to be recovered: `adopt` also takes over other installations' vaults."""

    adopt: bool
    only: VaultName | None = None


class Recoverer:
    """Looks what could be recovered, and does it."""

    def __init__(self, ledger: Ledger, outside: Outside, rebuilding: Rebuilding) -> None:
        self._ledger = ledger
        self._outside = outside
        self._rebuilding = rebuilding
        self._one_at_a_time = anyio.Lock()

    async def plan(self, only: VaultName | None = None, tell: Tell = untold) -> Plan:
        """What the vaults know, and what a recovery would do; changes nothing."""
        names = self._outside.vaults.names if only is None else (only,)
        found = [await survey(self._ledger, self._outside, name, tell) for name in names]
        seconds = _seconds(found, self._ledger.state)
        # A backup that lies in two vaults is registered in the one that it was made in.
        surveys = tuple(sorted(found, key=lambda one: (one.vault in seconds, one.vault)))
        if not is_new(self._ledger.state):
            return Plan(surveys)
        best = max(surveys, key=lambda one: one.chain.head.position, default=None)
        if best is None or best.chain.last == START:
            return Plan(surveys, why_not="there is no copy of the log in any vault")
        why_not = _why_not(best, self._outside.vaults.names)
        return Plan(surveys, None if why_not else best.vault, why_not)

    def gone(self, one: VaultSurvey) -> tuple[FoundDeletion, ...]:
        """The backups that our log lists, and that a vault's copy of the log says were to go."""
        return gone(one, self._ledger.state)

    async def recover(self, who: Who, wish: Wish, tell: Tell = untold) -> Recovered:
        """Do what the plan says.

        Raises `Rejected` when there is nothing to do or a vault is another's, and what the
        vaults raise. When a history is imported the daemon starts again on it.
        """
        async with self._one_at_a_time:
            return await self._recover(who, wish, tell)

    async def _recover(self, who: Who, wish: Wish, tell: Tell) -> Recovered:
        plan = await self.plan(wish.only, tell)
        ahead = self._ledger.state.recovery.ahead
        wanted = [one for one in plan.surveys if one.vault in ahead or _is_wanted(one, plan)]
        foreign = [one for one in wanted if not one.ours]
        tell("recording what was found")
        if not wish.adopt:
            wanted = [one for one in wanted if one.ours]
        if foreign and not wanted:
            raise _is_anothers(foreign[0])
        broken = next((one for one in plan.surveys if one.unreachable), None)
        if broken is not None:
            raise Transient(
                "vault-unreachable",
                f"vault {broken.vault} cannot be read: {'; '.join(broken.trouble)}",
                f"wait until it can, or recover from another one: `valkeep recover --vault …` "
                f"(configured: {', '.join(self._outside.vaults.names)})",
            )
        if not wanted and (
            gone := [name for name in ahead if name not in self._outside.vaults.names]
        ):
            return await self._forget(gone, who)
        if not wanted:
            raise Rejected(
                "nothing-to-recover",
                "The log knows every backup that the vaults hold, and agrees with them.",
                "There is nothing to do. `valkeep audit verify` checks the log itself.",
            )
        if plan.history in [one.vault for one in wanted]:
            return await self._import(plan, wanted, who)
        return await self._register(wanted, who)

    async def _forget(self, vaults: Sequence[VaultName], who: Who) -> Recovered:
        """Vaults that were ahead of the log and left the configuration: nobody can ask them."""
        for name in vaults:
            end = FinishRecovery(vault=name, installation=self._outside.installation, backups=0)
            await self._ledger.execute(end, who)
        return Recovered(tuple(vaults), 0, ())

    async def _register(self, wanted: Sequence[VaultSurvey], who: Who) -> Recovered:
        """Into the log that we have: what it lacks, then the vault, then the end of it."""
        caches: tuple[CacheName, ...] = ()
        backups = 0
        for one in wanted:
            state = self._ledger.state
            found = self._found(one, state)
            new = [b for b in found.backups if not _is_known(state, b.cache, b.backup_id)]
            await self._ledger.execute(found, who)
            vault = await self._outside.vaults.readable(one.vault)
            if not one.ours or one.difference or one.vault in state.recovery.ahead:
                await set_aside(vault, await list_segments(vault), self._outside.ids.new())
            names = tuple(cache.name for cache in found.caches)
            await self._ledger.execute(self._end(one, len(new), names), who)
            # Last: while it is another's, a recovery that was cut off is asked for again.
            await take_over(vault, self._outside.installation, former=one.owner)
            caches, backups = (*caches, *names), backups + len(new)
        return Recovered(tuple(one.vault for one in wanted), backups, caches)

    async def _import(self, plan: Plan, wanted: Sequence[VaultSurvey], who: Who) -> Recovered:
        """The vault's own history becomes our log; what came after its last copy is added."""
        assert plan.history is not None  # noqa: S101 - the caller has looked
        source = plan.of(plan.history)
        chain = source.chain
        commands: list[Command] = []
        backups = 0
        for one in wanted:
            found = self._found(one, chain.state)
            new = sum(not _is_known(chain.state, b.cache, b.backup_id) for b in found.backups)
            imported = chain.head.position if one.vault == source.vault else START
            names = tuple(cache.name for cache in found.caches)
            commands += [found, self._end(one, new, names, imported)]
            backups += new
        vault = await self._outside.vaults.readable(source.vault)
        keys = await identities(self._outside, source.vault)
        records = records_of(vault, self._outside.offload, keys)
        await self._rebuilding.build(records, commands, who)
        for one in wanted:
            opened: Vault = await self._outside.vaults.readable(one.vault)
            await take_over(opened, self._outside.installation, former=one.owner)
        self._rebuilding.put_in_place()
        log.info("log recovered", vault=source.vault, position=chain.head.position)
        there = tuple(sorted(chain.state.caches))
        stored = sum(1 for _ in catalog.listed(chain.state.catalog))
        vaults = tuple(one.vault for one in wanted)
        return Recovered(vaults, backups + stored, there, chain.head.position)

    def _found(self, one: VaultSurvey, state: State) -> RecoverFound:
        """The backups that a vault has, and the caches that its copy of the log tells of."""
        caches = tuple(
            self._fitting(found, one)
            for found in one.chain.caches
            if found.name not in state.caches
        )
        return RecoverFound(one.vault, one.unknown, caches, gone(one, state))

    def _fitting(self, found: FoundCache, one: VaultSurvey) -> FoundCache:
        """A cache whose vault has another name here, or none, goes on in the one it is found in."""
        if found.settings.vault in self._outside.vaults.names:
            return found
        settings = replace(found.settings, vault=one.vault, copy_to=None)
        return FoundCache(found.name, settings, found.policy)

    def _end(
        self,
        one: VaultSurvey,
        backups: int,
        caches: tuple[CacheName, ...],
        imported: Position = START,
    ) -> FinishRecovery:
        here = self._outside.installation
        return FinishRecovery(
            vault=one.vault,
            installation=here,
            backups=backups,
            caches=caches,
            former=None if one.owner == here else one.owner,
            imported=imported,
        )


def gone(one: VaultSurvey, state: State) -> tuple[FoundDeletion, ...]:
    """What the vault's copy of the log says is to go, and our log lists."""
    return tuple(
        found
        for found in one.chain.deletions
        if (backup := catalog.get(state.catalog, found.cache, found.backup_id)) is not None
        and backup.phase == "complete"
    )


def _seconds(surveys: Sequence[VaultSurvey], state: State) -> set[VaultName | None]:
    """The vaults that backups are copied to."""
    known = {cache.settings.copy_to for cache in state.caches.values()}
    return known | {found.settings.copy_to for one in surveys for found in one.chain.caches}


def _is_wanted(one: VaultSurvey, plan: Plan) -> bool:
    """Whether there is anything to take over: another's vault, or one that knows more than we."""
    if one.unreachable or (one.owner is None and not one.unknown and one.vault != plan.history):
        return False
    return (
        not one.ours or one.vault == plan.history or bool(one.unknown) or one.difference is not None
    )


def _why_not(best: VaultSurvey, names: Sequence[VaultName]) -> str:
    """Why a vault's copy of the log cannot become ours, or nothing."""
    if not best.chain.whole:
        return f"vault {best.vault}: {'; '.join(best.chain.trouble[:3])}"
    used = {backup.vault for backup in catalog.living(best.chain.state.catalog)}
    if unknown := sorted(used - set(names)):
        return (
            f"that log has backups in the vault {', '.join(unknown)}, which is not configured "
            f"here (configured: {', '.join(names)}): give it that name, then ask again"
        )
    return ""


def _is_known(state: State, cache: CacheName, backup_id: BackupId) -> bool:
    return catalog.get(state.catalog, cache, backup_id) is not None


def _is_anothers(one: VaultSurvey) -> Rejected:
    whose = f"belongs to installation {one.owner}" if one.owner else "has no owner"
    return Rejected(
        "vault-foreign",
        f"Vault {one.vault} {whose}, and this is another one.",
        "If that host is gone for good: `valkeep recover --adopt`. Its daemon, should it come "
        "back, can then no longer write there.",
    )
