"""Colours can be told apart: on white, in print, and with any colour vision."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ebayes_plugins.analyses._colours import NOISES, OTHERS, colour

#: Linear RGB to XYZ for the white point D65 (IEC 61966-2-1).
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
#: How linear RGB looks without one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1).
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
FOUR = [colour(rho) for rho in (1 / 2, 2 / 3, 4 / 3, 2.0)]


def linear(tones: list[object]) -> np.ndarray:
    rgb = np.array([to_rgb(tone) for tone in tones])  # type: ignore[arg-type]
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE 1976 L*, a*, b* of linear RGB (n, 3)."""
    share = light @ TO_XYZ.T / TO_XYZ.sum(1)
    x, y, z = np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def contrast(tones: list[object]) -> np.ndarray:
    """Contrast with white (WCAG 2)."""
    return np.asarray(1.05 / (linear(tones) @ TO_XYZ[1] + 0.05))


def nearest(tones: list[object], vision: str) -> float:
    """Smallest difference in Lab between two of the colours, as seen without one kind of cone."""
    seen = lab(np.clip(linear(tones) @ np.transpose(VISIONS[vision]), 0, 1))
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


def test_the_four_mechanisms_are_equally_light_and_dark_enough() -> None:
    light = lab(linear(FOUR))[:, 0]
    assert light.min() > 45 and np.ptp(light) < 8.5
    assert contrast(FOUR).min() >= 3


@pytest.mark.parametrize("vision", VISIONS)
def test_the_four_mechanisms_differ_with_any_colour_vision(vision: str) -> None:
    """2.3 is a difference that is just noticeable side by side."""
    assert nearest(FOUR, vision) > 20
    assert nearest([*FOUR, NOISES["homogeneous"], NOISES["none"]], vision) > 11


@pytest.mark.parametrize("vision", VISIONS)
def test_other_costs_differ_with_any_colour_vision(vision: str) -> None:
    assert nearest([*FOUR, *OTHERS], vision) > 11
    assert contrast(list(OTHERS)).min() >= 3


def test_every_exponent_can_be_seen_on_white() -> None:
    assert contrast([colour(rho) for rho in np.geomspace(0.05, 50, 200)]).min() >= 3


def test_colours_go_from_cold_to_warm_with_rho() -> None:
    """The hue turns one way, from violet by green to red."""
    _, a, b = lab(linear(FOUR)).T
    hue = np.degrees(np.arctan2(b, a)) % 360
    assert np.all(np.diff(hue) < -60)
    assert len({str(tone) for tone in (*FOUR, colour(0.5, "homogeneous"), colour(0.5, "none"))}) == 6
