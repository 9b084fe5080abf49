"""Words around the panels: the finding above them, and below them how to read them."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np

from ebayes_core.report.canvas import LARGEST
from ebayes_plugins.analyses._layout import legend, short

COLUMN, WIDTH = 3.4, 7.1  #: a printed column and page (inches); figures of these widths are printed without shrinking
TITLE, NOTES = 9.0, 7.0  #: points
MOST = 360  #: letters of a title
LETTERS = 122  #: letters per inch of a text of one point; of 7 points, 17
SYMBOLS = {"^-rho": "$^{-ρ}$", "sigma": "σ", "rho": "ρ", "^2": "²", "|mu|": "|μ|", "log10": "log$_{10}$"}


def page(figure: Any, rows: int, columns: int, each: float = 1.8, room: float = 1.2) -> np.ndarray:
    """Axes (rows, columns) over a printed column for one panel beside another, over a page for more than two.

    each: height of a row; room: for the words above and below (inches).
    """
    wide = {1: COLUMN, 2: 0.75 * WIDTH}.get(columns, WIDTH)
    figure.set_size_inches(wide, min(each * rows + room, LARGEST[1]))
    return np.asarray(figure.subplots(rows, columns, squeeze=False))


def typeset(text: str) -> str:
    """A sentence for the terminal as a figure prints it: with Greek letters and exponents."""
    for plain, printed in SYMBOLS.items():
        text = text.replace(plain, printed)
    return text


def titled(figure: Any, finding: str, *notes: str) -> None:
    """The finding above the panels, and below them what they show; both wrapped at the figure's width."""
    if finding:
        said = _begun(typeset(short(finding, MOST)))
        figure.suptitle(lines(figure, said, TITLE), fontsize=TITLE)
    if text := remarks(figure, *notes):
        figure.supxlabel(text, x=0.01, ha="left", fontsize=NOTES, color="0.25")


def remarks(figure: Any, *notes: str) -> str:
    """Notes as one paragraph, for below the panels; empty ones are left out."""
    said = (typeset(note) for note in notes if note)
    return lines(figure, " ".join(_begun(note) + "." * (note[-1] not in ".:") for note in said), NOTES)


def _begun(text: str) -> str:
    """A sentence that begins with a capital, or with a symbol as it is."""
    return text[0].upper() + text[1:] if text[0].isascii() else text


def lines(figure: Any, text: str, size: float) -> str:
    """A text of this size in as many lines as the width of the figure asks for."""
    return "\n".join(wrap(text, int(LETTERS / size * figure.get_figwidth())))


def key(figure: Any, handles: list[Any], *notes: str, ncols: int, **look: Any) -> None:
    """The legend below the panels, in at most `ncols` columns, and the notes above its entries."""
    text = {"title": remarks(figure, *notes), "title_fontproperties": {"size": NOTES}, "alignment": "left"}
    most = _columns(figure, [len(short(str(handle.get_label()))) for handle in handles], ncols)
    legend(figure, handles, loc="outside lower center", fontsize=NOTES, ncols=most, **text, **look)


def _columns(figure: Any, lengths: list[int], most: int) -> int:
    """As many columns of entries as the figure is wide enough for; an entry's line takes the room of seven letters.

    Entries are divided as matplotlib does: the first columns have one more if they do not come out even.
    """
    for columns in range(min(most, len(lengths)), 1, -1):
        widths = [int(part.max()) + 7 for part in np.array_split(np.array(lengths), columns)]
        if sum(widths) <= LETTERS / NOTES * figure.get_figwidth():
            return columns
    return 1


def small(figure: Any, size: float = NOTES) -> None:
    """Letters of many panels at this size (points), of numbers and entries at half a point less."""
    for ax in figure.axes:
        ax.tick_params(labelsize=size - 0.5)
        for text in (ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title):
            text.set_fontsize(size)


def count(number: int, noun: str) -> str:
    """A number with its noun, as in `1 seed`, `10,100 synapses`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def counts(values: Any, noun: str) -> str:
    """The range of some numbers with their noun, as in `9,760 to 10,100 synapses`."""
    low, high = int(min(values)), int(max(values))
    return count(low, noun) if low == high else f"{low:,} to {high:,} {noun}s"
