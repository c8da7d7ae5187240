"""The herald: no piece of an address comes out of it."""

from urllib.parse import quote

from hypothesis import given as for_all
from hypothesis import strategies as some

from daemon.herald import without_secrets

PIECE = some.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789", min_size=4, max_size=12)


@for_all(PIECE, PIECE, PIECE, PIECE)
def test_no_piece_of_an_address_is_shown(user: str, token: str, host: str, path: str) -> None:
    """Whatever a service says, user, password, host, path and query are taken out of it."""
    url = f"mailtos://{user}:{quote(token + '/+')}@{host}.example/{path}?to={user}@{host}"
    heard = f"535 {user} at {host}: bad {token}/+ ({quote(token + '/+')}), see /{path} {url}"

    shown = without_secrets(heard, url=url)

    for piece in (user, token, host, path):
        assert piece.casefold() not in shown.casefold().replace("mailtos", "").replace("mailto", "")
