"""Text files written by users, with any editor."""

from __future__ import annotations

import codecs
from pathlib import Path

from ebayes_core.errors import SpecError

MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  #: byte order mark with which editors on Windows start UTF-8 files
#: byte order marks of other encodings; the longer ones first, since one is the beginning of another
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip


def read(path: Path) -> str:
    """The text of a UTF-8 file, without byte order mark, with lines that end in a line feed.

    Raises SpecError with the encoding and line if it is in another encoding, and OSError.
    """
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return _decoded(content).removeprefix(MARK)
    except ValueError as error:
        raise SpecError([f"{path}: {error}; save it as UTF-8"]) from error


def _decoded(content: bytes) -> str:
    other = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if other:
        raise ValueError(f"is {other} text")
    if b"\0" in content:
        raise ValueError("contains zero bytes: it is UTF-16 without a byte order mark, or not a text file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ValueError(f"line {line} contains the byte 0x{byte:02x}, which is not valid UTF-8 there") from error
