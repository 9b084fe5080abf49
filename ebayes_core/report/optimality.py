"""Whether the networks of a file are at their optimum, in sentences: what the convergence report means."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ebayes_core.results.reader import Run
from ebayes_core.wording import networks, span

#: A balance this close to 1, a sigma that moved this little: taken as the optimum.
BALANCED, STILL = 0.1, 0.05
#: Within this share of its largest value, sigma counts as one number for the whole network.
ONE_SIGMA = 1e-5
NAMED = 3  #: networks that ended early and are named; of more, these are the first


@dataclass(frozen=True)
class Verdict:
    """Which members are where: arrays (member,) of booleans, and what they were read from."""

    ended: np.ndarray  #: before the end of training, frozen
    noisy: np.ndarray  #: finished, with noise that has a balance
    done: np.ndarray  #: at the optimal sigma
    below: np.ndarray  #: noisy and not done, B below 1
    above: np.ndarray
    unsure: np.ndarray  #: B has a large standard error
    moving: np.ndarray  #: sigma is not still
    stuck: np.ndarray  #: most sigmas are where they started
    balances: np.ndarray  #: (member, layer), those that have to be 1; NaN elsewhere
    flat: np.ndarray  #: synapses without curvature


def judged(run: Run) -> Verdict:
    """Look at the balance, motion and spread of all members."""
    ended = np.array([status != "done" for status in run.status])
    balance, error, motion, stuck = (
        np.where(ended, np.nan, run.metric(name))
        for name in ("balance", "balance_error", "sigma_motion", "stuck_fraction")
    )
    noisy, by_layer = np.isfinite(balance), _balances(run, ended)
    logs = np.abs(np.log(np.clip(by_layer, 1e-12, None)))
    done = noisy & (np.max(logs, axis=1, initial=0.0, where=np.isfinite(logs)) < math.log1p(BALANCED))
    return Verdict(
        ended=ended, noisy=noisy, done=done, below=noisy & ~done & (balance < 1), above=noisy & ~done & (balance >= 1),
        unsure=noisy & (error > BALANCED), moving=np.abs(motion) > STILL, stuck=stuck > 0.5, balances=by_layer,
        flat=np.nansum(run.layer_metric("flat_synapses"), axis=1),
    )  # fmt: skip


def _balances(run: Run, ended: np.ndarray) -> np.ndarray:
    """The balance of each layer; where one sigma serves the whole network, only the sum over layers has to balance."""
    found = run.layer_metric("balance").copy()
    found[ended] = np.nan
    for i, total in enumerate(run.metric("balance")):
        if np.isfinite(found[i]).any() and _one_sigma(run, i):
            found[i] = total
    return found


def _one_sigma(run: Run, member: int) -> bool:
    """Whether one number is the sigma of the whole network."""
    low, high = math.inf, -math.inf
    for layer in range(1, run.n_layers(member) + 1):
        sigma = run.layer(member, layer, "sigma")
        low, high = min(low, sigma.min()), max(high, sigma.max())
        if high - low > ONE_SIGMA * high:
            return False
    return True


def verdicts(run: Run, found: Verdict | None = None) -> list[str]:
    """What the report means, a sentence for each thing to know."""
    v = found or judged(run)
    near, last, moment = f"{BALANCED:.0%}", "in the last tenth of training", "a moment of training and not the optimum"
    sentences = (
        (v.done, f"{{}} of {v.noisy.sum()} noisy networks are at their optimal sigma (each B within {near} of 1)"),
        (v.below, f"{{}} have B below 1: cost still drives sigma up, {moment}; train longer"),
        (v.above, f"{{}} have B above 1: the loss now drives sigma down, {moment}"),
        (v.unsure, f"in {{}} the standard error of B is over {near}: B is not known so well"),
        (v.moving, f"in {{}} sigma is still moving: by over {STILL:.0%} {last}"),
        (v.stuck, "in {} most sigmas hardly left their start: train longer, or raise learning_rate_phi or sigma_0"),
    )
    said = [w.format(n.sum()) for n, w in sentences if n.any() or (n is v.done and v.noisy.any())]
    if v.flat.any():
        said.append(
            f"up to {v.flat.max():.0f} synapses of a network have no curvature, hence no finite optimal sigma; "
            "log-log fits leave them out"
        )
    return [*_frozen(run, v), *said]


def _frozen(run: Run, v: Verdict) -> list[str]:
    """The members that ended early: all of a few, the first of many."""
    members, status = np.flatnonzero(v.ended).tolist(), run.status
    said = [f"member {i} {status[i]}; it is frozen there" for i in members[:NAMED]]
    more = len(members) - len(said)
    return [*said, f"and {networks(more)} more that ended early; --all names them"] if more > 0 else said


def optimum(run: Run, found: Verdict | None = None) -> str:
    """Whether these networks are at their optimum, and what to do about it, in a sentence or two."""
    v = found or judged(run)
    noisy, done = int(v.noisy.sum()), int(v.done.sum())
    lost = f" {networks(int(v.ended.sum()))} diverged and count no further." if v.ended.any() else ""
    if not noisy:
        return f"No network that ended well has noise, so there is no sigma that could be optimal.{lost}"
    if done == noisy:
        which = "The noisy network is at its" if noisy == 1 else f"All {noisy} noisy networks are at their"
        return f"{which} optimal sigma: B, the balance of the cost and the loss, is within {BALANCED:.0%} of 1.{lost}"
    which = "The noisy network is not at its" if noisy == 1 else f"{done or 'None'} of {noisy} noisy networks "
    which += "" if noisy == 1 else "is at its" if done < 2 else "are at their"
    return f"{which} optimal sigma: B, which is 1 there, is {span(v.balances.ravel())}.{lost} {_advice(run, v)}"


def _advice(run: Run, v: Verdict) -> str:
    """What brings those that are not there to the optimum."""
    of = {"the cost still drives sigma up": v.below.sum(), "the loss drives it down": v.above.sum()}
    drives = [f"in {'each' if n == v.noisy.sum() else n} {what}" for what, n in of.items() if n]
    (member,) = np.flatnonzero(v.noisy & ~v.done)[:1].tolist()
    training = run.member_spec(member)["training"]
    how = f"train longer (training.epochs\N{NO-BREAK SPACE}is\N{NO-BREAK SPACE}{training['epochs']})"
    if training["sigma"] == "descent":
        how = f"{how}, or solve for sigma (--set\N{NO-BREAK SPACE}training.sigma=fixed_point)"
    return f"So they show a moment of training: {', '.join(drives)}; {how}."
