"""The rule of an address on which nobody is asked who he is: only this host may reach it. Pure."""

import re
from ipaddress import ip_address

from daemon.config.problem import Wrong

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+)):([0-9]{1,5})")
_ALLOWED = 'Allowed: "127.0.0.1:9464" or "[::1]:9464", with any port from 1 to 65535; or "".'


def loopback(text: str) -> Wrong | None:
    """An IP address of the loopback and a port, or nothing; names are not looked up."""
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        return Wrong(f'is "{text}", which is not an address and a port', _ALLOWED)
    try:
        host = ip_address(found[1] or found[2])
    except ValueError:
        return Wrong(f'is "{text}", whose host is not an IP address', _ALLOWED)
    if not host.is_loopback or (found[1] is None) != (host.version == 4):
        why = "others can reach that, and nobody is asked who he is there"
        return Wrong(f'is "{text}": {why}', f"{_ALLOWED} For others put a proxy in front.")
    return None
