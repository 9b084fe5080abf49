"""Checks of formulas: costs, noise modes and objectives are elementwise, differentiable, and hold nothing back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.population import stack
from ebayes_core.slots import Cost, Inference, Noise, Plugin
from ebayes_core.testing.strategies import mus, plugins, siblings, sigmas, tensor

Formula = Callable[..., Tensor]
SHAPE = (2, 4)  #: members, synapses

EXAMPLES = 25
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # the message says what is wrong; a smaller example would only take longer
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip
sigma_tensors = tensor(sigmas(), *SHAPE)
mu_tensors = tensor(mus(), *SHAPE)


def check_cost(cls: type[Cost]) -> None:
    """A cost is elementwise, falls with sigma, and its gradient is that of its values (Eq. 4)."""
    check_table(cls, Cost)
    energy: Formula = lambda p, sigma, mu: p.energy(sigma, mu)  # noqa: E731
    changed = Changed(cls)

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    def holds(pair: list[Cost], sigma: Tensor, mu: Tensor) -> None:
        formula_holds(f"{cls.__name__}.energy", energy, pair, sigma, mu)
        _falls(f"{cls.__name__}.energy", pair, mu)

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Cost, Cost], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: p(sigma, mu))

    holds()
    fields_matter()
    changed.all_seen()


def check_noise(cls: type[Noise]) -> None:
    """A noise mode starts finite, and sigma is positive, increasing in phi, elementwise and smooth."""
    check_table(cls, Noise)
    name, changed = cls.__name__, Changed(cls)

    @quick
    @given(siblings(cls), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    def holds(pair: list[Noise], phi: Tensor, mu: Tensor) -> None:
        together = stack(pair, torch.float64)
        start = attempt(f"{name}.init", together.init, mu)
        if start is None:
            return
        ok = start.shape in (mu.shape, (len(mu), 1)) and start.dtype == mu.dtype
        assert ok, f"{name}.init gave {tuple(start.shape)} {start.dtype}: (member, synapses) or (member, 1) of mu's type is asked"
        first = attempt(f"{name}.sigma", together.sigma, start)
        assert bool((first > 0).all() and first.isfinite().all()), f"{name}: sigma(init(mu)) is not positive and finite"
        for i, alone in enumerate(pair):
            mine = stack([alone], torch.float64).init(mu[i : i + 1])
            _close(f"{name}.init of a member in a population is not that of the member alone", start[i : i + 1], mine)
        formula_holds(f"{name}.sigma", lambda p, x: p.sigma(x), pair, phi)
        _rises(name, together)

    @changed.settings
    @given(changed.pairs(), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    def fields_matter(pair: tuple[str, Noise, Noise], phi: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.cat([_or_empty(p.init(mu)).flatten(), p.sigma(phi).flatten()]))

    holds()
    fields_matter()
    changed.all_seen()


def check_inference(cls: type[Inference]) -> None:
    """An objective's terms are elementwise and differentiable, and the magnitude's holds without noise too."""
    check_table(cls, Inference)
    from ebayes_core.registry import Registry

    cost = Registry.load().kinds("cost")["power_law"](c=0.3, rho=1.0)
    name, changed = cls.__name__, Changed(cls)
    terms: dict[str, Formula] = {
        "magnitude_cost": lambda p, sigma, mu: p.magnitude_cost(mu, sigma),
        "reliability_cost": lambda p, sigma, mu: p.reliability_cost(mu, sigma, cost),
    }

    @quick
    @given(siblings(cls), sigma_tensors, mu_tensors)
    def holds(pair: list[Inference], sigma: Tensor, mu: Tensor) -> None:
        for term, formula in terms.items():
            formula_holds(f"{name}.{term}", formula, pair, sigma, mu)
        silent = stack(pair, torch.float64).magnitude_cost(mu, torch.zeros_like(mu))
        assert bool(silent.isfinite().all()), f"{name}.magnitude_cost is not finite at sigma = 0, where noise is none"
        prior = stack(pair, torch.float64).log_prior(mu, sigma)
        assert prior is None or prior.shape == mu.shape, f"{name}.log_prior must be elementwise, or None"

    @changed.settings
    @given(changed.pairs(), sigma_tensors, mu_tensors)
    def fields_matter(pair: tuple[str, Inference, Inference], sigma: Tensor, mu: Tensor) -> None:
        changed.see(pair, lambda p: torch.stack([f(p, sigma, mu) for f in terms.values()]))

    holds()
    fields_matter()
    changed.all_seen()


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


def formula_holds(name: str, formula: Formula, pair: list[Any], *arguments: Tensor) -> None:
    """What the engine needs of any elementwise formula: see the messages."""
    together = stack(pair, torch.float64)
    copies = [a.clone() for a in arguments]
    value = attempt(name, formula, together, *arguments)
    assert isinstance(value, Tensor), f"{name} returned {type(value).__name__}, not a tensor"
    assert value.shape == SHAPE, f"{name} returned shape {tuple(value.shape)} for {SHAPE}: it must be elementwise"
    changed = any(not torch.equal(a, b) for a, b in zip(arguments, copies, strict=True))
    assert not changed, f"{name} changed its argument in place; use operators that make a new tensor"
    again = attempt(name, formula, together, *arguments)
    assert torch.equal(value.nan_to_num(), again.nan_to_num()), f"{name} gave another value the second time: it keeps state"
    finite = f"{name} is not finite within the bounds of its fields: {pair[0]!r}, at {[a.tolist() for a in arguments]}"
    assert bool(value.isfinite().all()), finite
    _elementwise(name, formula, pair, value, arguments)
    _keeps_type(name, formula, pair, arguments)
    _keeps_device(name, formula, pair, arguments)
    _gradient(name, formula, together, arguments)


def attempt(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it; an exception becomes advice, since the usual cause is a number where a tensor comes."""
    try:
        return function(*arguments)
    except Exception as error:
        raise AssertionError(
            f"{name} raised {type(error).__name__}: {error}. The engine calls it with float fields as tensors (member, 1): "
            "write it with tensor methods and operators, without math.*, float() or if on values"
        ) from error


def _elementwise(name: str, formula: Formula, pair: list[Any], value: Tensor, arguments: tuple[Tensor, ...]) -> None:
    """Each synapse alone has the value that it has in the crowd."""
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            one = attempt(name, formula, stack([pair[i]], torch.float64), *(a[i : i + 1, j : j + 1] for a in arguments))
            _close(f"{name} is not elementwise: a synapse alone has another value than among others", value[i, j], one.sum())


def _keeps_type(name: str, formula: Formula, pair: list[Any], arguments: tuple[Tensor, ...]) -> None:
    for kind in (torch.float32, torch.float64):
        found = attempt(name, formula, stack(pair, kind), *(a.to(kind) for a in arguments)).dtype
        assert found == kind, f"{name} turns {kind} into {found}: a constant of a fixed type is in it"


def _keeps_device(name: str, formula: Formula, pair: list[Any], arguments: tuple[Tensor, ...]) -> None:
    """On the `meta` device nothing is computed, but a constant bound to the CPU is found."""
    try:
        found = formula(stack(pair, torch.float64, "meta"), *(a.to("meta") for a in arguments)).device.type
    except (RuntimeError, NotImplementedError) as error:
        raise AssertionError(f"{name} fails on another device ({error}): make constants with mu.new_tensor or operators") from error
    assert found == "meta", f"{name} leaves its device: its result is on {found}"


def _gradient(name: str, formula: Formula, together: Any, arguments: tuple[Tensor, ...]) -> None:
    """autograd against central differences in float64, with a step relative to each argument."""
    leaves = [a.clone().requires_grad_() for a in arguments]
    total = formula(together, *leaves).sum()
    if not total.requires_grad:
        found = [torch.zeros_like(a) for a in arguments]
    else:
        found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    for which, slope in enumerate(found):
        step = 1e-6 * (1e-3 + arguments[which].abs())
        up, down = list(arguments), list(arguments)
        up[which], down[which] = arguments[which] + step, arguments[which] - step
        high, low = formula(together, *up), formula(together, *down)
        difference = (high - low) / (2 * step)
        rounding = 1e-14 * (high.abs() + low.abs()) / step
        kink = (high + low - 2 * formula(together, *arguments)).abs() / step  # at |mu| = 0 two slopes meet
        wrong = (slope - difference).abs() > 1e-3 * difference.abs() + 10 * rounding + kink + 1e-9
        assert not bool(wrong.any()), (
            f"{name}: autograd's gradient in argument {which + 1} is {slope[wrong][0]:.6g} where the values change by "
            f"{difference[wrong][0]:.6g}: a hand-written backward, detach() or no_grad() is wrong"
        )


def _falls(name: str, pair: list[Cost], mu: Tensor) -> None:
    """A reliable synapse costs more: energy does not rise with sigma, and falls over the whole range."""
    sigma = torch.logspace(-6, 3, 40, dtype=torch.float64).expand(len(pair), -1)
    value = stack(pair, torch.float64).energy(sigma, mu[:, :1].expand_as(sigma))
    rises = value.diff() > 1e-12 * value[:, 1:].abs()
    assert not bool(rises.any()), f"{name} rises with sigma somewhere: reliability must cost energy, so it falls everywhere"
    assert bool((value[:, 0] > value[:, -1]).all()), f"{name} does not depend on sigma: it must fall as sigma grows"


def _rises(name: str, together: Any) -> None:
    phi = torch.linspace(-20, 40, 61, dtype=torch.float64).expand(2, -1)
    sigma = together.sigma(phi)
    assert bool((sigma > 0).all()), f"{name}.sigma is not positive everywhere"
    assert bool(sigma.isfinite().all()), f"{name}.sigma is not finite everywhere"
    assert bool((sigma.diff() > 0).all()), f"{name}.sigma does not increase with phi everywhere"


def _close(message: str, a: Tensor, b: Tensor) -> None:
    assert torch.allclose(a, b, rtol=1e-9, atol=1e-12), f"{message}: {a.flatten()[0]:.8g} and {b.flatten()[0]:.8g}"


def _or_empty(value: Tensor | None) -> Tensor:
    return torch.empty(0, dtype=torch.float64) if value is None else value


class Changed:
    """Which fields of a plugin have been seen to change its result: an option that does nothing is a mistake."""

    def __init__(self, cls: type[Plugin], instances: Sequence[Plugin] = ()) -> None:
        self.cls, self.seen = cls, set()
        self.any = st.one_of(plugins(cls), st.sampled_from(instances)) if instances else plugins(cls)
        self.fields = {name for name, info in cls.model_fields.items() if name != "kind" and not _pinned(info)}

    @property
    def settings(self) -> settings:
        """Examples enough for every field to be drawn many times."""
        return settings(quick, max_examples=EXAMPLES * max(len(self.fields), 1))

    def pairs(self) -> st.SearchStrategy[tuple[str, Any, Any]]:
        """A field, and two plugins that differ in it alone."""
        names = st.sampled_from(sorted(self.fields) or ["kind"])
        return st.tuples(names, self.any, self.any).map(self._differ_in_one)

    def _differ_in_one(self, drawn: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
        name, one, other = drawn
        changed = one.model_copy(update={name: getattr(other, name)})
        return name, one, changed if _valid(changed) else one

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
