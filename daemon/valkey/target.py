"""The target of a restore: held still, made our replica, promoted, and let go again.

Every step may be repeated, and each asks first whether the server is still the same process:
a restart loses what was set by `CONFIG SET`. Old values come from outside (they are in the
log before anything is changed), so that another incarnation of the daemon can undo it all.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from daemon.errors import Failed, Transient
from daemon.valkey.connection import Login, Node, Timeouts, open_node
from daemon.valkey.info import fields, pairs
from daemon.valkey.listener import Listener, Names
from daemon.valkey.probe import server
from daemon.valkey.target_facts import Entry, try_listener
from events.facts import TrialFacts

NO_WRITES = "2147483647"
"""More replicas than there can be: every write is refused, reads and snapshots go on."""
HELD = ("min-replicas-to-write", "min-replicas-max-lag", "replica-read-only", "repl-diskless-load")
SECRET = "masterauth"  # noqa: S105 - the setting's name
TRIAL = "tls-cluster"
"""Outside of clusters it says only whether `MIGRATE` speaks TLS: yes while the way is tried."""
POLL_SECONDS = 0.05


class Hold(Struct, frozen=True):
    """What a restore changes on its target, and what was there before (R4); no secret in it.

    `changes` has the digest of a one-time ``masterauth`` in place of the password itself.
    """

    run_id: str
    old_settings: dict[str, str]
    changes: dict[str, str]
    listener: str
    replication_id: str


class Undone(Struct, frozen=True):
    """How an undoing ended: whether our data is what the target serves, and what is left."""

    loaded: bool
    notes: tuple[str, ...] = ()
    restarted: bool = False


class Target:
    """One server that a restore writes to."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def info(self, section: str) -> dict[str, str]:
        """One section of INFO; a connection that had gone stale is opened anew, once."""
        try:
            return fields(await self.node.text("INFO", section))
        except Failed as error:
            if error.code != "cache-unreachable":
                raise
        return fields(await self.node.text("INFO", section))

    async def run_id(self) -> str:
        """The server process' own id; another one after each restart."""
        return (await self.info("server")).get("run_id", "")

    async def check(self, hold: Hold) -> None:
        """Raises `Transient("target-restarted")` when the server is not the one that was held."""
        if await self.run_id() != hold.run_id:
            raise Transient(
                "target-restarted",
                f"{self.node.login.address} was restarted while the restore ran",
                "what was set on it is gone with the restart; start the restore again",
            )

    async def hold(
        self,
        door: Entry,
        listener: Listener,
        *,
        load_mode: str,
        replication_id: str,
        tls_trial: bool = False,
    ) -> Hold:
        """What will be changed, computed from what is set now; nothing is changed yet."""
        now: dict[str, str] = {}
        for name in HELD:
            now |= pairs(await self.node.items("CONFIG", "GET", name))
        wanted = {
            "repl-diskless-load": load_mode,
            "replica-read-only": "yes",
            "min-replicas-max-lag": "10" if now.get(HELD[1]) == "0" else now.get(HELD[1], "10"),
            "min-replicas-to-write": NO_WRITES,
        }
        changes = {name: value for name, value in wanted.items() if now.get(name) != value}
        old = {name: now.get(name, "") for name in changes}
        if door.one_time:
            changes[SECRET] = _digest(door.access.password)
            old[SECRET] = ""
        if tls_trial:
            changes[TRIAL], old[TRIAL] = "yes", "no"
        return Hold(
            run_id=await self.run_id(),
            old_settings=old,
            changes=changes,
            listener=listener.address,
            replication_id=replication_id,
        )

    async def freeze(self, hold: Hold) -> None:
        """Refuse writes from now on, and see that it is so. Reads and snapshots go on."""
        await self.check(hold)
        for name, value in hold.changes.items():
            if name not in {SECRET, TRIAL}:
                await self.node.call("CONFIG", "SET", name, value)
        await self.check(hold)

    async def try_in_tls(
        self, hold: Hold, door: Entry, listener: Listener, names: Names
    ) -> TrialFacts:
        """Have it try the way to our listener as it will replicate; the setting is put back.

        For a hold with a `tls_trial`. What fails on the way leaves the setting to `thaw`.
        """
        await self.check(hold)
        try:
            await self.node.call("CONFIG", "SET", TRIAL, "yes")
        except Failed as error:
            if error.code != "cache-refused":
                raise
            return TrialFacts("not-tried", error.message)
        facts = await server(self.node)
        trial = await try_listener(self.node, listener, door.access, names, facts)
        await self.node.call("CONFIG", "SET", TRIAL, hold.old_settings[TRIAL])
        return trial

    async def replicate_from(self, hold: Hold, door: Entry) -> None:
        """Make it our replica; nothing may be sent to it before this has returned.

        It is looked at once more after that: one that was restarted in between is not the one
        whose writes are refused, and has perhaps taken some since its safety backup.
        """
        await self.check(hold)
        if door.one_time:
            await self.node.call("CONFIG", "SET", SECRET, door.access.password)
        host, _, port = hold.listener.rpartition(":")
        await self.node.call("REPLICAOF", host.strip("[]"), port)
        await self.check(hold)

    async def wait_loaded(self, hold: Hold, within_seconds: float) -> None:
        """Wait until it says itself that it has our data and follows us."""
        with anyio.move_on_after(within_seconds):
            while True:
                info = await self.info("replication")
                if info.get("master_link_status") == "up" and _ours(info, hold):
                    return await self.check(hold)
                await anyio.sleep(POLL_SECONDS)
        raise Transient(
            "target-stalled",
            f"{self.node.login.address} acknowledged the data, but is not in step after "
            f"{within_seconds:g} s",
            "its log says why",
        )

    async def promote(self, hold: Hold) -> None:
        """Make it a primary again, with our data."""
        await self.check(hold)
        await self.node.call("REPLICAOF", "NO", "ONE")

    async def thaw(self, hold: Hold) -> tuple[str, ...]:
        """Put the old settings back where they still have our value; writes are last.

        Gives a note for each that somebody else has changed. A server that was restarted has
        what its file says, and needs nothing. May be repeated.
        """
        notes: list[str] = []
        for name in sorted(hold.changes, key=lambda name: name == "min-replicas-to-write"):
            now = pairs(await self.node.items("CONFIG", "GET", name)).get(name, "")
            ours, old = hold.changes[name], hold.old_settings.get(name, "")
            if ours == (_digest(now) if name == SECRET else now):
                await self.node.call("CONFIG", "SET", name, old)
            elif now != old:
                notes.append(f"{name} was changed by somebody else meanwhile and is left as it is")
        return tuple(notes)

    async def undo(self, hold: Hold) -> Undone:
        """Undo an interrupted restore (R7): nothing of ours stays set, no data is touched.

        Ends replication only where the target still names our listener. May be repeated.
        """
        while True:
            await self._leave_us(hold)
            notes = list(await self.thaw(hold))
            info = await self.info("replication")
            # A command of ours that went unanswered may have been carried out only now.
            if not _follows_us(info, hold) and not await self._has_ours(hold):
                break
        restarted = await self.run_id() != hold.run_id
        if restarted:
            notes.append("the target was restarted meanwhile: it serves what its own files held")
        if info.get("role") == "slave":
            notes.append(
                f"the target is a replica of {info.get('master_host')}:{info.get('master_port')} "
                "now, which is not our doing"
            )
        return Undone(_ours(info, hold), tuple(notes), restarted=restarted)

    async def _leave_us(self, hold: Hold) -> None:
        """End replication from us, where it names our listener."""
        if _follows_us(await self.info("replication"), hold):
            # While it loads it refuses this (`cache-loading`): then it is to be asked again.
            await self.node.call("REPLICAOF", "NO", "ONE")

    async def _has_ours(self, hold: Hold) -> bool:
        """Whether any setting has our value."""
        for name, ours in hold.changes.items():
            now = pairs(await self.node.items("CONFIG", "GET", name)).get(name, "")
            if ours == (_digest(now) if name == SECRET else now):
                return True
        return False


@asynccontextmanager
async def open_target(login: Login, timeouts: Timeouts) -> AsyncGenerator[Target, None]:
    """A target to work on; a connection that broke is opened anew at the next step."""
    async with open_node(login, timeouts) as node:
        yield Target(node)


def _follows_us(info: dict[str, str], hold: Hold) -> bool:
    host, _, port = hold.listener.rpartition(":")
    named = (info.get("master_host"), info.get("master_port"))
    return info.get("role") == "slave" and named == (host.strip("[]"), port)


def _ours(info: dict[str, str], hold: Hold) -> bool:
    """Whether the target's history is the one that we began: it holds our data."""
    return hold.replication_id in {info.get("master_replid"), info.get("master_replid2")}


def _digest(password: str) -> str:
    """Recognizes a one-time password without keeping it; it is long and random enough for that."""
    return "sha256:" + hashlib.sha256(password.encode()).hexdigest() if password else ""
