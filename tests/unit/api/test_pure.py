"""The pure parts of the API: roles, settings, references, sentences."""

import os
import pwd
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon.answers import Role
from daemon.api import Access, Roles, access_for
from daemon.api.find import any_backup, restore_by_id
from daemon.api.peer import Peer, peer_of, user_name
from daemon.api.rights import ROLES, demand
from daemon.api.sentences import sentence
from daemon.api.settings import settings_for
from daemon.commands import AddCache, SetCache
from daemon.errors import BadRequest, Forbidden, NotFound, Rejected
from events import codec
from events.alarms import NotificationsSet
from events.facts import CacheSettings, VaultName
from events.types import CacheRegistered, Event
from tests.support.given import an_id, given
from tests.support.samples import (
    B1,
    B2,
    MAIN,
    ORDERS,
    R1,
    SETTINGS,
    abandoned,
    complete,
    registered,
    restoring,
)

GOLDEN = sorted((Path(__file__).parents[2] / "data" / "events").glob("*.json"))
SECOND = VaultName("second")
URL = "valkey://127.0.0.1:6379"


def peer(*groups: int, uid: int = 1000) -> Peer:
    """A process of a user in groups."""
    return Peer(uid=uid, pid=1, groups=frozenset(groups))


@pytest.mark.parametrize(
    ("who", "role"),
    [
        (peer(), None),
        (peer(uid=0), "admin"),
        (peer(1), "viewer"),
        (peer(1, 2), "operator"),
        (peer(3, 1), "admin"),
        (peer(9, 1, uid=7), "operator"),
    ],
)
def test_the_greatest_role_counts(who: Peer, role: Role | None) -> None:
    """Of all roles that a user and its groups give, the greatest one counts."""
    access = Access(
        users={0: "admin", 7: "operator"}, groups={1: "viewer", 2: "operator", 3: "admin"}
    )

    assert role == access.role_of(who)


def test_a_name_in_two_roles_has_the_greater() -> None:
    """A user who is named under two roles has the greater one."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    access = access_for(Roles(admin=(f"user:{me}",), viewer=(f"user:{me}",)), own_uid=4711)

    assert "admin" == access.users[os.geteuid()]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("wanted", ROLES)
def test_a_role_includes_those_below_it(role: Role, wanted: Role) -> None:
    """A role may do what it is for and all that lesser ones may; nothing above."""
    allowed = ROLES.index(role) >= ROLES.index(wanted)

    if allowed:
        demand(role, wanted=wanted, what="this", holders={})
    else:
        with pytest.raises(Forbidden):
            demand(role, wanted=wanted, what="this", holders={})


def test_credentials_are_those_of_the_process() -> None:
    """The kernel tells uid, pid and every group of the process at the other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = peer_of(ours)

    assert (os.geteuid(), os.getpid()) == (found.uid, found.pid)
    assert {os.getegid(), *os.getgroups()} == found.groups


def test_what_is_no_unix_socket_has_no_credentials() -> None:
    """Where the kernel cannot tell, that is an error and never a user."""
    with socket.socket(socket.AF_INET) as other, pytest.raises(OSError, match=r".*"):
        peer_of(other)


def test_a_user_without_a_name_has_none() -> None:
    """A uid that nobody has a name for is not given one."""
    assert user_name(3_999_999_999) is None
    assert user_name(0) == "root"


def test_one_vault_is_the_default() -> None:
    """With one vault nobody has to name it; with two, somebody has to."""
    request = AddCache("orders", URL)

    assert settings_for(given(), request, (MAIN,)).vault == MAIN
    with pytest.raises(BadRequest, match="none is named"):
        settings_for(given(), request, (MAIN, SECOND))


def test_an_unknown_vault_is_refused_by_name() -> None:
    """A vault that is not configured is refused with those that are."""
    with pytest.raises(NotFound) as refused:
        settings_for(given(), AddCache("orders", URL, vault="third"), (MAIN, SECOND))

    assert "third" in refused.value.message
    assert "main, second" in refused.value.hint


def test_an_empty_text_takes_a_setting_away() -> None:
    """The home of a password is kept, moved to the other kind, or taken away, as was said."""
    settings = replace(SETTINGS, password_file="/etc/p")
    state = given(CacheRegistered(cache=ORDERS, settings=settings))

    def homes(request: SetCache) -> tuple[str | None, str | None]:
        found = settings_for(state, request, (MAIN,))
        return found.password_file, found.password_env

    assert ("/etc/p", None) == homes(SetCache("orders", source="bgsave"))
    assert (None, "P") == homes(SetCache("orders", password_env="P"))
    assert (None, None) == homes(SetCache("orders", password_file=""))


@pytest.mark.parametrize(
    "request_",
    [
        AddCache("orders", URL, password_file="secret/file"),
        AddCache("orders", URL, password_file="/etc/../hunter2"),
        AddCache("orders", URL, password_env="hunter2!"),
        AddCache("orders", URL, password_env="P", password_file="/etc/p"),
    ],
)
def test_a_password_has_one_home_that_can_be_named(request_: AddCache) -> None:
    """A relative file, a value instead of a name, and two homes are refused unseen."""
    with pytest.raises(BadRequest) as refused:
        settings_for(given(), request_, (MAIN,))

    assert "hunter2" not in f"{refused.value.message}{refused.value.hint}"


TLS_URL = "valkeys://cache:6379"


def test_tls_is_set_changed_and_taken_away() -> None:
    """What is null stays, an empty text takes a setting of TLS away."""
    added = settings_for(
        given(),
        AddCache("orders", TLS_URL, tls_ca_file="/ca", tls_cert_file="/c", tls_key_file="/k"),
        (MAIN,),
    )
    state = given(CacheRegistered(cache=ORDERS, settings=added))

    named = settings_for(state, SetCache("orders", tls_server_name="cache.example"), (MAIN,))
    alone = settings_for(
        state, SetCache("orders", tls_ca_file="", tls_cert_file="", tls_key_file=""), (MAIN,)
    )

    assert replace(added, tls_server_name="cache.example") == named
    assert CacheSettings(url=TLS_URL, vault=MAIN) == alone


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (AddCache("orders", URL, tls_ca_file="/ca"), "does not ask for TLS"),
        (AddCache("orders", TLS_URL, tls_ca_file="ca"), "absolute path"),
        (AddCache("orders", TLS_URL, tls_ca_file="/../ca"), "absolute path"),
        (AddCache("orders", TLS_URL, tls_cert_file="/c"), "set alone"),
        (AddCache("orders", TLS_URL, tls_key_file="/k"), "set alone"),
        (AddCache("orders", TLS_URL, tls_server_name="a b"), "not a host name"),
    ],
)
def test_tls_that_could_not_be_spoken_is_refused(request_: AddCache, says: str) -> None:
    """Settings of TLS beside a URL without it, half a pair and relative files are refused."""
    with pytest.raises(BadRequest, match=says):
        settings_for(given(), request_, (MAIN,))


def test_a_living_backup_comes_before_a_failed_one() -> None:
    """A name means the living backup; where there is none, the newest that failed."""
    failed = given(registered(), *abandoned(B1, name="nightly"))
    both = given(*complete(B2, name="nightly"), state=failed)

    assert B1 == any_backup(failed, "orders/nightly").backup_id
    assert B2 == any_backup(both, "orders/nightly").backup_id
    assert B1 == any_backup(both, B1).backup_id


def test_a_prefix_of_two_backups_is_refused() -> None:
    """The beginning of two ids means neither of them."""
    state = given(registered(), *complete(an_id(1)), *complete(an_id(2)))

    with pytest.raises(Rejected, match="fits 2 backups"):
        any_backup(state, an_id(1)[:10])
    with pytest.raises(NotFound):
        any_backup(state, "")


def test_a_restore_is_found_by_the_beginning_of_its_id() -> None:
    """A restore is meant by its id or by the beginning of it."""
    state = given(registered(), *complete(B1), restoring(B1))

    assert R1 == restore_by_id(state, R1[:-2]).restore_id
    with pytest.raises(NotFound):
        restore_by_id(state, "x")


def _named_in(event: Event) -> str:
    """What a sentence on an event has to name; what is about alarms names a channel or an alarm."""
    for field in ("cache", "vault", "channel", "alarm"):
        if named := getattr(event, field, None):
            return str(named)
    return "channels" if isinstance(event, NotificationsSet) else "daemon"


@pytest.mark.parametrize("sample", GOLDEN, ids=lambda path: path.stem)
def test_every_event_has_a_sentence(sample: Path) -> None:
    """Each event that was ever stored is told in one sentence that names its cache or vault."""
    event: Event = codec.decode(sample.read_bytes().strip())

    told = sentence(event)

    assert "\n" not in told
    assert _named_in(event) in told
    assert not told.endswith(".")
    assert "(" not in told.replace(f"({getattr(event, 'backup_id', '')})", "")
