"""Verifications: how a stored backup is proven, and what a try comes to."""

from daemon.actors.verify.actor import Proving, VerifyActor
from daemon.actors.verify.census import CensusTaker, Counting, no_census
from daemon.actors.verify.proving import EngineProver
from daemon.actors.verify.shelf import KeyspaceShelf

__all__ = [
    "CensusTaker",
    "Counting",
    "EngineProver",
    "KeyspaceShelf",
    "Proving",
    "VerifyActor",
    "no_census",
]
