"""Errors in plugins, and invalid return values, are reported with slot, kind, distribution, and what to do."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from ebayes_core.cli.exit_status import guarded
from ebayes_core.contract.attribution import blamed
from ebayes_core.contract.claim import Claim
from ebayes_core.contract.likelihoods import Classification
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, Cost, Dataset, Inference, Network, Noise, hookimpl
from ebayes_core.errors import AbsentError, PluginError, UserError
from ebayes_core.report import claims, figures, page, screen
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps import estimate
from ebayes_core.sweeps.options import Options
from ebayes_core.sweeps.planning import find_device
from ebayes_core.sweeps.run import run
from tests.build import DIGITS

SMALL = DIGITS + 'measurement = { samples = 2, probe_examples = 100 }\n[sweep]\n"cost.c" = [0.01, 1.0]\n'


class Square(torch.autograd.Function):
    """A custom backward pass, which torch calls: no method of the plugin is on the stack there."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.square()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError("boom")


def boom(*_: Any) -> Any:
    raise ArithmeticError("boom")


class OddCost(Cost):
    """Raises in the method named by `fault`."""

    kind: Literal["odd"] = "odd"
    fault: Literal["none", "energy", "backward"] = "none"

    def energy(self, sigma, mu):
        if self.fault == "backward":
            return 1 / Square.apply(sigma)
        return boom() if self.fault == "energy" else 1 / sigma


class OddNoise(Noise):
    """Raises in the method named by `fault`."""

    kind: Literal["odd"] = "odd"
    fault: Literal["init", "sigma", "init returned"]

    def init(self, mu):
        if self.fault == "init returned":
            return 0.1
        return boom() if self.fault == "init" else {"phi": torch.zeros_like(mu)}

    def sigma(self, mu, free):
        return boom()


class OddInference(Inference):
    """Raises in the method named by `fault`."""

    kind: Literal["odd"] = "odd"
    fault: Literal["magnitude_cost", "reliability_cost", "log_prior"]

    def magnitude_cost(self, mu, sigma):
        return boom() if self.fault == "magnitude_cost" else mu.abs()

    def reliability_cost(self, mu, sigma, cost):
        return boom() if self.fault == "reliability_cost" else cost(sigma, mu)

    def log_prior(self, mu, sigma):
        return boom() if self.fault == "log_prior" else None


class OddNetwork(Network):
    """Raises in the method named by `fault`."""

    kind: Literal["odd"] = "odd"
    fault: Literal["none", "shapes", "shapes returned", "forward", "trace", "trace returned", "gradients"] = "none"

    def shapes(self, inputs, outputs):
        if self.fault == "shapes returned":
            return None
        return boom() if self.fault == "shapes" else [(*outputs, *inputs)]

    def forward(self, weights, x):
        return boom() if self.fault == "forward" else x @ weights[0].transpose(1, 2)

    def trace(self, weights, x):
        if self.fault == "trace returned":
            return 3
        return boom() if self.fault == "trace" else None

    def gradients(self, weights, x, residual, out):
        return boom() if self.fault == "gradients" else super().gradients(weights, x, residual, out)


class OddData(Dataset):
    """Raises in the method named by `fault`; otherwise has the given number of classes."""

    kind: Literal["odd"] = "odd"
    fault: Literal["none", "load", "load returned", "task", "task returned"] = "none"
    classes: int = 3

    def load(self, split):
        if self.fault == "load returned":
            return 1, 2
        x = torch.randn(400, 4, generator=torch.Generator().manual_seed(len(split)))
        return boom() if self.fault == "load" else (x, torch.arange(400) % self.classes)

    def task(self):
        if self.fault == "task returned":
            return None
        return boom() if self.fault == "task" else Classification(self.classes)


class OddAnalysis(Analysis):
    """Raises in the method named by `fault`."""

    kind: Literal["odd"] = "odd"
    fault: str
    claims = (Claim(1, "odd", "odd", (0, 1), lambda analysis, arrays: boom() if analysis.fault == "claims" else []),)

    def measure(self, run):
        bad = {
            "measure returned": None, "object": {"a": np.array([None])}, "ragged": {"a": [[1], [1, 2]]},
            "name": {"a/b": np.ones(1)},
        }  # fmt: skip
        if self.fault == "absent":
            run.layer(0, 1, "nothing")
        return boom() if self.fault == "measure" else bad.get(self.fault, {"a": np.ones(2)})

    def statistics(self, arrays):
        if self.fault == "statistics returned":
            return 3
        return boom() if self.fault == "statistics" else {}

    def draw(self, arrays, figure):
        figure.subplots().plot(arrays["a"])
        if self.fault == "draw":
            boom()


CLASSES = {
    "costs": OddCost, "noises": OddNoise, "inferences": OddInference, "networks": OddNetwork, "datasets": OddData,
    "analyses": OddAnalysis,
}  # fmt: skip


@pytest.fixture(scope="module")
def odd() -> Registry:
    hooks = {f"ebayes_{slot}": hookimpl(lambda cls=cls: [cls]) for slot, cls in CLASSES.items()}
    return Registry.of(types.SimpleNamespace(__name__="odd_package", **hooks))


def message(act: Callable[[], Any], registry: Registry) -> str:
    """The message about a failure, from the check of the contract or from the caller that handles the error."""
    with pytest.raises(Exception) as caught:
        act()
    return blamed(caught.value, registry)


FAULTS = [
    *(("cost", fault) for fault in ("energy", "backward")),
    *(("noise", fault) for fault in ("init", "init returned", "sigma")),
    *(("inference", fault) for fault in ("magnitude_cost", "reliability_cost", "log_prior")),
    *(("network", fault) for fault in ("shapes", "shapes returned", "forward", "trace", "trace returned", "gradients")),
    *(("dataset", fault) for fault in ("load", "load returned", "task", "task returned")),
]


@pytest.mark.parametrize("slot, fault", FAULTS)
def test_every_method_of_a_run_is_named(odd: Registry, tmp_path: Path, slot: str, fault: str) -> None:
    asked = [f'{slot}={{kind="odd", fault="{fault}"}}', 'cost={kind="odd"}'][: 2 if slot != "cost" else 1]
    experiment = loads(SMALL, odd, [*asked, "sweep={}"])
    told = message(lambda: run(experiment, SMALL, odd, tmp_path / "a.h5", Options("cpu")), odd)
    assert re.search(rf"{slot} 'odd'.* of odd_package 0 \({fault}".replace(" returned", "|what"), told), told
    assert ("' or " in told) == (fault == "backward")  # of which torch does not say whose it is
    assert (f"what {fault}" in told) == ("returned" in fault)
    assert ("ArithmeticError: boom" in told) == ("returned" not in fault)
    assert f"; report it to its author with what EBAYES_DEBUG=1 shows, or take another {slot}" in told
    assert "\n" not in told


@pytest.mark.parametrize("slot, fault", [f for f in FAULTS if f[1] not in ("log_prior", "backward")])
def test_the_check_before_a_run_meets_them_too(odd: Registry, slot: str, fault: str) -> None:
    asked = [f'{slot}={{kind="odd", fault="{fault}"}}', "sweep={}"]
    told = message(lambda: estimate.estimates(loads(SMALL, odd, asked).members(), find_device("cpu"), False), odd)
    assert re.match(rf"{slot} 'odd' of odd_package 0 \(", told), told


@pytest.fixture(scope="module")
def finished(odd: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "a.h5"
    run(loads(SMALL, odd), SMALL, odd, path, Options("cpu"))
    return path


@pytest.fixture
def file(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "a.h5"
    copy.write_bytes(finished.read_bytes())
    return copy


ODD = r"analysis 'odd' of odd_package 0 \("


@pytest.mark.parametrize(
    "fault, says",
    [
        ("measure", "boom"), ("measure returned", "what measure returned"),
        ("object", "'a' is not an array of numbers"),
        ("ragged", "what measure returned"), ("name", "'a/b' is not a valid name of an array"),
        ("absent", "no 'nothing' in .*; there are"),
    ],
)  # fmt: skip
def test_an_analysis_that_fails_is_named_and_costs_no_other(odd: Registry, file: Path, fault: str, says: str) -> None:
    asked = {"first": OddAnalysis(fault="none"), "odd": OddAnalysis(fault=fault), "last": OddAnalysis(fault="none")}
    (problem,) = figures.measure(file, asked, odd)
    assert re.match(rf"odd: {ODD}.*{says}", problem), problem
    with Run(file) as found:
        assert set(found.analyses) == {"first", "last"}


def test_figures_tables_claims_and_pages_name_it(odd: Registry, file: Path, tmp_path: Path, capsys) -> None:
    from rich.console import Console

    faults = ("draw", "statistics", "statistics returned", "claims", "none")
    assert not figures.measure(file, {fault: OddAnalysis(fault=fault) for fault in faults}, odd)
    pictures, problems = figures.draw(file, tmp_path / "figures", odd)
    assert len(pictures) == 2 * (len(faults) - 1)
    assert [bool(re.match(f"draw: cannot be drawn: {ODD}draw, line .*boom, line", p)) for p in problems] == [True]
    screen.show(Console(width=2000), file, odd, screen.Asked(statistics=True))
    out = capsys.readouterr().out
    for fault in ("statistics", "statistics returned"):
        assert re.search(f"{fault}: no statistics: {ODD}", out)
    lost = claims.findings(file, odd)[1]
    assert list(lost) == ["claims"] and re.match(ODD, blamed(lost["claims"], odd))
    lacking = page.write(file, tmp_path / "a.html", odd)
    assert len(lacking) == 4 and all(re.search(ODD, line) for line in lacking), lacking
    assert (tmp_path / "a.html").stat().st_size > 1000


@pytest.mark.parametrize("faulty", [OddCost, OddNoise])
def test_a_method_that_wants_another_argument_is_found_before_anything_runs(faulty: type) -> None:
    """Otherwise a bare TypeError would be raised at the first call, naming neither the plugin nor its package."""
    method = "energy" if faulty is OddCost else "sigma"
    body = {method: lambda self, sigma, mu, temperature: mu, "__module__": __name__, "__doc__": "Odd."}
    hooks = {f"ebayes_{faulty.slot}s": hookimpl(lambda: [type("Wrong", (faulty,), body)])}
    with pytest.raises(
        PluginError, match=rf"wrong_package: .*Wrong.{method}\(self, sigma, mu, temperature\) cannot be"
    ):
        Registry.of(types.SimpleNamespace(__name__="wrong_package", **hooks))


LARGE = SMALL.replace("epochs = 2", "epochs = 30")


@pytest.fixture(scope="module")
def without_gauss_newton(odd: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of 101 classes, and a network without a trace."""
    path = tmp_path_factory.mktemp("run") / "b.h5"
    asked = ['dataset={kind="odd", classes=101}', 'network={kind="odd"}', 'sweep={"cost.c"=[1e-6, 1e-4]}']
    run(loads(LARGE, odd, asked), LARGE, odd, path, Options("cpu"))
    return path


@pytest.mark.parametrize(
    "kind, options, says",
    [
        (
            "importance",
            {},
            "Gauss-Newton is measured for at most 100 outputs.*available are .*fisher_true_noise",
        ),
        ("importance", {"estimator": "input_abs"}, "a trace.*available are .*learning_rate_rms"),
        ("experiment", {"layer": 1}, "'input_abs' was not measured for these networks .* a trace"),
        ("two_synapses", {"layer": 1}, "at most 100 outputs"),
        ("posterior", {"layer": 1, "against": "laplace"}, "at most 100 outputs"),
        ("importance", {"estimator": "fisher_true_noise"}, ""),
        ("tradeoff", {}, ""),
        ("advantage", {}, ""),
        ("training", {}, ""),
    ],
)
def test_what_networks_do_not_offer_is_said_with_what_they_do(
    odd: Registry, without_gauss_newton: Path, kind: str, options: dict[str, Any], says: str
) -> None:
    analysis = odd.kinds("analysis")[kind](**options)
    problems = figures.measure(without_gauss_newton, {kind: analysis}, odd)
    assert len(problems) == bool(says), problems
    for problem in problems:
        assert re.match(rf"{kind}: .*{says}", problem) and "Error" not in problem


def test_of_a_sweep_over_networks_those_that_offer_it_are_measured(odd: Registry, tmp_path: Path) -> None:
    path, networks = tmp_path / "c.h5", 'sweep.network=[{kind="odd"}, {kind="mlp", hidden=[4]}]'
    run(loads(SMALL, odd, [networks]), SMALL, odd, path, Options("cpu"))
    asked = {"importance": odd.kinds("analysis")["importance"](estimator="input_abs")}
    assert not figures.measure(path, asked, odd)
    with Run(path) as found:
        assert set(found.analysis("importance")["member"]) == {1, 3}
        assert found.analysis("importance")["skipped"].tolist() == [2]


def test_what_a_command_ends_with_names_the_plugin(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an installed plugin; an error that is not a mistake in the code has no advice to report it."""
    monkeypatch.delenv("EBAYES_DEBUG", raising=False)
    installed = Registry.load().kinds("cost")["calcium"]()
    assert guarded(lambda: installed.energy(object(), None)) == 1
    err = capsys.readouterr().err
    assert re.match(r"cost 'calcium' of ebayes \S+ \(energy, line \d+\): ", err), err
    assert "report it to the developers of ebayes" in err and "Traceback" not in err
    monkeypatch.setenv("EBAYES_DEBUG", "1")
    assert guarded(lambda: installed.energy(object(), None)) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "cost 'calcium' of ebayes" in err


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError("no room"), UserError("mend it")]
)
def test_what_is_no_mistake_of_the_code_is_not_reported_to_its_author(odd: Registry, error: Exception) -> None:
    class Raises(OddCost):
        def energy(self, sigma, mu):
            raise error

    hooks = types.SimpleNamespace(__name__="raises", ebayes_costs=hookimpl(lambda: [Raises]))
    registry = Registry([*(e for e in odd.entries if e.cls is not OddCost), *Registry.of(hooks).entries[-1:]])
    told = message(lambda: Raises().energy(None, None), registry)
    assert "report it" not in told
    assert told.startswith("cost 'odd' of raises 0 (energy") or isinstance(error, UserError)


def test_an_absent_array_is_a_key_error_that_reads_as_a_sentence(finished: Path) -> None:
    with Run(finished) as found, pytest.raises(KeyError) as caught:
        found.layer(0, 1, "gauss_newton_noisy")
    assert isinstance(caught.value, AbsentError) and str(caught.value).startswith("no 'gauss_newton_noisy' in ")
    assert "did you mean 'gauss_newton_noise'" in str(caught.value)
