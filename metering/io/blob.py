"""A body or a file that is not kept in memory: spooled to a file without a name, and mapped."""

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Self


class BlobTooLargeError(Exception):
    """More came than was said to be the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes that came whole, with their SHA-256; ``charset`` is what was said of them, if anything.

    The file has no name, so it is gone when it is closed, also when the process is killed.
    """

    file: IO[bytes]
    size_bytes: int
    digest: bytes
    media_type: str = ""
    charset: str | None = None

    @contextmanager
    def mapped(self) -> "Iterator[bytes | mmap.mmap]":
        """Give the bytes without reading them into memory; an empty file cannot be mapped."""
        if not self.size_bytes:
            yield b""
            return
        with mmap.mmap(self.file.fileno(), self.size_bytes, access=mmap.ACCESS_READ) as data:
            yield data


class Spool:
    """Takes bytes as they come, up to a limit, and becomes a ``Blob``.

    Used in a ``with``, which closes the file at its end. The file is in the system's folder for
    temporary files (TMPDIR).
    """

    def __init__(self, bytes_max: int) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._digest = sha256()
        self._size_bytes = 0
        self._bytes_max = bytes_max

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file, which ends it."""
        self.close()

    def close(self) -> None:
        """End the file, for those who hand it on and cannot use a ``with``."""
        self._file.close()

    def add(self, piece: bytes) -> None:
        """Take some more.

        Raises:
            BlobTooLargeError: it would be too much.
        """
        self._size_bytes += len(piece)
        if self._size_bytes > self._bytes_max:
            raise BlobTooLargeError
        self._digest.update(piece)
        self._file.write(piece)

    def blob(self, media_type: str = "", charset: str | None = None) -> Blob:
        """Return what came; it is there until the spool is left."""
        self._file.flush()
        return Blob(
            file=self._file,
            size_bytes=self._size_bytes,
            digest=self._digest.digest(),
            media_type=media_type,
            charset=charset,
        )
