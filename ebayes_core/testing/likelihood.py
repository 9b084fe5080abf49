"""The check of a likelihood: derivatives, samples, curvature and scores, for one instance."""

from __future__ import annotations

import torch
from torch import Tensor

from ebayes_core.contract.likelihoods import Likelihood
from ebayes_core.testing.common import call, random_states

MEMBERS, BATCH = 2, 5
SAMPLES = 20_000  #: to compare the mean of the residual with zero
ERRORS = 5.0  #: standard errors that it may be away


def check_likelihood(likelihood: Likelihood, y: Tensor | None = None) -> None:
    """Check the derivatives of a likelihood, its samples, its curvature and its scores, at random outputs.

    y: a few valid targets (examples, *target), which a likelihood needs that cannot be sampled.
    """
    name = type(likelihood).__name__
    shape = likelihood.shape
    sized = isinstance(shape, tuple) and shape and all(isinstance(n, int) and n > 0 for n in shape)
    assert sized, f"{name}.shape must be the shape of the outputs of one example, like (3,), not {shape!r}"
    y = _targets(name, likelihood) if y is None else y.double() if y.is_floating_point() else y
    faults = list(likelihood.unfit(y))
    assert not faults, f"{name}.unfit refuses valid targets: {faults[0]}"
    outputs = _outputs(likelihood, len(y))
    _nll_holds(name, likelihood, outputs, y)
    _residual_holds(name, likelihood, outputs, y)
    _roots_hold(name, likelihood, outputs, y)
    _scores_hold(name, likelihood, outputs, y)
    _averages_hold(name, likelihood, y)
    if likelihood.can_sample:
        _sample_holds(name, likelihood)


def _outputs(likelihood: Likelihood, batch: int, members: int = MEMBERS) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(members, batch, *likelihood.shape, generator=generator, dtype=torch.float64)


def _targets(name: str, likelihood: Likelihood) -> Tensor:
    outputs = _outputs(likelihood, BATCH)
    found = call(f"{name}.sample", likelihood.sample, outputs, torch.Generator().manual_seed(1))
    assert found is not None, f"{name} cannot be sampled: give check_likelihood targets"
    wanted = (MEMBERS, BATCH, *likelihood.target)
    assert found.shape == wanted, f"{name}.sample returned shape {tuple(found.shape)} instead of {wanted}"
    return found[0]


def _nll_holds(name: str, likelihood: Likelihood, outputs: Tensor, y: Tensor) -> None:
    nll = call(f"{name}.nll", likelihood.nll, outputs, y)
    wanted = tuple(outputs.shape[:2])
    assert nll.shape == wanted, f"{name}.nll returned shape {tuple(nll.shape)} instead of {wanted}"
    assert nll.isfinite().all(), f"{name}.nll is not finite at ordinary outputs"
    _apart(name, "nll", nll, likelihood.nll(outputs[1:], y))
    single = torch.cat([likelihood.nll(outputs[:, i : i + 1], y[i : i + 1]) for i in range(len(y))], 1)
    assert torch.allclose(nll, single), f"{name}.nll of one example depends on the others"
    numbers = y.float() if y.is_floating_point() else y
    dtype = likelihood.nll(outputs.float(), numbers).dtype
    assert dtype == torch.float32, f"{name}.nll returned {dtype} for outputs in single precision"


def _apart(name: str, method: str, together: Tensor, second: Tensor) -> None:
    alone = torch.allclose(together[1:], second, equal_nan=True)
    assert alone, f"{name}.{method} of one network depends on the others: outputs have a leading axis of networks"


def _residual_holds(name: str, likelihood: Likelihood, outputs: Tensor, y: Tensor) -> None:
    """Compared with differences of the nll along a random direction for each example, which no detach() can hide."""
    residual = call(f"{name}.residual", likelihood.residual, outputs, y)
    same = residual.shape == outputs.shape
    assert same, f"{name}.residual returned shape {tuple(residual.shape)} instead of {tuple(outputs.shape)}"
    along = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(3), dtype=outputs.dtype)
    h = 1e-5
    differences = (likelihood.nll(outputs + h * along, y) - likelihood.nll(outputs - h * along, y)) / (2 * h)
    found = (residual * along).flatten(2).sum(-1)
    close = torch.allclose(found, differences, rtol=1e-5, atol=1e-6)
    assert close and _differentiable(likelihood, outputs, y, found, along), (
        f"{name}.residual is not the derivative of nll in the outputs"
    )


def _differentiable(likelihood: Likelihood, outputs: Tensor, y: Tensor, found: Tensor, along: Tensor) -> bool:
    """Whether autograd gives the same: networks are also differentiated through the nll."""
    automatic = Likelihood.residual(likelihood, outputs, y)
    return torch.allclose((automatic * along).flatten(2).sum(-1), found, rtol=1e-6, atol=1e-9)


def _roots_hold(name: str, likelihood: Likelihood, outputs: Tensor, y: Tensor) -> None:
    if not likelihood.has_roots:
        return
    roots = torch.stack(list(call(f"{name}.curvature_roots", likelihood.curvature_roots, outputs, y) or ()))
    wanted = tuple(outputs.shape)
    assert roots.shape[1:] == wanted, f"{name}.curvature_roots returned {tuple(roots.shape[1:])} instead of {wanted}"
    one = roots[:, 0, 0].flatten(1)
    hessian = torch.func.hessian(lambda o: likelihood.nll(o[None, None], y[:1])[0, 0])(outputs[0, 0])
    close = torch.allclose(one.T @ one, hessian.reshape(one.shape[1], -1), rtol=1e-6, atol=1e-9)
    assert close, f"{name}.curvature_roots do not multiply to the Hessian of nll in the outputs"


def _scores_hold(name: str, likelihood: Likelihood, outputs: Tensor, y: Tensor) -> None:
    prediction = call(f"{name}.predict", likelihood.predict, outputs)
    assert prediction.shape[:2] == outputs.shape[:2], f"{name}.predict must return (member, batch, ...)"
    _apart(name, "predict", prediction, likelihood.predict(outputs[1:]))
    numbers = call(f"{name}.scores", likelihood.scores, prediction, y)
    right = call(f"{name}.accuracy", likelihood.accuracy, outputs, y)
    numbers = numbers if right is None else {**numbers, "accuracy()": right}
    for score, value in numbers.items():
        wanted = (len(outputs),)
        assert value.shape == wanted, f"{name}: {score} has shape {tuple(value.shape)} instead of {wanted}"


def _averages_hold(name: str, likelihood: Likelihood, y: Tensor) -> None:
    """Averaged outputs predict the average; of equal networks, nothing is uncertain because of the weights."""
    outputs = _outputs(likelihood, len(y), 3)
    mean = call(f"{name}.averaged", likelihood.averaged, outputs)
    if mean is not None:
        wanted = tuple(outputs.shape[1:])
        assert mean.shape == wanted, f"{name}.averaged returned shape {tuple(mean.shape)} instead of {wanted}"
        same = torch.allclose(likelihood.predict(mean[None])[0], likelihood.predict(outputs).mean(0))
        assert same, f"{name}.averaged returned outputs whose prediction is not the mean of the predictions"
    label = call(f"{name}.label", likelihood.label, likelihood.predict(outputs))
    fits = label is None or (label.dtype == torch.int64 and label.shape[:2] == outputs.shape[:2])
    assert fits, f"{name}.label must return int64 (member, batch, ...)"
    entropy = call(f"{name}.entropy", likelihood.entropy, likelihood.predict(outputs))
    shaped = entropy is None or (label is not None and entropy.shape == label.shape)
    assert shaped, f"{name}.entropy must return a number for each label"
    assert entropy is None or bool((entropy >= 0).all()), f"{name}.entropy of classes cannot be negative"
    _parts_hold(name, likelihood, outputs)


def _parts_hold(name: str, likelihood: Likelihood, outputs: Tensor) -> None:
    found = call(f"{name}.uncertainty", likelihood.uncertainty, outputs)
    if found is None:
        return
    shaped = found.aleatoric.shape == found.epistemic.shape and found.aleatoric.shape[:1] == outputs.shape[1:2]
    assert shaped, f"{name}.uncertainty must return two parts (batch, ...) of one shape"
    assert bool((found.epistemic >= 0).all()), f"{name}.uncertainty: what networks disagree in cannot be negative"
    alike = likelihood.uncertainty(outputs[:1].expand(3, *outputs.shape[1:]))
    none = alike is not None and bool((alike.epistemic <= 1e-9).all())
    assert none, f"{name}.uncertainty: networks that are equal disagree in nothing"


def _sample_holds(name: str, likelihood: Likelihood) -> None:
    """The expected derivative of a log-likelihood is zero under its own distribution."""
    outputs = _outputs(likelihood, 1, 1).expand(1, SAMPLES, *likelihood.shape)
    before = random_states()
    one, two = (likelihood.sample(outputs, torch.Generator().manual_seed(4)) for _ in range(2))
    untouched = before == random_states()
    assert untouched, f"{name}.sample draws from the global random generator, not from the one it is given"
    assert one is not None and two is not None
    assert torch.equal(one, two), f"{name}.sample returned another sample for the same generator"
    r = likelihood.residual(outputs, one)[0].flatten(1)
    near = (r.mean(0).abs() <= ERRORS * (r.var(0) / SAMPLES).sqrt() + 1e-9).all()
    assert near, f"{name}.residuals of sampled targets do not average to zero: sample does not draw from exp(-nll)"
    _random_root_holds(name, likelihood, outputs, r.square())


def _random_root_holds(name: str, likelihood: Likelihood, outputs: Tensor, squares: Tensor) -> None:
    """The squares of a random root average to those of residuals of sampled targets."""
    found = call(f"{name}.random_root", likelihood.random_root, outputs, torch.Generator().manual_seed(5))
    same = found.shape == outputs.shape
    assert same, f"{name}.random_root returned shape {tuple(found.shape)} instead of {tuple(outputs.shape)}"
    v = found[0].flatten(1).square()
    error = ((v.var(0) + squares.var(0)) / SAMPLES).sqrt()
    near = ((v.mean(0) - squares.mean(0)).abs() <= ERRORS * error + 1e-9).all()
    assert near, f"{name}.random_root is not as long as the residuals of sampled targets, on average"
