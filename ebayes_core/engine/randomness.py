"""Random numbers determined by a seed and a purpose, so that a network does not depend on its cohort."""

from __future__ import annotations

import numpy as np
import torch


def generator(seed: int, *purpose: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator determined by a seed and a purpose, never by a network's position in a cohort."""
    mixed = np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))


INIT, NOISE, ORDER, MEASURE, CHOICE, ROOTS, STAGES, SHUFFLE = range(8)  #: the purposes
