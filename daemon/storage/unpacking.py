"""Undoing what the stages did to an object's bytes: age if it is encrypted, then zstd.

No I/O, and no step of the output has more than 1 MiB, whatever was stored. It knows nothing
of vaults or hashes: whoever feeds it has checked what it feeds.
"""

from collections.abc import Iterator, Sequence

from daemon.storage.age import AgeError, Decryption, Identity, NoIdentityFits
from daemon.storage.frame import FrameDecoder, FrameError


class UnpackError(Exception):
    """The bytes are not what the stages make; the text says why."""


class NoIdentity(UnpackError):
    """They are encrypted to others."""


class Unpacking:
    """One object, fed in pieces of any size; with identities, it is an encrypted one."""

    def __init__(self, identities: Sequence[Identity] | None = None) -> None:
        self._decryption = None if identities is None else Decryption(identities)
        self._decoder = FrameDecoder()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes, in steps; the iterator must be used up before the next call."""
        if self._decryption is None:
            return _in_our_words(self._decoder.feed(data))
        return _in_our_words(self._decoded(self._decryption.feed(data)))

    def finish(self) -> Iterator[bytes]:
        """What comes last, in steps; `UnpackError` unless that is the end."""
        return _in_our_words(self._ended())

    def _decoded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield from self._decoder.feed(piece)

    def _ended(self) -> Iterator[bytes]:
        if self._decryption is not None:
            yield from self._decoded(self._decryption.finish())
        self._decoder.finish()


def _in_our_words(steps: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from steps
    except NoIdentityFits as error:
        raise NoIdentity(str(error)) from error
    except (AgeError, FrameError) as error:
        raise UnpackError(str(error)) from error
