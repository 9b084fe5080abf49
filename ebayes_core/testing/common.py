"""Shared by all checks: numbers of examples, checks of a plugin's table, named failures, and fields without effect."""

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
from ebayes_core.testing.strategies import drawable, plugins

EXAMPLES = 25
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # the message says what is wrong, so examples are not shrunk
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


def steady(test: Callable[..., None]) -> Callable[..., None]:
    """A property test that repeats its first failure: hypothesis calls it again, and state may make it pass."""
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
    """Check that the class is a complete plugin of the slot, and that it and its fields are described."""
    assert isinstance(cls, type) and issubclass(cls, base), f"{cls!r} is not a subclass of {base.__name__}"
    missing = ", ".join(sorted(cls.__abstractmethods__))
    assert not missing, f"{cls.__name__} does not define {missing}"
    kind = cls.model_fields["kind"].default
    assert isinstance(kind, str), f'{cls.__name__} needs a line like  kind: Literal["mine"] = "mine"'
    assert cls.__doc__ and cls.__doc__ != base.__doc__, f"{cls.__name__} needs a docstring; its first line is shown"
    bare = [n for n, info in cls.model_fields.items() if n != "kind" and not info.description]
    assert not bare, f"{cls.__name__}: give these fields a description: {', '.join(bare)}"


R = TypeVar("R")
Formula = Callable[..., Any]
#: word in an exception of torch -> what it usually means and what to do
ADVICE = {
    "numpy": "it uses numpy, which autograd does not see: write it with tensor methods and operators",
    "doesn't have storage": "it uses numpy or the like on a tensor: write it with tensor methods and operators",
    "in-place": "it changes a tensor in place: use operators that make a new tensor",
    "inplace": "it changes a tensor in place: use operators that make a new tensor",
}
GENERAL = (
    "The engine calls it with float fields as tensors (member, 1): write it with tensor methods and operators, without "
    "math.*, float() or if on values"
)


def attempt(name: str, function: Callable[..., R], *arguments: Any, advice: str = GENERAL) -> R:
    """Call a function; an exception becomes advice, since its usual cause is a number used where the engine has a
    tensor.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if isinstance(error, AssertionError) and str(error):
            raise
        said = f"{name} raised {type(error).__name__}: {error}. {advice_on(error, advice)}"
        raise AssertionError(said.rstrip(". ")) from error


def advice_on(error: Exception, otherwise: str) -> str:
    """What an exception usually means, if that is known."""
    return next((words for sign, words in ADVICE.items() if sign in str(error)), otherwise)


def call(name: str, function: Callable[..., R], *arguments: Any) -> R:
    """Call a function; an exception names it."""
    return attempt(name, function, *arguments, advice="")


def keeps_arguments(name: str, function: Callable[..., R], *arguments: Tensor) -> R:
    """Call a function, and check that it did not change its arguments."""
    copies = [a.clone() for a in arguments]  # later checks need the arguments as they are
    found = function(*copies)
    kept = all(same(a, b) for a, b in zip(arguments, copies, strict=True))
    assert kept, f"{name} changed its argument in place; use operators that make a new tensor"
    return found


def repeats(name: str, function: Formula, arguments: Sequence[Tensor], others: Sequence[Sequence[Tensor]]) -> None:
    """Check that the same arguments give the same values: immediately, and after a call with other arguments."""
    before = random_states()
    first = function(*arguments)
    second = function(*arguments)
    drawn = any(a != b for a, b in zip(before, random_states(), strict=True))
    assert not drawn, f"{name} draws random numbers: only the engine may, so that a run can be repeated"
    kept = f"{name} returned another value the second time: it keeps state; its value may depend on its arguments only"
    assert same(first, second), kept
    for other in others:
        function(*other)
        assert same(first, function(*arguments)), kept.replace("the second time", "after it was called with others")


def same(a: Tensor, b: Tensor) -> bool:
    """Equal to the bit, with NaN equal to NaN."""
    return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())


def random_states() -> list[Any]:
    """States of the global random number generators."""
    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return [torch.get_rng_state().numpy().tobytes(), random.getstate(), (kind, keys.tobytes(), *rest)]


class Changed:
    """Records which fields of a plugin change its result: an option without effect is a mistake."""

    def __init__(self, cls: type[Plugin], instances: Sequence[Plugin] = ()) -> None:
        self.cls, self.seen = cls, set[str]()
        self.any = st.one_of(plugins(cls), st.sampled_from(instances)) if instances else plugins(cls)
        self.fields = {name for name, info in drawable(cls).items() if not _pinned(info)}

    @property
    def settings(self) -> settings:
        """Enough examples for every field to be drawn many times."""
        return settings(quick, max_examples=EXAMPLES * max(len(self.fields), 1))

    def pairs(self) -> st.SearchStrategy[tuple[str, Any, Any]]:
        """A field, and two plugins that differ in it alone; for a plugin without fields, two equal ones."""
        names = st.sampled_from(sorted(self.fields) or ["kind"])
        drawn = st.tuples(names, self.any, self.any).map(self._differ_in_one)
        return drawn.filter(lambda pair: pair[1] != pair[2]) if self.fields else drawn

    def _differ_in_one(self, drawn: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
        name, *two = drawn
        for one, other in (two, two[::-1]):  # a field that excludes another may be valid in one of them only
            changed = one.model_copy(update={name: getattr(other, name)})
            if _valid(changed):
                return name, one, changed
        return name, two[0], two[0]

    def see(self, pair: tuple[str, Any, Any], result: Callable[[Any], Tensor]) -> None:
        """Compare the results of the two plugins."""
        name, one, other = pair
        a, b = attempt(self.cls.__name__, result, one), attempt(self.cls.__name__, result, other)
        if a.shape != b.shape or not torch.equal(a, b):
            self.seen.add(name)

    def all_seen(self) -> None:
        """Raise AssertionError for fields that never changed anything."""
        idle = sorted(self.fields - self.seen)
        assert not idle, f"{self.cls.__name__}: {', '.join(idle)} changes nothing; use it in the formula, or remove it"


def _valid(plugin: Plugin) -> bool:
    """Whether a copy with one field changed satisfies the rules between fields."""
    try:
        type(plugin).model_validate(plugin.model_dump())
    except ValueError:
        return False
    return True


def _pinned(info: Any) -> bool:
    """Whether a field's bounds allow only one value, as for the exponent of a mechanism."""
    low = [m.ge for m in info.metadata if hasattr(m, "ge")]
    high = [m.le for m in info.metadata if hasattr(m, "le")]
    return bool(low and high and low == high)
