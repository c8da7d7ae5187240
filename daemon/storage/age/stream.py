"""The two stages: encrypting on the way into a vault, decrypting on the way out; no I/O.

The payload is chunks of 64 KiB, each sealed by ChaCha20-Poly1305 under its number and
whether it is the last, so that none can be changed, moved, repeated or cut off. No plain byte
of a chunk is given before the whole chunk has been authenticated.
"""

from collections.abc import Callable, Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from daemon.storage.age import header
from daemon.storage.age.errors import AgeError
from daemon.storage.age.keys import KEY_BYTES, Identity

CHUNK_BYTES = 64 << 10
_TAG_BYTES = 16
_SEALED_BYTES = CHUNK_BYTES + _TAG_BYTES
_NONCE_BYTES = 16
_AT_ONCE = 5
"""Chunks in one step of the output. Larger buffers would be mapped one by one (see
`daemon.app.memory`), and faulting their pages in takes longer than sealing what is in them."""


class Encryption:
    """A `Stage`: plain bytes in, one age file out. `token` gives that many hexadecimal digits.

    The key of each file is fresh, so nothing is ever sealed twice under one nonce.
    """

    def __init__(self, public_keys: Sequence[bytes], token: Callable[[int], str]) -> None:
        def fresh(size: int) -> bytes:
            return bytes.fromhex(token(2 * size))

        file_key, nonce = fresh(header.FILE_KEY_BYTES), fresh(_NONCE_BYTES)
        shares = [(public, fresh(KEY_BYTES)) for public in public_keys]
        self._head = header.written(file_key, shares) + nonce
        self._chunks = _Chunks(file_key, nonce=nonce)
        self._runs = _Runs(CHUNK_BYTES)

    def feed(self, data: bytes) -> Sequence[bytes]:
        """All whole chunks but the last, which stays until it is known whether more follows."""
        return (*self._begun(), *(self._chunks.sealed(run) for run in self._runs.feed(data)))

    def finish(self) -> Sequence[bytes]:
        """The last chunk, which is empty only if there was nothing at all."""
        return (*self._begun(), self._chunks.sealed(memoryview(self._runs.held), last=True))

    def _begun(self) -> Sequence[bytes]:
        head, self._head = self._head, b""
        return (head,) if head else ()


class Decryption:
    """One age file in, fed in pieces of any size; plain bytes out, less than 1 MiB a step."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self._identities = identities
        self._head = b""
        self._chunks: _Chunks | None = None
        self._runs = _Runs(_SEALED_BYTES)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes, in steps; the iterator must be used up before the next call.

        Raises `AgeError` at the first doubt, `NoIdentityFits` before the first byte.
        """
        if self._chunks is None:
            self._head += data
            opened = self._opened()
            if opened is None:
                return
            self._chunks, data = opened
        for run in self._runs.feed(data):
            yield from self._chunks.opened(run)

    def finish(self) -> Iterator[bytes]:
        """The last chunk; `AgeError` if the file ends elsewhere than it should."""
        if self._chunks is None:
            raise AgeError("it ends within its header")
        yield from self._chunks.opened(memoryview(self._runs.held), last=True)

    def _opened(self) -> "tuple[_Chunks, bytes] | None":
        """The chunks' key and what follows the head, as soon as header and nonce are there."""
        end = header.end_of(self._head)
        if end is None or len(self._head) < end + _NONCE_BYTES:
            return None
        file_key = header.unwrapped(header.parsed(self._head[:end]), self._identities)
        nonce, rest = self._head[end:][:_NONCE_BYTES], self._head[end + _NONCE_BYTES :]
        self._head = b""
        return _Chunks(file_key, nonce=nonce), rest


class _Runs:
    """Cuts a stream into runs of whole chunks; `held` is what may be the last one."""

    def __init__(self, chunk_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self.held = b""

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Whole chunks that more bytes follow, a few at a time."""
        size = self._chunk_bytes
        if len(self.held) + len(data) <= size:
            self.held += data
            return
        rest = memoryview(data)
        if self.held:
            missing = size - len(self.held)
            yield memoryview(self.held + rest[:missing])
            rest = rest[missing:]
        while len(rest) > size:
            count = min(_AT_ONCE, (len(rest) - 1) // size)
            yield rest[: count * size]
            rest = rest[count * size :]
        self.held = bytes(rest)


class _Chunks:
    """The payload's key, the number of the next chunk, and room that is used again and again."""

    def __init__(self, file_key: bytes, *, nonce: bytes) -> None:
        key = header.derived(file_key, salt=nonce, info=b"payload")
        self._cipher = ChaCha20Poly1305(key)
        self._number = 0
        self._room = memoryview(bytearray(_AT_ONCE * _SEALED_BYTES))

    def sealed(self, run: memoryview, *, last: bool = False) -> bytes:
        """A run of whole chunks, or the last one, with their tags."""
        end = 0
        for begin in range(0, max(1, len(run)), CHUNK_BYTES):
            chunk = run[begin : begin + CHUNK_BYTES]
            into = self._room[end : end + len(chunk) + _TAG_BYTES]
            self._cipher.encrypt_into(self._nonce(last=last), chunk, None, into)
            self._number += 1
            end += len(into)
        return bytes(self._room[:end])

    def opened(self, run: memoryview, *, last: bool = False) -> Iterator[bytes]:
        """The plain bytes of a run; those before a damaged chunk come before its error."""
        end = 0
        for begin in range(0, max(1, len(run)), _SEALED_BYTES):
            chunk = run[begin : begin + _SEALED_BYTES]
            into = self._room[end : end + max(0, len(chunk) - _TAG_BYTES)]
            if not self._open(chunk, into=into, last=last):
                if end:
                    yield bytes(self._room[:end])
                raise AgeError(f"its chunk {self._number + 1} is damaged or not the one expected")
            if last and self._number and not into:
                raise AgeError("it ends with an empty chunk")
            self._number += 1
            end += len(into)
        if end:
            yield bytes(self._room[:end])

    def _open(self, chunk: memoryview, *, into: memoryview, last: bool) -> bool:
        if len(chunk) < _TAG_BYTES:
            return False
        try:
            self._cipher.decrypt_into(self._nonce(last=last), chunk, None, into)
        except InvalidTag:
            return False
        return True

    def _nonce(self, *, last: bool) -> bytes:
        return self._number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
