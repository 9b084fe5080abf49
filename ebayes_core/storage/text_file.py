"""Text files that people hand over, whichever editor saved them."""

from __future__ import annotations

import codecs
from pathlib import Path

from ebayes_core.errors import SpecError

MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  #: Windows's editors begin UTF-8 with it; it is no part of the text
#: how the other encodings begin; the longer first, since one mark begins another
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip


def read(path: Path) -> str:
    """The text of a file in UTF-8, without a mark, each line ended by a line feed alone.

    Raises SpecError where it is in another encoding, saying which and in what line, and OSError.
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
        raise ValueError("holds bytes that are zero: it is UTF-16 text without a mark, or no text at all")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ValueError(f"line {line} holds the byte 0x{byte:02x}, which is no UTF-8 there") from error
