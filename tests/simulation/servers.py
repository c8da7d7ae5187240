"""Servers on the far side that can be restored into: what a restore sees and changes of them.

A model with what matters to rules R4-R8: settings and what a restart makes of them, the process'
own id, what is served and what is on the disk, and whom it follows. Data is a mark: every write
gives a server another one, and a dump carries the mark of what it was taken of.
"""

from msgspec import Struct, field
from msgspec.structs import replace

NO_WRITES = "2147483647"
REWRITE_SECONDS = 0.3
SETTINGS = {
    "min-replicas-to-write": "0",
    "min-replicas-max-lag": "10",
    "replica-read-only": "yes",
    "repl-diskless-load": "disabled",
    "masterauth": "",
    "save": "",
    "rdb-del-sync-files": "no",
    "tls-cluster": "no",
}


class Loading(Struct, frozen=True):
    """A server has taken a dump for whole: which one, and what it held before."""

    url: str
    sha256: str
    before: str


class FarServer(Struct):
    """One server; `mark` is what it serves, `on_disk` what it would serve after a restart.

    `writes_to_disk` says that the two are kept the same (an append-only file, or a file that it
    has loaded). `base` is the mark of the dump that it has loaded last, or of its birth, and
    `disk_base` that on its disk. `heard` are the bytes of the present connection with its primary.
    """

    url: str
    mark: str
    on_disk: str
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    in_file: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    starts: int = 1
    history: str = "a" * 40
    past: str = "0" * 40
    primary: str = ""
    linked: bool = False
    links: int = 0
    offered: str = ""
    heard: bytes = b""
    said: bytes = b""
    aof: bool = False
    rewrites: int = 0
    busy_until: float = 0.0
    writes_to_disk: bool = True
    writes: int = 0
    died: str = ""
    base: str = ""
    disk_base: str = ""

    def __post_init__(self) -> None:
        self.base = self.base or self.mark
        self.disk_base = self.disk_base or self.on_disk

    @property
    def run_id(self) -> str:
        """Another one after each start."""
        return f"{self.starts:040}"

    @property
    def takes_writes(self) -> bool:
        """Whether a client's write would be accepted now."""
        return not self.primary and self.settings["min-replicas-to-write"] != NO_WRITES

    def copy(self) -> "FarServer":
        """The same server; connections with the dead are cut."""
        return replace(
            self,
            settings=dict(self.settings),
            in_file=dict(self.in_file),
            linked=False,
            heard=b"",
            said=b"",
        )

    def write(self) -> None:
        """A client writes something, if it may."""
        if self.takes_writes:
            self.writes += 1
            self.mark = f"{self.url} {self.writes}"
            if self.writes_to_disk:
                self.on_disk = self.mark

    def restart(self) -> None:
        """``kill -9``, and another start: what its files hold."""
        self.starts += 1
        self.settings = dict(self.in_file)
        self.mark, self.base, self.writes_to_disk = self.on_disk, self.disk_base, True
        self.history, self.past = f"{self.starts:040x}", "0" * 40
        self.primary, self.busy_until = "", 0.0
        self.cut()

    def cut(self) -> None:
        """The connection with its primary breaks; what came over it is thrown away."""
        self.linked, self.heard, self.said = False, b"", b""

    def follow(self, primary: str) -> None:
        """``REPLICAOF``."""
        self.cut()
        if self.primary and not primary:
            # It goes on under a name of its own, and remembers the one before.
            self.past, self.history = self.history, f"own-{self.history}"[:40]
        self.primary = primary

    def asked_to_save(self, now: float) -> None:
        """``BGSAVE`` or ``BGREWRITEAOF``."""
        self.rewrites += 1
        self.busy_until = now + REWRITE_SECONDS

    def settle(self, now: float) -> None:
        """What was being written to the disk by now is there."""
        if self.busy_until and now >= self.busy_until:
            self.busy_until, self.on_disk, self.writes_to_disk = 0.0, self.mark, True
            self.disk_base = self.base

    def hear(self, data: bytes) -> bytes | None:
        """More bytes from its primary; the whole dump when its last byte has come."""
        had = self._body()
        self.heard += data
        body = self._body()
        if b"GETACK" in self.heard[-40:]:
            self.said += b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n0\r\n"
        return body if had is None else None

    def _body(self) -> bytes | None:
        head, found, rest = self.heard.partition(b"\r\n")
        if not found:
            return None
        size = int(head[1:])
        return rest[:size] if len(rest) >= size else None

    def load(self, mark: str, now: float) -> None:
        """It serves a dump that it has taken for whole."""
        self.mark, self.base, self.history = mark, mark, self.offered
        if self.aof:
            self.writes_to_disk = False
            self.asked_to_save(now)
        elif self.settings["repl-diskless-load"] == "disabled":
            self.on_disk, self.disk_base = mark, mark
        else:
            self.writes_to_disk = False

    def info(self, section: str) -> str:
        """What ``INFO`` says of itself, as far as it is asked here."""
        follows = bool(self.primary)
        host, _, port = self.primary.rpartition(":")
        found: dict[str, object] = {
            "run_id": self.run_id,
            "role": "slave" if follows else "master",
            "master_replid": self.history,
            "master_replid2": self.past,
            "aof_enabled": int(self.aof),
            "aof_rewrites": self.rewrites,
            "aof_rewrite_in_progress": int(self.aof and self.busy_until > 0),
            "aof_rewrite_scheduled": 0,
            "aof_last_bgrewrite_status": "ok",
            "rdb_bgsave_in_progress": int(not self.aof and self.busy_until > 0),
            "rdb_last_bgsave_status": "ok",
            "rdb_saves": self.rewrites,
            "evicted_keys": 0,
            "maxmemory": 0,
        }
        if follows:
            up = self.linked and self.history == self.offered
            link = "up" if up else "down"
            found |= {"master_host": host, "master_port": port, "master_link_status": link}
        if section == "keyspace":
            found = {"db0": "keys=3,expires=0,avg_ttl=0"} if self.mark else {}
        return "".join(f"{name}:{value}\r\n" for name, value in found.items())
