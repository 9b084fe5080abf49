"""Standard streams that stay usable when their reader goes away, or when their encoding lacks a character."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PLAINLY = "ebayes.plain"  #: name of the error handler, to pass as `errors`
#: ASCII substitutes for characters that do not decompose into a letter and an accent
PLAIN = {
    "\N{PLUS-MINUS SIGN}": "+/-", "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"', "\N{BOX DRAWINGS HEAVY HORIZONTAL}": "-",
    "\N{BOX DRAWINGS HEAVY LEFT}": "-", "\N{BOX DRAWINGS HEAVY RIGHT}": "-", "\N{BULLET}": "*",
    "\N{LATIN SMALL LETTER O WITH STROKE}": "o", "\N{LATIN SMALL LETTER SHARP S}": "ss",
}  # fmt: skip


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The closest ASCII text: +/- for the sign, e for an accented e, a question mark if there is none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    # Python keeps the bytes of a file name that it cannot decode; they are mostly UTF-8
    known = lacking.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(map(_nearest, known)), error.end


def _nearest(character: str) -> str:
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return PLAIN.get(character) or letters or "?"


codecs.register_error(PLAINLY, _plain)


def shown(text: str, encoding: str) -> str:
    """A text as it appears in this encoding."""
    return text.encode(encoding, PLAINLY).decode(encoding)


class _Outlet(io.FileIO):
    """A file descriptor whose reader may go away: a pipe that closes, a terminal that hangs up."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.gone = {errno.EPIPE, errno.EIO} if os.isatty(descriptor) else {errno.EPIPE}

    def write(self, data: ReadableBuffer, /) -> int:
        """Write; once there is no reader any more, discard this and everything after it."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self.gone:
                raise
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self.fileno())
            return memoryview(data).nbytes


def lasting(stream: TextIO | None) -> TextIO | None:
    """A standard stream that neither a vanished reader nor an unknown character can break."""
    below = getattr(stream, "buffer", None)
    if not isinstance(stream, io.TextIOWrapper) or type(getattr(below, "raw", below)) is not io.FileIO:
        return stream  # no stream, a Windows console, or a replacement made by a test
    raw = _Outlet(stream.fileno())
    buffer: Any = raw if isinstance(below, io.FileIO) else io.BufferedWriter(raw)  # of python -u
    how: dict[str, Any] = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return io.TextIOWrapper(buffer, stream.encoding, PLAINLY, **how)


def say(text: object, *, err: bool = False) -> None:
    """Print a line for a person and flush it. (Output for programs goes through click, as UTF-8.)"""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def install() -> None:
    """Replace both standard streams by lasting ones."""
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
