"""Recovering, as the API asks for it: from the actor's words to those of answers."""

from collections.abc import Mapping

from daemon.actors.history import Keeper, Recoverer, VaultSurvey, Wish
from daemon.answers.recovery import (
    FoundView,
    Recover,
    Recoverable,
    RecoveredAnswer,
    VaultFound,
)
from daemon.errors import NotFound
from daemon.near import meant
from daemon.ports import Clock, Tell, untold
from events.envelope import Who
from events.facts import VaultName
from projections.log_checks import CopyStanding


class Recovery:
    """A `Recovering` over the actor."""

    def __init__(self, recoverer: Recoverer, clock: Clock, urls: Mapping[VaultName, str]) -> None:
        self._recoverer = recoverer
        self._clock = clock
        self._urls = urls

    async def look(self, vault: str | None, tell: Tell = untold) -> Recoverable:
        """See `Recovering.look`."""
        plan = await self._recoverer.plan(self._known(vault), tell)
        return Recoverable(
            now=self._clock.now(),
            vaults=tuple(self._view(one) for one in plan.surveys),
            history=plan.history,
            why_not=plan.why_not,
        )

    async def recover(self, said: Recover, who: Who, tell: Tell = untold) -> RecoveredAnswer:
        """See `Recovering.recover`."""
        wish = Wish(adopt=said.adopt, only=self._known(said.vault))
        done = await self._recoverer.recover(who, wish, tell)
        return RecoveredAnswer(done.vaults, done.backups, done.caches, done.imported)

    def _known(self, vault: str | None) -> VaultName | None:
        if vault is not None and vault not in self._urls:
            known = f"Configured vaults: {', '.join(sorted(self._urls)) or 'none'}."
            raise NotFound(
                "unknown-vault",
                f"There is no vault {vault!r} in the configuration.",
                meant(vault, self._urls) or known,
            )
        return None if vault is None else VaultName(vault)

    def _view(self, one: VaultSurvey) -> VaultFound:
        return VaultFound(
            vault=one.vault,
            url=self._urls.get(one.vault, ""),
            owner=one.owner,
            ours=one.ours,
            backups=one.there,
            unknown=tuple(
                FoundView(
                    found.backup_id,
                    found.cache,
                    found.name,
                    found.kind,
                    found.snapshot.taken_at,
                    found.stored.stored_bytes,
                )
                for found in one.unknown
            ),
            log_position=one.chain.last,
            log_at=one.chain.last_at,
            log_whole=one.chain.whole,
            caches=tuple(found.name for found in one.chain.caches),
            gone=tuple(found.backup_id for found in self._recoverer.gone(one)),
            differs=_differs(one),
            trouble=(*one.trouble, *one.chain.trouble),
        )


def _differs(one: VaultSurvey) -> str:
    found = one.difference
    if found is None:
        return ""
    what = f"{found.witness.name} remembers position {found.witness.position}"
    return f"{what} with another event" if found.forked else f"{what}, the log has {found.here}"


def copies(keeper: Keeper) -> tuple[CopyStanding, ...]:
    """How far the copies of the log are, for `check`."""
    return tuple(
        CopyStanding(one.vault, one.copied, one.behind_since, one.trouble, one.hint)
        for one in keeper.standings()
    )
