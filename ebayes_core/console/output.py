"""Where a command prints: an output that nobody reads any longer, or that cannot show a character, ends nothing."""

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

PLAINLY = "ebayes.plain"  #: how it is asked of a codec, as `errors`
#: what stands for a character in an encoding that lacks it, where no letter is left when its mark is taken off
PLAIN = {
    "\N{PLUS-MINUS SIGN}": "+/-", "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"', "\N{BOX DRAWINGS HEAVY HORIZONTAL}": "-",
    "\N{BOX DRAWINGS HEAVY LEFT}": "-", "\N{BOX DRAWINGS HEAVY RIGHT}": "-", "\N{BULLET}": "*",
    "\N{LATIN SMALL LETTER O WITH STROKE}": "o", "\N{LATIN SMALL LETTER SHARP S}": "ss",
}  # fmt: skip


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The nearest that the encoding has: +/- for the sign, e for an accented one, else a question mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    # where Python could not read a file's name it kept the bytes, which are mostly UTF-8 all the same
    known = lacking.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(map(_nearest, known)), error.end


def _nearest(character: str) -> str:
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return PLAIN.get(character) or letters or "?"


codecs.register_error(PLAINLY, _plain)


def shown(text: str, encoding: str) -> str:
    """A text as an output of this encoding shows it."""
    return text.encode(encoding, PLAINLY).decode(encoding)


class _Outlet(io.FileIO):
    """A descriptor that may lose its reader: a pipe that closes, a terminal that hangs up."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.gone = {errno.EPIPE, errno.EIO} if os.isatty(descriptor) else {errno.EPIPE}

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or, where there is no reader any longer, into nothing from now on."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self.gone:
                raise
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self.fileno())
            return memoryview(data).nbytes


def lasting(stream: TextIO | None) -> TextIO | None:
    """A stream in place of a standard one, which nobody's leaving and no character ends."""
    below = getattr(stream, "buffer", None)
    if not isinstance(stream, io.TextIOWrapper) or type(getattr(below, "raw", below)) is not io.FileIO:
        return stream  # none, a console of Windows, or what a test put there
    raw = _Outlet(stream.fileno())
    buffer: Any = raw if isinstance(below, io.FileIO) else io.BufferedWriter(raw)  # of python -u
    how: dict[str, Any] = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return io.TextIOWrapper(buffer, stream.encoding, PLAINLY, **how)


def say(text: object, *, err: bool = False) -> None:
    """A line for a person, at once, in what the output can show; what a program reads goes through click as UTF-8."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def install() -> None:
    """Let both standard streams last."""
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
