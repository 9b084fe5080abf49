"""What all checks share: how many examples, the table of a plugin, calls whose failures are named, idle fields."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.contract.slots import Plugin
from ebayes_core.testing.strategies import plugins

EXAMPLES = 25
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # the message says what is wrong; a smaller example would only take longer
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


def steady(test: Callable[..., None]) -> Callable[..., None]:
    """A property that goes on failing as it did first: hypothesis asks again, and state may answer otherwise."""
    failures: list[AssertionError] = []

    @functools.wraps(test)
    def again(*arguments: Any, **named: Any) -> None:
        if failures:
            raise failures[0]
        try:
            test(*arguments, **named)
        except AssertionError as error:
            failures.append(error)
            raise

    return again


def check_table(cls: type[Plugin], base: type[Plugin]) -> None:
    """The class is a finished plugin of the slot, and says what it and its fields are."""
    assert isinstance(cls, type) and issubclass(cls, base), f"{cls!r} is no subclass of {base.__name__}"
    missing = ", ".join(sorted(cls.__abstractmethods__))
    assert not missing, f"{cls.__name__} does not define {missing}"
    kind = cls.model_fields["kind"].default
    assert isinstance(kind, str), f'{cls.__name__} needs a line like  kind: Literal["mine"] = "mine"'
    assert cls.__doc__ and cls.__doc__ != base.__doc__, f"{cls.__name__} needs a docstring; its first line is shown"
    bare = [n for n, info in cls.model_fields.items() if n != "kind" and not info.description]
    assert not bare, f"{cls.__name__}: give these fields a description: {', '.join(bare)}"


R = TypeVar("R")
Formula = Callable[..., Any]
#: what an exception of torch usually means -> what to do
ADVICE = {
    "numpy": "it uses numpy, which autograd does not see: write it with tensor methods and operators",
    "in-place": "it changes a tensor in place: use operators that make a new tensor",
    "inplace": "it changes a tensor in place: use operators that make a new tensor",
}
GENERAL = (
    "The engine calls it with float fields as tensors (member, 1): write it with tensor methods and operators, without "
    "math.*, float() or if on values"
)


def attempt(name: str, function: Callable[..., R], *arguments: Any, advice: str = GENERAL) -> R:
    """Call it; an exception becomes advice, since the usual cause is a number where a tensor comes."""
    try:
        return function(*arguments)
    except AssertionError:
        raise
    except Exception as error:
        known = next((words for sign, words in ADVICE.items() if sign in str(error)), advice)
        raise AssertionError(f"{name} raised {type(error).__name__}: {error}. {known}".rstrip(". ")) from error


def call(name: str, function: Callable[..., R], *arguments: Any) -> R:
    """Call it; whatever it raises is named."""
    return attempt(name, function, *arguments, advice="")


def keeps_arguments(name: str, function: Callable[..., R], *arguments: Tensor) -> R:
    """Call it, and see that it left its arguments as they were."""
    copies = [a.clone() for a in arguments]
    found = function(*arguments)
    kept = all(torch.equal(a, b) for a, b in zip(arguments, copies, strict=True))
    assert kept, f"{name} changed its argument in place; use operators that make a new tensor"
    return found


def repeats(name: str, function: Formula, arguments: Sequence[Tensor], others: Sequence[Sequence[Tensor]]) -> None:
    """The same arguments give the same values: at once, and after others were asked for."""
    before = random_states()
    first = function(*arguments)
    second = function(*arguments)
    drawn = any(a != b for a, b in zip(before, random_states(), strict=True))
    assert not drawn, f"{name} draws random numbers: all chance is the engine's, so that a run can be repeated"
    kept = f"{name} gave another value the second time: it keeps state; what it returns may hang on its arguments alone"
    assert same(first, second), kept
    for other in others:
        function(*other)
        assert same(first, function(*arguments)), kept.replace("the second time", "after it was asked for others")


def same(a: Tensor, b: Tensor) -> bool:
    """To the bit, NaN with NaN."""
    return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())


def random_states() -> list[Any]:
    """Where the generators stand that anybody may draw from."""
    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return [torch.get_rng_state().numpy().tobytes(), random.getstate(), (kind, keys.tobytes(), *rest)]


class Changed:
    """Which fields of a plugin have been seen to change its result: an option that does nothing is a mistake."""

    def __init__(self, cls: type[Plugin], instances: Sequence[Plugin] = ()) -> None:
        self.cls, self.seen = cls, set[str]()
        self.any = st.one_of(plugins(cls), st.sampled_from(instances)) if instances else plugins(cls)
        self.fields = {name for name, info in cls.model_fields.items() if name != "kind" and not _pinned(info)}

    @property
    def settings(self) -> settings:
        """Examples enough for every field to be drawn many times."""
        return settings(quick, max_examples=EXAMPLES * max(len(self.fields), 1))

    def pairs(self) -> st.SearchStrategy[tuple[str, Any, Any]]:
        """A field, and two plugins that differ in it alone; two equal ones of a plugin without fields."""
        names = st.sampled_from(sorted(self.fields) or ["kind"])
        drawn = st.tuples(names, self.any, self.any).map(self._differ_in_one)
        return drawn.filter(lambda pair: pair[1] != pair[2]) if self.fields else drawn

    def _differ_in_one(self, drawn: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
        name, *two = drawn
        for one, other in (two, two[::-1]):  # a field that excludes another may be put into one of them only
            changed = one.model_copy(update={name: getattr(other, name)})
            if _valid(changed):
                return name, one, changed
        return name, two[0], two[0]

    def see(self, pair: tuple[str, Any, Any], result: Callable[[Any], Tensor]) -> None:
        """Compare the two results."""
        name, one, other = pair
        a, b = attempt(self.cls.__name__, result, one), attempt(self.cls.__name__, result, other)
        if a.shape != b.shape or not torch.equal(a, b):
            self.seen.add(name)

    def all_seen(self) -> None:
        """Raise for the fields that never changed anything."""
        idle = sorted(self.fields - self.seen)
        assert not idle, f"{self.cls.__name__}: {', '.join(idle)} changes nothing; use it in the formula, or remove it"


def _valid(plugin: Plugin) -> bool:
    """A copy with one field changed may break a rule between fields."""
    try:
        type(plugin).model_validate(plugin.model_dump())
    except ValueError:
        return False
    return True


def _pinned(info: Any) -> bool:
    """A field whose bounds leave one value, such as the exponent of a mechanism."""
    low = [m.ge for m in info.metadata if hasattr(m, "ge")]
    high = [m.le for m in info.metadata if hasattr(m, "le")]
    return bool(low and high and low == high)
