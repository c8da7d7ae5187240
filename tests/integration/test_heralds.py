"""Messages and heartbeats on their real way: a process for each message, servers on loopback."""

from pathlib import Path

import anyio
import msgspec
import pytest

from daemon.actors.alarms import Outgoing
from daemon.app import messages
from daemon.app.messages import Heralds, HttpPulse
from daemon.config.notify import ChannelConfig, NotifyConfig
from daemon.errors import Failed, Transient
from events.alarms import ChannelName
from tests.support.receivers import post, web

pytestmark = pytest.mark.anyio

CANARY = "xoxbCANARY12345"
OUTGOING = Outgoing("m-1", "critical", "a title", "a text\nof two lines")
REFUSED = {
    f"json://127.0.0.1:1/{CANARY}": "notify-refused",
    f"json://no-such-host.invalid/{CANARY}": "notify-name",
    f"slack://{CANARY}/x": "notify-address",
    f"json://127.0.0.1/{CANARY}\njson://127.0.0.1/b": "notify-address",
    f"mailto://anna:{CANARY}@127.0.0.1:1?from=a@b.example&to=c@d.example": "notify-refused",
}


def heralds(folder: Path, *urls: str) -> tuple[Heralds, tuple[ChannelName, ...]]:
    """Heralds for addresses, and the channels' names."""
    channels = {}
    for number, url in enumerate(urls):
        kept = folder / f"{number}.url"
        kept.write_text(f"{url}\n")
        channels[f"c{number}"] = ChannelConfig(url_file=str(kept))
    return Heralds(channels), tuple(ChannelName(name) for name in channels)


async def failure_of(sender: Heralds, name: ChannelName) -> Failed:
    """Why a message was not sent."""
    try:
        service = await sender.send(name, OUTGOING)
    except Failed as error:
        return error
    raise AssertionError(f"sent by {service}")


async def test_a_failure_says_why_and_what_to_do(tmp_path: Path) -> None:
    """Each way to fail has a code, a sentence and a hint, without any piece of the address."""
    sender, names = heralds(tmp_path, *REFUSED)
    found: dict[str, Failed] = {}

    async def tried(url: str, name: ChannelName) -> None:
        found[url] = await failure_of(sender, name)

    async with anyio.create_task_group() as tasks:
        for url, name in zip(REFUSED, names, strict=True):
            tasks.start_soon(tried, url, name)

    assert {url: error.code for url, error in found.items()} == REFUSED
    for error in found.values():
        assert error.message.endswith(".")
        assert error.hint
        assert CANARY not in f"{error.message} {error.hint}"


async def test_a_message_arrives_by_the_web_and_by_mail(tmp_path: Path) -> None:
    """A message arrives with title, text and its id, so that a double one can be told."""
    async with web() as server, post() as office:
        mail = f"mailto://127.0.0.1:{office.port}?from=a@b.example&to=c@d.example&mode=insecure"
        sender, (hook, letter) = heralds(tmp_path, server.url(CANARY), mail)

        assert "JSON" == await sender.send(hook, OUTGOING)
        assert "E-Mail" == await sender.send(letter, OUTGOING)

    (body,) = server.bodies
    assert ("a title", "failure") == (body["title"], body["type"])
    assert "a text\nof two lines\n[m-1]" == body["message"]
    assert b"Subject: a title" in office.mails[0]


async def test_what_the_server_answers_is_told(tmp_path: Path) -> None:
    """A wrong token, a place that is gone and a broken service are told apart."""
    async with web() as server:
        sender, (name,) = heralds(tmp_path, server.url(CANARY))
        server.answers.extend([401, 404, 503])
        codes = [(await failure_of(sender, name)).code for _ in range(3)]

    assert ["notify-refused-token", "notify-not-found", "notify-server"] == codes


async def test_a_server_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try has a bound of its own, and nothing of it is left behind."""
    monkeypatch.setattr(messages, "DEADLINE_SECONDS", 2.0)
    async with web() as server:
        sender, (name,) = heralds(tmp_path, server.url())
        server.answers.append(0)
        error = await failure_of(sender, name)

    assert "notify-timeout" == error.code
    assert isinstance(error, Transient)


async def test_an_address_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """The file's name is shown, and what is wrong with it."""
    sender = Heralds({"ops": ChannelConfig(url_file=str(tmp_path / "none"))})
    error = await failure_of(sender, ChannelName("ops"))

    assert "secret-unreadable" == error.code
    assert "No such file" in error.message


async def test_a_heartbeat_is_a_get_and_an_ill_one_says_so(tmp_path: Path) -> None:
    """A beat asks for the address, an ill one for it with ``/fail`` behind; an error is none."""
    kept = tmp_path / "beat.url"
    async with web() as server:
        kept.write_text(server.url(f"{CANARY}?a=b", scheme="http"))
        pulse = HttpPulse(NotifyConfig(heartbeat_url_file=str(kept)))
        await pulse.beat(well=True)
        await pulse.beat(well=False)
        server.answers.append(404)
        with pytest.raises(Transient) as refused:
            await pulse.beat(well=True)

    assert [f"/{CANARY}?a=b", f"/{CANARY}/fail?a=b"] == server.paths[:2]
    assert "404" in refused.value.message
    with pytest.raises(Transient) as gone:
        await pulse.beat(well=True)
    kept.write_text(f"{CANARY}")
    with pytest.raises(Failed) as wrong:
        await pulse.beat(well=True)
    assert ["heartbeat-unreachable", "heartbeat-address"] == [gone.value.code, wrong.value.code]
    assert CANARY not in msgspec.json.encode([gone.value.message, wrong.value.message]).decode()
