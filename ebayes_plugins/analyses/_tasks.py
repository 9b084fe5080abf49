"""Names of tasks as a figure prints them: a network and what it is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebayes_core.results.reader import Run

NETWORKS = {"mlp": "perceptron", "convolutional": "convolution", "recurrent": "recurrence"}
DATA = {
    "mnist5k": "MNIST, 5,000 images",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "teacher": "linear teacher",
}
LAYOUTS = {"rows": "by row"}
OF_A_TASK = ("dataset", "network")


def tasks(run: Run, members: list[int]) -> list[str]:
    """The task of each network; those that would have one name are told apart by the fields in which they differ."""
    tables = [{slot: run.member_spec(i)[slot] for slot in OF_A_TASK} for i in members]
    names = [named(**table) for table in tables]
    return [_told_apart(name, i, names, tables) for i, name in enumerate(names)]


def named(dataset: dict[str, Any], network: dict[str, Any]) -> str:
    """A network and its data in words; kinds that are not known here, without their underscores."""
    what = DATA.get(dataset["kind"], _words(dataset["kind"]))
    parts = [what, LAYOUTS.get(str(dataset.get("layout")), "")]
    return f"{NETWORKS.get(network['kind'], _words(network['kind']))}: {' '.join(part for part in parts if part)}"


def _told_apart(name: str, at: int, names: list[str], tables: list[dict[str, Any]]) -> str:
    same = [table for other, table in zip(names, tables, strict=True) if other == name]
    mine = tables[at]
    fields = [(slot, field) for slot in OF_A_TASK for field in mine[slot]]
    differ = [(slot, field) for slot, field in fields if any(t[slot].get(field) != mine[slot][field] for t in same)]
    return ", ".join([name, *(f"{_words(field)} {_value(mine[slot][field])}" for slot, field in differ)])


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _value(value: Any) -> str:
    """A number or a word as it is; the tables of a list by their values, as in `8 3 1`."""
    if isinstance(value, dict):
        return " ".join(_value(v) for v in value.values())
    if isinstance(value, list | tuple):
        return ", ".join(_value(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else _words(str(value))
