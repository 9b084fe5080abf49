"""The check of noises: free parameters, sigma as a formula of them, draws, and quanta."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebayes_core.contract.slots import Noise, Quanta
from ebayes_core.engine.stacking import stack
from ebayes_core.testing.common import Changed, Formula, attempt, check_table, keeps_arguments, quick, repeats, steady
from ebayes_core.testing.elementwise import DISTINCT, SHAPE, keeps_the_form, on_meta
from ebayes_core.testing.formulas import USUAL, distinct, formula_holds, mu_tensors, usual
from ebayes_core.testing.gradients import finite_at, slopes
from ebayes_core.testing.moments import Moments
from ebayes_core.testing.strategies import corners, siblings, tensor

Free = dict[str, Tensor]
SCALE = torch.linspace(-20, 20, 401, dtype=torch.float64)  #: values of a free parameter, closely
FAITHFUL = 1e-2  #: relative error of sigma in single precision


def check_noise(cls: type[Noise]) -> None:
    """Check that a noise starts well, that its sigma is positive, elementwise and smooth, and that weights are drawn
    with this mean and sigma, and with the gradient of their moments.
    """
    check_table(cls, Noise)
    changed, moments = Changed(cls), Moments(cls)

    @quick
    @given(siblings(cls), tensor(st.floats(-20, 20), *SHAPE), mu_tensors)
    @steady
    def holds(pair: list[Noise], values: Tensor, mu: Tensor) -> None:
        if start := starts(pair, mu):
            _formulas_hold(pair, mu, {name: values.roll(k, 1) for k, name in enumerate(start)})
            _broadcasts(pair, mu, start)
            _each_drives(pair)
            _says_what_it_depends_on(pair, mu, start)

    @changed.settings
    @given(changed.pairs(), mu_tensors)
    def fields_matter(pair: tuple[str, Noise, Noise], mu: Tensor) -> None:
        changed.see(pair, lambda p: _everything(p, mu))

    holds()
    for plugin in corners(cls):
        mu = USUAL["mu"][None]
        if start := starts([plugin], mu):
            _finite(plugin, {key: float(value.mean()) for key, value in start.items()})
            moments.hold(plugin)
    moments.some_seen()
    fields_matter()
    changed.all_seen()


def starts(pair: list[Noise], mu: Tensor) -> Free:
    """The initial free parameters of some networks, checked."""
    name, together = f"{type(pair[0]).__name__}.init", stack(pair, torch.float64)
    start = keeps_arguments(name, lambda m: attempt(name, together.init, m), mu)
    wrong = f"{name} returned {type(start).__name__}, not a dict of tensors by name; an empty one means no noise"
    assert isinstance(start, dict), wrong
    _parameters_hold(name, start, mu, pair)
    flat: Formula = lambda m: _flat(attempt(name, together.init, m))
    repeats(name, flat, [mu], [[2 * mu], [mu / 2]])
    for i, alone in enumerate(pair):
        mine = attempt(name, stack([alone], torch.float64).init, mu[i : i + 1])
        _parameters_hold(name, mine, mu[i : i + 1], [alone])
        among = {key: value[i : i + 1] for key, value in start.items()}
        _same(f"{name} of a network differs if other networks are beside it", among, mine)
    if not start:
        _silent_holds(pair, mu)
        return {}
    on_meta(name, lambda: _flat(stack(pair, torch.float64, "meta").init(mu.to("meta"))))
    _spread_at_start(pair, mu)
    return start


def _parameters_hold(name: str, start: Free, mu: Tensor, pair: list[Noise]) -> None:
    """Check names, shapes and values of the initial free parameters."""
    for key, value in start.items():
        named = isinstance(key, str) and key.isidentifier() and key not in ("mu", "sigma")
        assert named, f"{name}: {key!r} cannot be the name of a free parameter: use a word other than mu and sigma"
        assert isinstance(value, Tensor), f"{name}: '{key}' is {type(value).__name__}, not a tensor"
        ok = value.shape in (mu.shape, (len(mu), 1)) and value.dtype == mu.dtype
        found = f"{tuple(value.shape)} {value.dtype}"
        assert ok, f"{name}: '{key}' is {found}: it must be (member, synapses) or (member, 1), of mu's type"
        assert bool(value.isfinite().all()), f"{name}: '{key}' is not finite, within the bounds of its fields: {pair!r}"


def _same(message: str, a: Free, b: Free) -> None:
    alike = a.keys() == b.keys() and all(a[k].shape == b[k].shape and torch.allclose(a[k], b[k]) for k in a)
    assert alike, f"{message}: {_shown(a)} and {_shown(b)}"


def _shown(free: Free) -> str:
    return ", ".join(f"{k} = {v.flatten()[0]:.8g}, shape {tuple(v.shape)}" for k, v in free.items()) or "none"


def _silent_holds(pair: list[Noise], mu: Tensor) -> None:
    """Without free parameters nothing is drawn, so there must be no standard deviation."""
    name, together = type(pair[0]).__name__, stack(pair, torch.float64)
    sigma = attempt(f"{name}.sigma", together.sigma, mu, {})
    assert not bool(sigma.any()), (
        f"{name}.init returns no free parameter, which makes a network deterministic, but {name}.sigma is not 0: "
        "return what is trained, or zeros as sigma"
    )


def _spread_at_start(pair: list[Noise], mu: Tensor) -> None:
    name = type(pair[0]).__name__
    for kind in (torch.float64, torch.float32):
        together, means = stack(pair, kind), mu.to(kind)
        start = attempt(f"{name}.init", together.init, means)
        sigma = attempt(f"{name}.sigma", together.sigma, means, start)
        good = (sigma > 0) & sigma.isfinite()
        assert bool(good.all()), f"{name}.sigma is not positive and finite at the values of init, with {pair[0]!r}"


def _sigma(names: list[str]) -> Formula:
    return lambda p, mu, *free: p.sigma(mu, dict(zip(names, free, strict=True)))


def _draw(names: list[str]) -> Formula:
    return lambda p, mu, *more: p.draw(mu, dict(zip(names, more[:-1], strict=True)), more[-1])


def _formulas_hold(pair: list[Noise], mu: Tensor, free: Free) -> None:
    """Check sigma, draw and quanta as formulas of mu and the free parameters."""
    cls, names = type(pair[0]), list(free)
    formula_holds(f"{cls.__name__}.sigma", _sigma(names), pair, mu=mu, **free)
    keeps_the_form(f"{cls.__name__}.draw", _draw(names), pair, **distinct("mu", *names, cls.base))
    if cls.quantal():
        _quanta_hold(f"{cls.__name__}.quanta", pair, names)


def _finite(plugin: Noise, start: dict[str, float]) -> None:
    """Check sigma and drawn weights over all values that are usual in training, and their gradients."""
    name, names = type(plugin).__name__, list(start)
    finite_at(f"{name}.sigma", _sigma(names), [plugin], **usual("mu", *names, start=start))
    finite_at(f"{name}.draw", _draw(names), [plugin], **usual("mu", *names, plugin.base, start=start))


def _broadcasts(pair: list[Noise], mu: Tensor, start: Free) -> None:
    """Check the shapes that the engine passes: parameters of a whole network, and xi that all networks share."""
    name, together = type(pair[0]).__name__, stack(pair, torch.float64)
    whole = {key: value.expand_as(mu) for key, value in start.items()}
    sigma, expected = (attempt(f"{name}.sigma", together.sigma, mu, free) for free in (start, whole))
    fits = sigma.shape == mu.shape or all(value.shape[1] == 1 for value in start.values())
    close = fits and torch.allclose(sigma.expand_as(mu), expected)
    assert close, f"{name}.sigma is another one if a free parameter of the whole network has the shape (member, 1)"
    xi = DISTINCT[pair[0].base]
    advice = "It must broadcast: xi is (1, synapses), and parameters of a whole network are (member, 1)"
    drawn = attempt(f"{name}.draw", together.draw, mu, start, xi[:1], advice=advice)
    wanted = attempt(f"{name}.draw", together.draw, mu, whole, xi[:1].expand_as(mu))
    alike = drawn.shape == wanted.shape and torch.allclose(drawn, wanted)
    assert alike, f"{name}.draw returned another weight in other shapes. {advice}"


def _each_drives(pair: list[Noise]) -> None:
    """Check sigma along each free parameter: positive, never constant, and the same in single precision."""
    name, mu = type(pair[0]).__name__, torch.ones(2, len(SCALE), dtype=torch.float64)
    double, single = stack(pair, torch.float64), stack(pair, torch.float32)
    start = {key: value.expand_as(mu) for key, value in double.init(mu).items()}
    for key in start:
        along = _along(key, mu, start)
        sigma, slope = slopes(f"{name}.sigma", along, double, [SCALE.expand_as(mu)])
        assert bool((sigma > 0).all()), f"{name}.sigma is not positive everywhere"
        _never_flat(f"{name}.sigma", key, slope.expand_as(mu)[0])
        _faithful(f"{name}.sigma", key, sigma[0], along(single, SCALE.expand_as(mu).float())[0].double())


def _says_what_it_depends_on(pair: list[Noise], mu: Tensor, start: Free) -> None:
    """Check own_sigma: combinations are allowed, and sigma is carried from step to step, by what it says."""
    cls, leaf = type(pair[0]), mu.clone().requires_grad_()
    depends = attempt(f"{cls.__name__}.sigma", stack(pair, torch.float64).sigma, leaf, start).requires_grad
    says = "depends" if depends else "does not depend"
    assert depends != cls.own_sigma, (
        f"{cls.__name__}.sigma {says} on mu; say so with  own_sigma: ClassVar[bool] = {not depends}"
    )


def _along(key: str, mu: Tensor, start: Free) -> Formula:
    """Sigma as a function of one free parameter."""
    return lambda p, x: p.sigma(mu.to(x.dtype), {**{n: v.to(x.dtype) for n, v in start.items()}, key: x})


def _never_flat(name: str, key: str, slope: Tensor) -> None:
    still = slope == 0
    assert not bool(still.all()), f"{name} does not depend on the free parameter '{key}': use it, or leave it out"
    flat = SCALE[1:][still[1:] & still[:-1]]
    where = f"near {key} = {flat[0]:.3g}" if len(flat) else ""
    assert not len(flat), f"{name} is constant {where}: there nothing drives {key}; let it depend on {key} everywhere"


def _faithful(name: str, key: str, sigma: Tensor, seen: Tensor) -> None:
    met = (sigma > USUAL["sigma"].min()) & (sigma < USUAL["sigma"].max())
    off = met & ~((seen / sigma - 1).abs() < FAITHFUL)
    where = (
        f"at {key} = {SCALE[off][0]:.4g} it is {seen[off][0]:.3g} instead of {sigma[off][0]:.3g}" if off.any() else ""
    )
    assert not where, f"{name} is inaccurate in single precision: {where}; use softplus, log1p or expm1 of torch"


def _quanta_hold(name: str, pair: list[Noise], names: list[str]) -> None:
    """Check that n, p and q are those of a weight with this mean and sigma."""
    places, together = distinct("mu", *names), stack(pair, torch.float64)
    mu, *values = places.values()
    free = dict(zip(names, values, strict=True))
    found = attempt(name, together.quanta, mu, free)
    assert isinstance(found, Quanta), f"{name} returned {type(found).__name__}, not Quanta(n, p, q)"
    for k, which in enumerate(Quanta._fields):
        # they may be in double precision, whatever the type of mu
        part: Formula = lambda p, m, *f, k=k: p.quanta(m, dict(zip(names, f, strict=True)))[k].to(m.dtype)
        keeps_the_form(f"{name}: {which}", part, pair, **places)
    n, p, q = found
    assert bool((n > 0).all() and (p > 0).all() and (p < 1).all()), f"{name}: n must be positive, and p between 0 and 1"
    assert torch.allclose(n * p * q, mu, rtol=1e-6), f"{name}: the mean n p q is not mu"
    same = torch.allclose((n * p * (1 - p)).sqrt() * q.abs(), together.sigma(mu, free).expand_as(mu), rtol=1e-6)
    assert same, f"{name}: the standard deviation (n p (1 - p) q^2)^(1/2) is not sigma"


def _flat(free: Free) -> Tensor:
    return torch.cat([value.flatten() for value in free.values()]) if free else torch.empty(0)


def _everything(noise: Noise, mu: Tensor) -> Tensor:
    """All that a noise computes at the values it starts with."""
    start = noise.init(mu)
    found = [noise.sigma(mu, start), noise.draw(mu, start, DISTINCT[noise.base])]
    return torch.cat([_flat(start), *(t.flatten() for t in found)])
