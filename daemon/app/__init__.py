"""The composition root: the only room with a real clock, real ids and the environment."""

from daemon.app.running import serve

__all__ = ["serve"]
