"""Names of tasks as a figure prints them: a network and what it is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

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
    apart = differences(names, tables, [None] * len(names))
    return [", ".join([name, *words]) for name, words in zip(names, apart, strict=True)]


def named(dataset: dict[str, Any], network: dict[str, Any]) -> str:
    """A network and its data in words; kinds that are not known here, without their underscores."""
    what = DATA.get(dataset["kind"], _words(dataset["kind"]))
    parts = [what, LAYOUTS.get(str(dataset.get("layout")), "")]
    return f"{NETWORKS.get(network['kind'], _words(network['kind']))}: {' '.join(part for part in parts if part)}"


def differences(groups: Sequence[Hashable], tables: list[dict[str, Any]], pairs: Sequence[Hashable]) -> list[list[str]]:
    """For each network the fields that tell it from others of its group, in words.

    Only networks of one pair, too, are compared: what differs between pairs alone, as the number of epochs does if long
    sequences need more of them, is no reason to divide a group.
    """
    flat = [{(slot, field): value for slot in table for field, value in table[slot].items()} for table in tables]
    apart: dict[Hashable, set[tuple[str, str]]] = {group: set() for group in groups}
    first: dict[Hashable, dict[tuple[str, str], Any]] = {}
    for group, pair, mine in zip(groups, pairs, flat, strict=True):
        other = first.setdefault((group, pair), mine)
        apart[group] |= {at for at in {**mine, **other} if mine.get(at) != other.get(at)}
    return [
        [_field(at[1], value) for at, value in mine.items() if at in apart[group]]
        for group, mine in zip(groups, flat, strict=True)
    ]


def _field(name: str, value: Any) -> str:
    return _value(value) if name == "kind" else f"{_words(name)} {_value(value)}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _value(value: Any) -> str:
    """A number or a word as it is; the tables of a list by their values, as in `8 3 1`."""
    if isinstance(value, dict):
        return " ".join(_value(v) for v in value.values())
    if isinstance(value, list | tuple):
        return ", ".join(_value(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else _words(str(value))
