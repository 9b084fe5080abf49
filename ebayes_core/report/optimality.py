"""Whether the networks of a results file are at their optimum, in sentences, and what to do if they are not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebayes_core.results.abridged import one_sigma
from ebayes_core.results.reader import Run
from ebayes_core.wording import networks, span

#: Tolerances: a network whose balance is this close to 1 is at the optimum; sigma that changed less is constant.
BALANCED, STILL = 0.1, 0.05
MET = 0.02  #: a budget that is met this closely, relative to it, counts as met
NAMED = 3  #: diverged networks that are named; of more, only the first


@dataclass(frozen=True)
class Verdict:
    """The state of each network: arrays (member,) of booleans, and the numbers they are derived from."""

    ended: np.ndarray  #: diverged, so training stopped early
    noisy: np.ndarray  #: finished, and with a balance, hence with noise
    done: np.ndarray  #: at the optimal sigma: every balance is close to 1
    below: np.ndarray  #: noisy and not done, B below 1
    above: np.ndarray  #: noisy and not done, B above 1
    unsure: np.ndarray  #: B has a large standard error
    moving: np.ndarray  #: sigma still changes
    stuck: np.ndarray  #: most sigmas are close to their initial value
    balances: np.ndarray  #: (member, layer), those that are 1 at the optimum; NaN elsewhere
    flat: np.ndarray  #: number of flat synapses
    unmet: np.ndarray  #: a budget is not met
    unequal: np.ndarray  #: layers that share a budget do not pay equally at the margin


def judged(run: Run) -> Verdict:
    """Judge all networks by their balance, its standard error, and the motion of sigma."""
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
        unmet=~ended & (np.abs(_budget(run, "budget_excess")) > MET), unequal=~ended & _shares(run)
        & ((_budget(run, "margin") > 1 + BALANCED) | (_budget(run, "margin") < 1)),
    )  # fmt: skip


def _budget(run: Run, name: str) -> np.ndarray:
    """A number of networks that have budgets; NaN for others."""
    return run.metric(name) if name in run.metrics else np.full(run.n_members, np.nan)


def _shares(run: Run) -> np.ndarray:
    """Whether all layers of a network share a budget that they can divide: with a single sigma they cannot."""
    per = [run.member_spec(i)["inference"].get("per") for i in range(run.n_members)]
    return np.array([unit == "network" and not one_sigma(run, i) for i, unit in enumerate(per)])


def _balances(run: Run, ended: np.ndarray) -> np.ndarray:
    """The balance of each layer; with a single sigma for the whole network, that of the network in every layer."""
    found = run.layer_metric("balance").copy()
    found[ended] = np.nan
    for i, total in enumerate(run.metric("balance")):
        if np.isfinite(found[i]).any() and one_sigma(run, i):
            found[i] = total
    return found


def verdicts(run: Run, found: Verdict | None = None) -> list[str]:
    """What the convergence report means, in sentences; the last one says what to do next."""
    v = found or judged(run)
    near, last = f"{BALANCED:.0%}", "in the last tenth of training"
    sentences = (
        (v.done, f"{{}} of {v.noisy.sum()} noisy networks are at their optimal sigma (each B within {near} of 1)"),
        (v.below, "in {}, B is below 1: the energy still drives sigma up, and training ended before the optimum"),
        (v.above, "in {}, B is above 1: sigma is larger than optimal, and the loss drives it down"),
        (v.unsure, f"in {{}}, the standard error of B is over {near}: B is too uncertain to tell"),
        (v.moving, f"in {{}}, sigma still changed by over {STILL:.0%} {last}"),
        (v.unmet, f"in {{}}, a budget is missed by over {MET:.0%}"),
        (v.unequal, "in {}, layers do not pay equally at the margin: a unit of energy saves more loss in some"),
        (v.stuck, "in {}, most sigmas are still near their initial value; raise learning_rate_phi or sigma_0"),
    )
    said = [w.format(n.sum()) for n, w in sentences if n.any() or (n is v.done and v.noisy.any())]
    if v.flat.any():
        said.append(
            f"up to {v.flat.max():.0f} synapses of a network are flat and have no finite optimal sigma; "
            "log-log fits leave them out"
        )
    return [*_diverged(run, v), *said, next_step(run, v)]


def _diverged(run: Run, v: Verdict) -> list[str]:
    """The networks that diverged: all of a few, or the first of many."""
    members, status = np.flatnonzero(v.ended).tolist(), run.status
    said = [f"network {i} {status[i]}; its values are those from then" for i in members[:NAMED]]
    more = len(members) - len(said)
    return [*said, f"{networks(more)} more diverged (see their status with --all)"] if more > 0 else said


def optimum(run: Run, found: Verdict | None = None) -> str:
    """Whether the networks are at their optimum, and what to do if not, in a sentence or two."""
    v = found or judged(run)
    noisy, done = int(v.noisy.sum()), int(v.done.sum())
    diverged = int(v.ended.sum())
    lost = f" {networks(diverged)} diverged and {'is' if diverged == 1 else 'are'} not included." if diverged else ""
    if not noisy:
        return f"No network has noise and finished training, so no sigma could be at its optimum.{lost}"
    if done == noisy:
        which = "The noisy network is at its" if noisy == 1 else f"All {noisy} noisy networks are at their"
        return f"{which} optimal sigma: the balance B of noise and energy is within {BALANCED:.0%} of 1.{lost}"
    which = "The noisy network is not at its" if noisy == 1 else f"{done or 'None'} of {noisy} noisy networks "
    which += "" if noisy == 1 else "is at its" if done < 2 else "are at their"
    return f"{which} optimal sigma: B, which is 1 there, is {span(v.balances.ravel())}.{lost} {_advice(run, v)}"


def _advice(run: Run, v: Verdict) -> str:
    """How to bring the networks that are not at the optimum there."""
    of = {"the energy still drives sigma up": v.below.sum(), "the loss drives it down": v.above.sum()}
    drives = [f"in {'each' if n == v.noisy.sum() else n} {what}" for what, n in of.items() if n]
    training = _trained(run, v.noisy & ~v.done)
    how = f"train longer (training.epochs\N{NO-BREAK SPACE}is\N{NO-BREAK SPACE}{training['epochs']})"
    if training["sigma"] == "descent":
        how = f"{how}, or solve for sigma (--set\N{NO-BREAK SPACE}training.sigma=fixed_point)"
    return f"Training ended before sigma reached its optimum: {', '.join(drives)}; {how}."


def _trained(run: Run, chosen: np.ndarray) -> dict[str, Any]:
    """The table `training` of the first chosen network."""
    training: dict[str, Any] = run.member_spec(int(np.flatnonzero(chosen)[0]))["training"]
    return training


def next_step(run: Run, v: Verdict) -> str:
    """What to do next: the options that bring the networks closer to the optimum, or that nothing is to be done."""
    early = (v.noisy & ~v.done) | v.moving | v.unmet
    steps = [*(_longer(run, early) if early.any() else ()), *(_more_passes(run, v) if v.unsure.any() else ())]
    if v.ended.any():
        steps.append(
            "so that no network diverges: lower optimizer.learning_rate, or change the term that is named above"
        )
    if steps:
        return "\n".join(["what to do next:", *steps])
    return "what to do next: nothing, " + ("sigma is at its optimum" if v.noisy.any() else "no network has noise")


def _longer(run: Run, early: np.ndarray) -> Iterator[str]:
    """Twice the epochs; or the method that gets closer to the optimum in the same time."""
    training = _trained(run, early)
    yield f"to train longer:\n{_option(run, 'training.epochs', 2 * training['epochs'])}"
    if training["sigma"] == "descent":
        yield f"or, to solve for sigma:\n{_option(run, 'training.sigma', 'fixed_point')}"
    elif training["schedule"] == "constant" and training.get("means") != "held":
        yield f"or, to let the learning rate fall to zero:\n{_option(run, 'training.schedule', 'cosine')}"


def _more_passes(run: Run, v: Verdict) -> Iterator[str]:
    """As many passes as bring the standard error of B below its limit: it falls with their square root."""
    error = float(np.max(run.metric("balance_error")[v.unsure]))
    passes = run.member_spec(int(np.flatnonzero(v.unsure)[0]))["measurement"]["balance_passes"]
    if math.isfinite(error):
        needed = min(math.ceil(passes * (error / BALANCED) ** 2), 100_000)
        yield f"to measure B more precisely:\n{_option(run, 'measurement.balance_passes', needed)}"


def _option(run: Run, name: str, value: object) -> str:
    """How to set a field for the next run: with an option, or in the sweep if that sets it."""
    if any(name == field or name.startswith(f"{field}.") for field in run.swept):
        return f"change {name} in [sweep]"
    return f"ebayes run SPEC --out NEW.h5 --set\N{NO-BREAK SPACE}{name}={value}"
