"""The example configuration against the settings that there are: nothing missing, nothing wrong.

In the example a setting stands either with its default, or with an example value and the
words ``no default``.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import fields

from daemon.config import Config, ExportConfig, HookConfig, PolicyConfig, VaultConfig, example, load
from daemon.config.notify import ChannelConfig
from daemon.config.rules import LATER
from events.facts import CacheName, CacheSettings, Policy, VaultName

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
SETTING = re.compile(r"(?:# )?([a-z_]+) = (.*)")
NAMED: Mapping[str, type[Struct]] = {
    "vaults": VaultConfig,
    "caches": CacheSettings,
    "exports": ExportConfig,
    "hooks": HookConfig,
    "channels": ChannelConfig,
}
SHAPES: Mapping[str, type[Struct]] = {
    **{field.name: NAMED.get(field.name, field.type) for field in fields(Config)},
    "policies": PolicyConfig,
}
HEADER = re.compile(r"(?:# )?\[([a-z]+)(?:\.[a-z-]+(\.policy)?)?\]")


class Line(Struct, frozen=True):
    """One setting as the example has it; `text` is what follows the equals sign."""

    section: str
    name: str
    text: str

    @property
    def value(self) -> object:
        """What the text means in TOML."""
        return tomllib.loads(f"value = {self.text}")["value"]


def test_the_installed_example_is_the_one_at_the_top() -> None:
    """`valkeep config init` prints the very file that stands in the repository."""
    assert EXAMPLE.read_text(encoding="utf-8") == example()


def test_the_example_is_a_valid_configuration() -> None:
    """The example can be used as it is: one directory vault and one cache."""
    config = load(example(), EXAMPLE)

    assert [VaultName("main")] == list(config.vaults)
    assert [CacheName("orders")] == list(config.caches)
    assert {CacheName("orders"): Policy()} == config.policies


def test_every_setting_is_in_the_example_once() -> None:
    """Whoever reads the example knows every setting; none in it has gone out of use."""
    later = {setting.rpartition(".")[2] for setting in LATER}
    wanted = sorted(
        (name, field.name)
        for name, shape in SHAPES.items()
        for field in fields(shape)
        if field.name not in later
    )

    assert wanted == sorted((line.section, line.name) for line in _lines())


def test_every_default_in_the_example_is_the_default() -> None:
    """A commented line shows what holds without it; the others say that they are examples."""
    for line in _lines():
        field = {field.name: field for field in fields(SHAPES[line.section])}[line.name]
        told = f"{line.section}.{line.name}"
        if line.text.endswith("# no default"):
            assert field.required or field.default is None, told
        else:
            assert field.default == msgspec.convert(line.value, field.type), told


@pytest.mark.parametrize("home", ["_env", "_file"])
def test_every_line_of_the_example_can_be_uncommented(home: str) -> None:
    """What stands in a comment is right when it is used, with either home for the secrets."""
    other = {"_env": "_file", "_file": "_env"}[home]
    lines = [
        line.removeprefix("# ") if SETTING.fullmatch(line) or HEADER.fullmatch(line) else line
        for line in example().splitlines()
        if other + " =" not in line
    ]
    text = "\n".join(lines).replace("file:///var/backups/valkeep", "s3://team-bucket/valkeep")
    text = text.replace("valkey://", "valkeys://")  # which the settings of TLS belong to
    text += '\n[vaults.second]\nurl = "file:///mnt/second"\n'  # which copy_to names

    config = load(text, EXAMPLE)

    vault = config.vaults[VaultName("main")]
    assert "https://s3.example:9000" == vault.endpoint_url
    assert getattr(vault, f"secret_access_key{home}")
    assert getattr(config.caches[CacheName("orders")], f"password{home}")


def test_every_setting_of_the_example_says_why() -> None:
    """Above each setting, or above the group it stands in, is a line in words."""
    lines = example().splitlines()
    for number, line in enumerate(lines):
        if SETTING.fullmatch(line):
            above = lines[number - 1]
            assert SETTING.fullmatch(above) or re.match(r"# \S", above), f"{number + 1}: {line}"


def test_a_line_of_the_example_is_read_as_it_is_meant() -> None:
    """The reading of the example tells settings from prose and sections from each other."""
    found = _lines_of(
        dedent("""\
            # max = 3 is prose, and so is this.
            [daemon]
            # socket = "/x"
            [vaults.main]
            url = "s3://b"   # no default
            [caches.a.policy]
            # auto = false
            """)
    )

    assert [
        Line("daemon", "socket", '"/x"'),
        Line("vaults", "url", '"s3://b"   # no default'),
        Line("policies", "auto", "false"),
    ] == found


def _lines() -> list[Line]:
    return _lines_of(example())


def _lines_of(text: str) -> list[Line]:
    found = []
    section = ""
    for line in text.splitlines():
        if header := HEADER.fullmatch(line):
            section = "policies" if header[2] else header[1]
        elif section and (setting := SETTING.fullmatch(line)):
            found.append(Line(section, setting[1], setting[2]))
    return found
