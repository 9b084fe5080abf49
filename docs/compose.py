"""The gallery picture of the README, composed of panels of the figures in docs/figures: `python docs/compose.py`."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.image import imread
from PIL import Image

from ebayes_core.report.figures import house_figure

FIGURES = Path(__file__).parent / "figures"
#: figure; left, top, right, bottom of the panel, as shares of its width and height; what it shows
PANELS = [
    ("fig1", (0, 0.165, 0.212, 0.485), "Reliability has a price:\nenergy against sigma (mV), calcium"),
    ("fig5_optimum", (0.0, 0.09, 0.2255, 0.34), "Important synapses are reliable:\nvariance against curvature"),
    ("fig3_published", (0, 0.682, 0.292, 0.957), "At equal energy, a sigma each (violet)\nis better than one for all"),
    ("fig4_paper", (0.448, 0.077, 0.612, 0.19), "Noise goes where it does no harm:\ntwo synapses, one steep"),
    ("fig7_optimum", (0, 0.602, 0.474, 0.846), "Optimal noise follows\na Bayesian posterior"),
    ("fig6", (0.505, 0.135, 1, 0.49), "Synapses measured in cortex:\nthe same trend"),
]


def panel(name: str, left: float, top: float, right: float, bottom: float):
    """A part of a figure."""
    picture = imread(FIGURES / f"{name}.png")[..., :3]
    down, across = picture.shape[:2]
    return picture[round(top * down) : round(bottom * down), round(left * across) : round(right * across)]


def main() -> None:
    """Write docs/figures/gallery.png."""
    with house_figure() as figure, io.BytesIO() as file:
        figure.set_size_inches(12, 8)
        figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
        for ax, (name, box, words) in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
            ax.imshow(panel(name, *box), interpolation="antialiased")
            ax.set_title(words, fontsize=13, loc="left")
            ax.set_axis_off()
            ax.set_anchor("N")
        figure.savefig(file, dpi=130)
        page = Image.open(file).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        page.save(FIGURES / "gallery.png", optimize=True)


if __name__ == "__main__":
    main()
