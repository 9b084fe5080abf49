"""The relation of sigma^2 and the curvature of the loss over the synapses of the networks."""

from __future__ import annotations

import numpy as np

from ebayes_core.report.ranks import spearman
from ebayes_core.results.reader import Run
from ebayes_core.wording import span

CURVATURE = "gauss_newton_noise"
#: largest numbers of networks and synapses to use: they determine a rank correlation to about 0.01
LOOKED_AT, SYNAPSES = 20, 20_000
WEAK = 0.1  #: a smaller rank correlation counts as none


def sentence(run: Run, members: np.ndarray) -> str:
    """Whether synapses of higher curvature have smaller sigma, with the range of the rank correlations.

    members: indices of the networks to use. Empty if sigma does not vary in any of them.
    """
    looked = members[np.unique(np.linspace(0, len(members) - 1, LOOKED_AT).round().astype(int))] if len(members) else []
    ranks = np.array([rank(run, int(member)) for member in looked])
    ranks = ranks[np.isfinite(ranks)]
    if not len(ranks):
        return ""
    sampled = " sampled" if len(members) > len(looked) else ""
    found = trend("sigma^2", "the curvature of the loss", ranks, "network", sampled)
    return f"{found}: rank correlation {span(ranks)} over the synapses."


def trend(what: str, against: str, ranks: np.ndarray, noun: str, of: str = "") -> str:
    """A sentence such as `sigma^2 falls strongly with the curvature in all 7 networks` from rank correlations (n,).

    How strongly is said only where it is true of all whose sign is that of the median.
    """
    middle, n = float(np.median(ranks)), len(ranks)
    every = f"the one {noun}" if n == 1 else f"both {noun}s" if n == 2 else f"all {n} {noun}s"
    if abs(middle) < WEAK:
        return f"{what} is hardly correlated with {against} in {every}{of}"
    alike = np.abs(ranks[np.sign(ranks) == np.sign(middle)])
    strengths = {"strongly " if r >= 0.7 else "moderately " if r >= 0.4 else "weakly " for r in alike.tolist()}
    how = strengths.pop() if len(strengths) == 1 else ""
    share = every if len(alike) == n else f"{len(alike)} of {n} {noun}s"
    return f"{what} {'falls' if middle < 0 else 'rises'} {how}with {against} in {share}{of}"


def rank(run: Run, member: int) -> float:
    """Rank correlation of sigma^2 and the noise-averaged Gauss-Newton diagonal over the synapses that are not flat.

    Computed from at most SYNAPSES of them, drawn at random; NaN if sigma does not vary.
    """
    if CURVATURE not in run.layer_names(member):
        return float("nan")
    layers = range(1, run.n_layers(member) + 1)
    sigma, h = (np.concatenate([run.layer(member, n, name).ravel() for n in layers]) for name in ("sigma", CURVATURE))
    curved = np.flatnonzero((h > 0) & np.isfinite(h) & (sigma > 0))
    if len(curved) > SYNAPSES:
        curved = np.random.default_rng(0).choice(curved, SYNAPSES, replace=False)
    sigma, h = sigma[curved], h[curved]
    if len(curved) < 3 or np.ptp(sigma) == 0 or np.ptp(h) == 0:
        return float("nan")
    return spearman(sigma, h)
