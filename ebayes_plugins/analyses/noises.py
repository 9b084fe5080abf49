"""Noises: what kinds of noise make of a task at equal energy, and how many synapses they silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._common import copies, finished, mechanism, multiplier, settings
from ebayes_plugins.analyses._curves import scores
from ebayes_plugins.analyses._regression import over_seeds, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
LOSSES = ("nll_sample", "nll_ensemble")
MEASURED = ("score_sample", "score_ensemble", "score_mean", *LOSSES, "silent")  #: of each network
LEVELS = 3  #: energies at which noises are compared, unless they are given
APART = 1e-6  #: relative difference of energies that count as different


class Noises(Analysis):
    """Scores against the energy of a synapse for each kind of noise, compared at equal energy."""

    kind: Literal["noises"] = "noises"
    energies: tuple[float, ...] = Field(
        (),
        max_length=20,
        description="energies of a synapse, before the multiplier, at which the noises are compared; three over the "
        "range that all of them cover if omitted",
    )
    silent_below: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="a synapse is nearly silent if its |mu| is below this share of the RMS mean of its layer",
    )

    def measure(self, run: Run) -> Arrays:
        """One row per network with noise: its energy per synapse, its scores, and the share of silent synapses.

        Raises UserError if no kind of noise has networks of different energies.
        """
        members = [i for i in finished(run) if np.isfinite(run.metric("reliability_cost")[i])]
        energy = {i: energy_per_synapse(run, i) for i in members}
        members = [i for i in members if energy[i] > 0]
        specs = [run.member_spec(i) for i in members]
        arrays = {
            "energy": np.array([energy[i] for i in members]), "seed": run.seeds[members],
            "column": np.array([", ".join(mechanism(run, i, _priced(run))) for i in members]),
            "line": np.array(_names([spec["noise"] for spec in specs])),
            "setting": np.array([", ".join(settings(run, i, ("seed",))) for i in members]),
            **scores(run, members), **{name: _metric(run, name)[members] for name in LOSSES},
            "silent": np.array([self._silent(run, i) for i in members]),
            "balance": run.metric("balance")[members], "skipped": np.array([run.n_members - len(members)]),
        }  # fmt: skip
        if not any(len(curves) for column in columns(arrays) for curves in curves_of(arrays, column).values()):
            raise UserError(
                "no kind of noise has networks of different energies, between which noises could be compared: "
                'add  [sweep]  "cost.c" = { logspace = [-3, -1, 3] }  to the spec'
            )
        return arrays

    def _silent(self, run: Run, member: int) -> float:
        """Share of a network's synapses that are nearly silent."""
        layers = range(1, run.n_layers(member) + 1)
        squares = [run.layer(member, i, "mu").astype(float) ** 2 for i in layers]
        return float(np.concatenate([(s < self.silent_below**2 * s.mean()).ravel() for s in squares]).mean())

    def statistics(self, arrays: Arrays) -> Arrays:
        """At each energy: scores of each noise, and its gain over the first; 95% intervals over seeds (Student's t)."""
        score = str(arrays["score"][0])
        rows: list[dict[str, Any]] = []
        for column in columns(arrays):
            for energy in self.compared(arrays, column):
                found = at_energy(arrays, column, energy)
                first = next(iter(found))
                for line, mine in found.items():
                    row: dict[str, Any] = {"mechanism": column, "energy per synapse": energy, "noise": line}
                    row["seeds"] = int(np.isfinite(list(mine["score_sample"].values())).sum())
                    for name in MEASURED:
                        heading = name.replace("score", score).replace("_", " ").replace("silent", "silent share")
                        row |= dict(zip((heading, f"± {heading}"), over_seeds(_values(mine[name])), strict=True))
                    gain = over_seeds(paired(mine["score_sample"], found[first]["score_sample"]))
                    rows.append(row | dict(zip((f"{score} minus that of {first}", "± (paired)"), gain, strict=True)))
        return {name: np.array([row.get(name, np.nan) for row in rows]) for name in rows[0]} if rows else {}

    def headline(self, arrays: Arrays) -> str:
        """The score of sampled networks with each noise at the middle of the energies compared."""
        score = str(arrays["score"][0]).replace("rmse", "RMSE")
        parts = []
        for column in columns(arrays)[:3]:
            energies = self.compared(arrays, column)
            middle = float(energies[len(energies) // 2])
            found = {
                line: over_seeds(_values(mine["score_sample"]))
                for line, mine in at_energy(arrays, column, middle).items()
            }
            texts = [
                f"{value:.3f}{f' ± {half:.3f}' if np.isfinite(half) else ''} ({line})"
                for line, (value, half) in found.items() if np.isfinite(value)
            ]  # fmt: skip
            parts.append(f"at {middle:.3g} per synapse ({column}) {', '.join(texts) or 'no noise has been trained'}")
        return f"{score[0].upper()}{score[1:]} of sampled networks at equal energy: {'; '.join(parts)}."

    def compared(self, arrays: Arrays, column: str) -> np.ndarray:
        """The energies at which noises are compared under one mechanism: as given, or three over the common range.

        Without a range that all cover, three over that of the first noise; where another has none, it is NaN.
        """
        if self.energies:
            return np.array(self.energies)
        ranges = [
            (energy[0], energy[-1])
            for curves in curves_of(arrays, column).values()
            for energy in (arrays["energy"][rows] for rows in curves.values())
        ]
        if not ranges:
            return np.array([np.median(arrays["energy"][arrays["column"] == column])])
        low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
        return np.geomspace(*((low, high) if low < high else ranges[0]), LEVELS)

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """Six panels for each mechanism: scores in three ways, losses in two, and the share of silent synapses."""
        from ebayes_plugins.analyses import _noises_figure

        energies = {column: self.compared(arrays, column) for column in columns(arrays)}
        _noises_figure.draw(arrays, figure, energies, self.headline(arrays))


def energy_per_synapse(run: Run, member: int) -> float:
    """Energy of a network divided by its number of synapses, before the multiplier.

    Under a budget the file has it; else the reliability cost is divided by c.
    """
    count = (run.layer_metric("n_synapses") * copies(run))[member]
    if "energy" in run.layer_metrics and np.isfinite(known := run.layer_metric("energy")[member]).any():
        return float(np.nansum(known * count) / np.nansum(count))
    return float(run.metric("reliability_cost")[member] / multiplier(run.member_spec(member)) / np.nansum(count))


def columns(arrays: Arrays) -> list[str]:
    """The mechanisms, in the order of the spec. Energies under different mechanisms cannot be compared."""
    return list(dict.fromkeys(arrays["column"].tolist()))


def lines(arrays: Arrays, column: str) -> list[str]:
    """The noises under one mechanism, in the order of the spec."""
    return list(dict.fromkeys(arrays["line"][arrays["column"] == column].tolist()))


def curves_of(arrays: Arrays, column: str) -> dict[str, dict[int, np.ndarray]]:
    """Per noise and seed the rows of its networks in the order of their energies, where there are at least two."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for line in lines(arrays, column):
        mine = np.flatnonzero((arrays["column"] == column) & (arrays["line"] == line))
        rows = {int(seed): mine[arrays["seed"][mine] == seed] for seed in np.unique(arrays["seed"][mine])}
        ordered = {seed: some[np.argsort(arrays["energy"][some])] for seed, some in rows.items()}
        found[line] = {s: r for s, r in ordered.items() if np.ptp(np.log(arrays["energy"][r])) > APART}
    return found


def at_energy(arrays: Arrays, column: str, energy: float) -> dict[str, dict[str, dict[int, float]]]:
    """Per noise, number and seed: its value at an energy, straight between networks over log energy.

    NaN beyond the energies of the networks with that noise and seed, since nothing is extrapolated.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for line, curves in curves_of(arrays, column).items():
        found[line] = {
            name: {seed: _between(arrays["energy"][rows], arrays[name][rows], energy) for seed, rows in curves.items()}
            for name in MEASURED
        }
    return found


def _between(x: np.ndarray, y: np.ndarray, at: float) -> float:
    inside = x[0] * (1 - APART) <= at <= x[-1] * (1 + APART)
    return float(np.interp(np.log(at), np.log(x), y)) if inside else np.nan


def _values(by_seed: dict[int, float]) -> np.ndarray:
    return np.array(list(by_seed.values()), dtype=float)


def _metric(run: Run, name: str) -> np.ndarray:
    return run.metric(name) if name in run.metrics else np.full(run.n_members, np.nan)


def _priced(run: Run) -> tuple[str, ...]:
    """Swept fields that do not belong to the mechanism: those of noise and training, and an amount of energy."""
    others = ("noise.", "training.", "optimizer.")
    return ("noise", "training", "optimizer", "inference.energy", *(n for n in run.swept if n.startswith(others)))


def _names(noises: list[dict[str, Any]]) -> list[str]:
    """Kinds of noise, each with the fields in which networks of the same kind differ."""
    names = []
    for noise in noises:
        same = [other for other in noises if other["kind"] == noise["kind"]]
        differ = [f"{name} = {value}" for name, value in noise.items() if any(o.get(name) != value for o in same)]
        names.append(", ".join([noise["kind"], *differ]))
    return names
