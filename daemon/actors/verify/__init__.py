"""Verifications: how a stored backup is proven, and what a try comes to."""

from daemon.actors.verify.actor import Proving, VerifyActor
from daemon.actors.verify.proving import EngineProver

__all__ = ["EngineProver", "Proving", "VerifyActor"]
