"""Addresses of the loopback on which nobody listens."""

import socket


def free_address(host: str = "127.0.0.1") -> str:
    """An address on which nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as door:
        door.bind((host, 0))
        port = door.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
