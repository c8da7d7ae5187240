"""What a configuration file may say, what is refused, and how that is told."""

from pathlib import Path
from textwrap import dedent

import pytest

from daemon.config import (
    Config,
    ConfigError,
    DaemonConfig,
    Problem,
    RolesConfig,
    VaultConfig,
    default_config,
    load,
)
from events.facts import CacheName, CacheSettings, VaultName

FILE = Path("/etc/valkeep/config.toml")
VAULT = '[vaults.main]\nurl = "file:///var/backups/valkeep"\n'
CACHE = '[caches.orders]\nurl = "valkey://127.0.0.1:6379"\n'
CANARY = "hunter2-canary"


def test_a_file_with_one_vault_is_enough() -> None:
    """Everything but a vault has a default."""
    config = load(VAULT, FILE)

    main = VaultConfig(url="file:///var/backups/valkeep")
    assert Config(vaults={VaultName("main"): main}) == config
    assert DaemonConfig("/run/valkeep/valkeep.sock", "/var/lib/valkeep", 2) == config.daemon


def test_every_setting_arrives_where_it_belongs() -> None:
    """What the file says is what the daemon is told."""
    config = load(
        dedent("""\
            [daemon]
            socket = "/run/x.sock"
            [roles]
            admin = ["user:ann", "group:ops"]
            [vaults.main]
            url = "s3://team-bucket/valkeep"
            endpoint_url = "http://127.0.0.1:9000"
            access_key_id_env = "KEY"
            secret_access_key_file = "/etc/valkeep/secret"
            [vaults.second]
            url = "file:///srv/second"
            [timeouts]
            connect_seconds = 3
            [caches.orders]
            url = "unix:///run/valkey.sock?user=backup"
            vault = "second"
            node = "primary"
            password_file = "/etc/valkeep/orders.password"
            """),
        FILE,
    )

    assert "/run/x.sock" == config.daemon.socket
    assert ("user:ann", "group:ops") == config.roles.admin
    assert "/etc/valkeep/secret" == config.vaults[VaultName("main")].secret_access_key_file
    assert 3 == config.timeouts.connect_seconds
    assert config.caches == {
        CacheName("orders"): CacheSettings(
            url="unix:///run/valkey.sock?user=backup",
            vault=VaultName("second"),
            node="primary",
            password_file="/etc/valkeep/orders.password",
        )
    }


def test_the_only_vault_is_every_caches_default() -> None:
    """With one vault a cache need not name it."""
    config = load(VAULT + CACHE, FILE)

    assert VaultName("main") == config.caches[CacheName("orders")].vault


def test_without_a_file_everything_is_the_users_own() -> None:
    """The defaults without root are folders of that user, and nobody else has a role."""
    config = default_config(
        data_home=Path("/home/ann smith/data"),
        runtime_dir=Path("/run/user/7"),
        state_home=Path("/s"),
    )

    assert "file:///home/ann%20smith/data/valkeep/backups" == config.vaults[VaultName("main")].url
    assert "/run/user/7/valkeep/valkeep.sock" == config.daemon.socket
    assert "/s/valkeep" == config.daemon.data_dir
    assert RolesConfig(admin=(), operator=(), viewer=()) == config.roles


def test_all_problems_are_told_at_once() -> None:
    """One look at a file finds everything that is wrong with it, in the file's order."""
    problems = _problems("""\
        [daemon]
        max_backups = 0
        data_dir = 3
        [roles]
        operator = ["group:ops",
                    "bob"]
        [vault.main]
        [vaults.main]
        url = "s3://bucket"
        addressing = "pth"
        [caches.orders]
        node = "replica"
        nodes = 2
        """)

    assert [
        (2, "daemon.max_backups"),
        (3, "daemon.data_dir"),
        (6, "roles.operator[1]"),
        (7, "vault"),
        (10, "vaults.main.addressing"),
        (11, "caches.orders"),
        (13, "caches.orders.nodes"),
    ] == [(problem.line, problem.setting) for problem in problems]


def test_the_message_names_file_line_setting_and_what_is_allowed() -> None:
    """What a person reads is enough to correct the file."""
    with pytest.raises(ConfigError) as caught:
        load(VAULT + "[daemon]\nmax_backups = 65\n", FILE)

    assert "config-invalid" == caught.value.code
    assert (
        "/etc/valkeep/config.toml has 1 problem:\n"
        "  /etc/valkeep/config.toml:4: daemon.max_backups: is 65. "
        "Allowed: a whole number from 1 to 64."
    ) == caught.value.message
    assert "valkeep config check /etc/valkeep/config.toml" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "[daemon\n"),
        (3, "[daemon]\nport = 1\nport = 2\n"),
        (4, "[daemon]\nport = [\n1,\n"),
    ],
)
def test_a_text_that_is_no_toml_is_told_with_its_line(line: int, text: str) -> None:
    """A slip of syntax is found where it is."""
    (problem,) = _problems(text)

    assert ("TOML", line) == (problem.setting, problem.line)


def test_a_file_without_a_vault_is_refused_with_what_to_add() -> None:
    """Backups without a place to go are a mistake, told once and not for each cache."""
    (problem,) = _problems(CACHE)

    assert "no vault" in problem.wrong
    assert "[vaults.main]" in problem.allowed


@pytest.mark.parametrize(
    ("setting", "meant", "text"),
    [
        ("cache", "caches", '[cache.orders]\nurl = "valkey://h"\n'),
        ("daemon.max_backup", "max_backups", "[daemon]\nmax_backup = 1\n"),
        (
            "caches.a.pasword_file",
            "password_file",
            '[caches.a]\nurl="valkey://h"\npasword_file="/p"',
        ),
        ("caches.a.source", "replication", '[caches.a]\nurl="valkey://h"\nsource="replicaton"\n'),
        ("caches.a.vault", "main", '[caches.a]\nurl="valkey://h"\nvault="mian"\n'),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(setting: str, meant: str, text: str) -> None:
    """A name or word that is nearly right brings the right one along."""
    (problem,) = _problems(VAULT + text)

    assert setting == problem.setting
    assert f"Did you mean '{meant}'?" in problem.allowed


TLS_CACHE = '[caches.orders]\nurl = "valkeys://h"\n'
KEY_WITH_TWO_HOMES = """\
access_key_id_env = "X"
secret_access_key_env = "Y"
secret_access_key_file = "/y"
"""
SECRETS = [
    f'[caches.a]\nurl = "valkey://h"\npassword = "{CANARY}"\n',
    f'[caches.a]\nurl = "valkey://h"\nrequirepass = "{CANARY}"\n',
    f'[caches.a]\nurl = "valkey://ann:{CANARY}@h"\n',
    f'[caches.a]\nurl = "valkey://:{CANARY}@h:x"\n',
    f'[caches.a]\nurl = "valkey://ann:{CANARY}/x@h"\n',
    f'[caches.a]\nurl = "unix:///s?password={CANARY}"\n',
    f'[caches.a]\nurl = "valkeys://ann:{CANARY}@h"\n',
    f'[caches.a]\nurl = "valkey://h"\npassword_file = "{CANARY}"\n',
    f'[caches.a]\nurl = "valkey://h"\npassword_env = "{CANARY}"\n',
    f'[vaults.b]\nurl = "s3://AKIA:{CANARY}@bucket"\n',
    f'[vaults.b]\nurl = "s3://bucket"\nsecret_access_key = "{CANARY}"\n',
    f'[vaults.b]\nurl = "s3://bucket"\naccess_key_id = "{CANARY}"\n',
    f'[vaults.b]\nurl = "s3://bucket"\nendpoint_url = "http://k:{CANARY}@h"\n',
    f'[vaults.b]\nurl = "s3://bucket"\naccess_key_id_env = "{CANARY}"\n',
    f'token = "{CANARY}"\n',
    f'[caches.a]\npassword = "{CANARY}\n',
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_in_the_file_is_refused_and_never_shown(text: str) -> None:
    """Wherever a password or key is written, the file is refused without repeating it."""
    with pytest.raises(ConfigError) as caught:
        load(text + VAULT, FILE)

    told = f"{caught.value.message} {caught.value.hint} {caught.value!r} {caught.value.problems}"
    assert CANARY not in told


def test_a_number_where_a_secret_is_kept_is_not_shown() -> None:
    """A password that is all digits is no more shown than any other."""
    (problem,) = _problems(f"{VAULT}{CACHE}password_file = 774411\n")

    assert "774411" not in f"{problem}"


@pytest.mark.parametrize(
    ("secret", "homes"),
    [
        (f"{CACHE}password = 1\n", "password_file, password_env"),
        ('[vaults.b]\nurl = "s3://bbb"\nsecret_access_key = ""\n', "secret_access_key_env"),
    ],
)
def test_a_refused_secret_is_answered_with_where_to_keep_it(secret: str, homes: str) -> None:
    """The message says which settings name a place for it."""
    (problem,) = [found for found in _problems(VAULT + secret) if "secret" in found.wrong]

    assert homes in problem.allowed


@pytest.mark.parametrize(
    "text",
    [
        "[vaults.b]\n",
        '[vaults.b]\nurl = "file:///x"\nregion = "eu"\n',
        '[vaults.b]\nurl = "file:///var/backups/valkeep/"\n',
        '[vaults.b]\nurl = "s3://bbb"\naccess_key_id_env = "X"\n',
        '[vaults.b]\nurl="s3://bbb"\n' + KEY_WITH_TWO_HOMES,
        f'{CACHE}password_file = "/x"\npassword_env = "X"\n',
        '[caches."a b"]\nurl = "valkey://h"\n',
        f'[caches.{"x" * 65}]\nurl = "valkey://h"\n',
        '[caches.-x]\nurl = "valkey://h"\n',
        '[vaults."../x"]\nurl = "s3://bbb"\n',
        "caches = 1\n",
        "[[daemon]]\n",
        "[restore]\nport = -1\n",
        "[restore]\nport = true\n",
        '[restore]\nbind = "localhost"\n',
        '[restore]\nadvertise = "host:6379"\n',
        '[restore]\naccept_from = "all"\n',
        '[restore]\ntls_key_file = "/k"\n',
        '[restore]\ntls_cert_file = "/c"\n',
        '[restore]\ntls_ca_file = "/c"\n',
        '[restore]\ntls_cert_file = "c"\ntls_key_file = "/k"\n',
        f'{CACHE}tls_ca_file = "/ca"\n',
        f"{TLS_CACHE}tls_cert_file = '/c'\n",
        f"{TLS_CACHE}tls_ca_file = 'ca.pem'\n",
        f"{TLS_CACHE}tls_server_name = ''\n",
        f"{TLS_CACHE}tls_server_name = 'h:6379'\n",
        '[daemon]\ndata_dir = "var/lib"\n',
        '[daemon]\ndata_dir = "/var/../lib"\n',
        '[roles]\nadmin = ["ann"]\n',
        "[roles]\nadmin = [1]\n",
        "[timeouts]\nconnect_seconds = nan\n",
        "[timeouts]\nstall_seconds = inf\n",
        "[storage]\ncompression_level = 20\n",
        "[engine]\nrequire_sound = 1\n",
    ],
)
def test_a_rule_that_is_broken_is_one_problem(text: str) -> None:
    """Each rule bites, and no slip is told twice."""
    extra = "" if text.startswith("[vaults") else VAULT
    found = _problems(f"{extra}{text}" if extra else f"{text}{VAULT}")

    assert 1 == len(found), found


def test_tls_is_taken_whole() -> None:
    """All settings of TLS, of a cache and of the restore listener, come through as they are."""
    files = """tls_ca_file = "/ca"
tls_cert_file = "/c"
tls_key_file = "/k"
"""
    found = load(f'{VAULT}[restore]\n{files}{TLS_CACHE}{files}tls_server_name = "::1"\n', FILE)

    cache = found.caches[CacheName("orders")]
    restore = found.restore
    assert ("/ca", "/c", "/k", "::1") == (
        cache.tls_ca_file,
        cache.tls_cert_file,
        cache.tls_key_file,
        cache.tls_server_name,
    )
    assert ("/ca", "/c", "/k") == (
        restore.tls_ca_file,
        restore.tls_cert_file,
        restore.tls_key_file,
    )


def test_two_vaults_leave_no_default() -> None:
    """With several vaults each cache says which one it uses."""
    (problem,) = _problems(f'{VAULT}[vaults.b]\nurl = "s3://bbb"\n{CACHE}')

    assert ("caches.orders", "vault is missing") == (problem.setting, problem.wrong)
    assert "main, b" in problem.allowed


def test_a_socket_address_that_the_system_could_not_hold_is_refused() -> None:
    """A path of 107 bytes is the longest that a Unix socket can have."""
    fits, too_long = "/" + "s" * 106, "/" + "s" * 107

    assert fits == load(f'{VAULT}[daemon]\nsocket = "{fits}"\n', FILE).daemon.socket
    assert "108 bytes" in _problems(f'{VAULT}[daemon]\nsocket = "{too_long}"\n')[0].wrong


@pytest.mark.parametrize(
    "url",
    [
        "valkey://h",
        "valkey://ann@h:1/",
        "redis://10.0.0.1:6379",
        "valkey://[::1]:6379",
        "unix:///run/valkey/valkey.sock",
        "unix:///run/s?user=ann",
    ],
)
def test_caches_are_reached_over_tcp_and_unix_sockets(url: str) -> None:
    """Hosts, addresses of both families, users and sockets are taken as they are."""
    config = load(f'{VAULT}[caches.a]\nurl = "{url}"\n', FILE)

    assert url == config.caches[CacheName("a")].url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:6379",
        "http://h",
        "valkey://",
        "valkey://h:99999",
        "valkey://h/3",
        "valkey://h?x=1",
        "valkey://[::1",
        "valkey://a b",
        "unix://run/s",
        "unix:run",
        "unix:///s?db=1",
    ],
)
def test_what_is_no_cache_is_refused(url: str) -> None:
    """An address that could not be meant is found before anything connects."""
    (problem,) = _problems(f'{VAULT}[caches.a]\nurl = "{url}"\n')

    assert ("caches.a.url", 4) == (problem.setting, problem.line)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/x",
        "file://",
        "file:///",
        "file://host/x",
        "file:///x/../y",
        "file:///x?y",
        "ftp://x/y",
        "s3://",
        "s3://B",
        "s3://bbb/a//b",
        "s3://bbb/../x",
        "s3://bbb?x",
        "s3:bbb",
    ],
)
def test_what_is_no_vault_is_refused(url: str) -> None:
    """A place that could not be meant is found before anything is written."""
    (problem,) = _problems(f'[vaults.a]\nurl = "{url}"\n')

    assert ("vaults.a.url", 2) == (problem.setting, problem.line)


def _problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(dedent(text), FILE)
    return caught.value.problems


def test_limits_of_bandwidth() -> None:
    """V7: the daemon's and a cache's limit are kept as written; wrong ones are told all at once."""
    text = '[daemon]\nbandwidth = "{}"\n[caches.orders]\nurl = "valkey://h"\nbandwidth = "{}"\n'
    config = load(VAULT + text.format("1.5GB/s", "20MB"), Path("v.toml"))
    limits = (config.daemon.bandwidth, config.caches[CacheName("orders")].bandwidth)
    assert ("1.5GB/s", "20MB") == limits

    problems = _problems(VAULT + text.format("fast", "101GB"))
    assert ["daemon.bandwidth", "caches.orders.bandwidth"] == [p.setting for p in problems]
    assert ["is not a bandwidth", "out of range"] == [
        problems[0].wrong,
        problems[1].wrong.rpartition("which is ")[2],
    ]
    assert all("100MB" in problem.allowed for problem in problems)
