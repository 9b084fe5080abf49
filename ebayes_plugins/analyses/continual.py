"""Tasks in a row: what networks remember of each, and what learning has cost them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ebayes_core.contract.slots import Analysis
from ebayes_core.errors import UserError
from ebayes_plugins.analyses._common import finished, settings
from ebayes_plugins.analyses._regression import over_seeds, paired
from ebayes_plugins.analyses._titles import count, counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ebayes_core.results.reader import Run

Arrays = dict[str, np.ndarray]
STAGE = "accuracy_test_stage_{}"
#: what says most of an arm, in words: kinds of optimizer and inference that are more than the usual ones
WORDS = {
    "natural": "steps by sigma^2", "natural_shuffled": "sigma^2 shuffled", "release_gated": "gated by release",
    "elastic_weight_consolidation": "elastic weights", "variational_continual": "variational",
    "energy_efficient": "energy", "variational_bayes": "Bayes",
}  # fmt: skip
PAIR = ("steps by sigma^2", "sigma^2 shuffled")  #: an arm and its control
MEASURED = ("accuracy", "forgetting", "travelled", "moved", "reliability", "magnitude")


class Continual(Analysis):
    """Accuracy on all tasks after the last, what is forgotten of earlier ones, and the energy of learning."""

    kind: Literal["continual"] = "continual"

    def measure(self, run: Run) -> Arrays:
        """One row per network: its arm, its numbers at the end, and its accuracy on each task (network, task, epoch).

        The number of tasks is in the name of an arm if it differs. Raises UserError if training had no stages, or if no
        network that finished it saw tasks in a row.
        """
        tasks = sum(name.startswith(STAGE.format("")) for name in run.curves)
        if tasks < 2:
            raise UserError(
                "these networks had no tasks in a row: choose a data set with stages, as  dataset.kind = permuted"
            )
        members = [i for i in finished(run) if np.isfinite(run.curve(STAGE.format(2))[i]).any()]
        by_task = np.stack([run.curve(STAGE.format(k + 1))[members] for k in range(tasks)], 1)
        names = arms(run, members, how_many(by_task))
        if all(name.startswith(TOGETHER) for name in names):
            raise UserError(
                "no network that finished training saw its tasks in a row: set  training.stages = in_turn  for some"
            )
        return {
            "arm": np.array(names), "seed": run.seeds[members], "by_task": by_task,
            "accuracy": np.nanmean(last(by_task), 1), "forgetting": forgetting(by_task),
            "travelled": last(run.curve("mu_travelled")[members]), "moved": last(run.curve("mu_moved")[members]),
            "reliability": run.metric("reliability_cost")[members],
            "magnitude": np.array([_size(run, i) for i in members]),
        }  # fmt: skip

    def statistics(self, arrays: Arrays) -> Arrays:
        """Means of each arm with 95% intervals over seeds (Student's t); its gain over the first arm, by seed."""
        names, rows = names_of(arrays), []
        for name in names:
            mine = arrays["arm"] == name
            row: dict[str, Any] = {"arm": name, "seeds": len(set(arrays["seed"][mine].tolist()))}
            for number in MEASURED:
                row |= dict(zip((number, f"± {number}"), over_seeds(arrays[number][mine]), strict=True))
            more = over_seeds(gain(arrays, name, names[0]))
            rows.append(row | dict(zip((f"accuracy minus that of {names[0]}", "± (paired)"), more, strict=True)))
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}

    def headline(self, arrays: Arrays) -> str:
        """Which arm that sees tasks in a row remembers most, and what the place of sigma does."""
        means = {name: arrays["accuracy"][arrays["arm"] == name].mean() for name in names_of(arrays)}
        in_turn = {name: value for name, value in means.items() if not name.startswith(TOGETHER)}
        best, first = max(in_turn, key=in_turn.__getitem__), next(iter(in_turn))
        tasks = counts(how_many(arrays["by_task"]), "task")
        said = f"After {tasks} in a row, '{best}' is right in {means[best]:.1%} of all tasks' test examples"
        said += f", '{first}' in {means[first]:.1%}" if first != best else ""
        return f"{said}{_place(arrays)}."

    def draw(self, arrays: Arrays, figure: Figure) -> None:
        """A row for each arm; accuracy, forgetting and the energy of learning, with dots for networks."""
        from ebayes_plugins.analyses._continual_figure import draw

        draw(arrays, figure, names_of(arrays), self.headline(arrays))


TOGETHER = "all tasks at once"


def forgetting(by_task: np.ndarray) -> np.ndarray:
    """The best accuracy of all epochs minus the last, averaged over all tasks but a network's last; (network,)."""
    lost = np.fmax.reduce(by_task[..., 1:], -1) - last(by_task)
    return np.asarray(lost.mean(1, where=np.arange(lost.shape[1]) < how_many(by_task)[:, None] - 1))


def how_many(by_task: np.ndarray) -> np.ndarray:
    """The number of tasks of each network; those that it had not got are NaN."""
    return np.asarray(np.isfinite(by_task).any(-1).sum(1))


def last(curves: np.ndarray) -> np.ndarray:
    """The last values along epochs; networks of fewer epochs than others have NaN after them."""
    at = np.isfinite(curves).cumsum(-1).argmax(-1)
    return np.asarray(np.take_along_axis(curves, at[..., None], -1)[..., 0])


def names_of(arrays: Arrays) -> list[str]:
    """The arms in the order of the spec."""
    return list(dict.fromkeys(arrays["arm"].tolist()))


def gain(arrays: Arrays, one: str, other: str) -> np.ndarray:
    """Accuracy of one arm minus that of another, for each seed that both have."""
    ours, theirs = (
        dict(zip(arrays["seed"][mine].tolist(), arrays["accuracy"][mine].tolist(), strict=True))
        for mine in (arrays["arm"] == one, arrays["arm"] == other)
    )
    return paired(ours, theirs)


def _place(arrays: Arrays) -> str:
    """What it gains that the precise synapses are those which move little, beside the same sigmas shuffled."""
    if not set(PAIR) <= set(names_of(arrays)):
        return ""
    more, half = (100 * number for number in over_seeds(gain(arrays, *PAIR)))
    points = f"{more:+.1f} ± {half:.1f} points" if np.isfinite(half) else f"{more:+.1f} points"
    return f"; steps by sigma^2 gain {points} over the same with sigma^2 shuffled"


def arms(run: Run, members: list[int], tasks: np.ndarray) -> list[str]:
    """The name of each network's arm, with its number of tasks if others have more or fewer.

    With all that is swept, too, where names alone would be the same.
    """
    more = [f", {count(k, 'task')}" if len(set(tasks.tolist())) > 1 else "" for k in tasks.tolist()]
    names = [_arm(run.member_spec(i)) + words for i, words in zip(members, more, strict=True)]
    swept = [", ".join(settings(run, i, ("seed",))) for i in members]
    many = {name for name in names if len({s for n, s in zip(names, swept, strict=True) if n == name}) > 1}
    return [f"{name} ({s})" if name in many else name for name, s in zip(names, swept, strict=True)]


def _arm(spec: dict[str, Any]) -> str:
    """What tells an arm from plain descent, in words."""
    if spec["training"].get("stages") == "together":
        return TOGETHER
    optimizer, inference, noise = (spec[slot]["kind"] for slot in ("optimizer", "inference", "noise"))
    for kind in (optimizer, inference):
        if kind in WORDS and kind not in ("energy_efficient", "variational_bayes"):
            return WORDS[kind]
    return f"{optimizer}, " + ("no noise" if noise == "none" else WORDS.get(inference, inference))


def _size(run: Run, member: int) -> float:
    """The sum of |mu| over all synapses."""
    layers = range(1, run.n_layers(member) + 1)
    return float(sum(np.abs(run.layer(member, k, "mu").astype(float)).sum() for k in layers))
