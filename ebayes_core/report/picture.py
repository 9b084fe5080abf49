"""A figure in the project's style, which a notebook shows without further commands."""

from __future__ import annotations

import io
from importlib.resources import files

from matplotlib import rcParams, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ebayes_core.report.canvas import fit

STYLE = str(files("ebayes_core.report") / "ebayes.mplstyle")


class Picture(Figure):
    """An empty figure."""

    def __init__(self) -> None:
        super().__init__()
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        with style.context(STYLE), io.BytesIO() as file:
            self.savefig(file, format="png", dpi=fit(self, rcParams["savefig.dpi"]))
            return file.getvalue()
