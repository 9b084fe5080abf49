"""Energy-efficient synapses: networks whose reliable synapses cost energy, trained, measured and taken out.

`run` trains a spec, `fit` a network on data of one's own, and `solve` finds the noise that a trained network bears;
each returns a `Run`, as `open` does. A plugin begins with `from ebayes import Cost, hookimpl`. Importing this package
takes no time: each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for editors and type checkers
    from ebayes import testing
    from ebayes_core.api.comparing import compare
    from ebayes_core.api.experiments import Experiment, load
    from ebayes_core.api.fitting import fit, solve
    from ebayes_core.api.installed import specs
    from ebayes_core.api.opening import open
    from ebayes_core.api.runs import Run
    from ebayes_core.api.training import run
    from ebayes_core.contract.claim import Claim
    from ebayes_core.contract.compound import Several, Stepwise
    from ebayes_core.contract.likelihoods import Classification, Likelihood, Regression
    from ebayes_core.contract.slots import (
        Analysis,
        Cost,
        Dataset,
        Inference,
        Network,
        Noise,
        Optimizer,
        Quanta,
        Slope,
        Stage,
        Trace,
        VesicleCost,
        hookimpl,
    )
    from ebayes_core.errors import EbayesError, Interrupted, UserError
    from ebayes_core.modules.network import module_network

#: module -> the names that are imported from it
_HOMES = {
    "ebayes_core.contract.slots": (
        "Analysis", "Cost", "Dataset", "Inference", "Network", "Noise", "Optimizer", "Quanta", "Slope", "Stage",
        "Trace", "VesicleCost", "hookimpl",
    ),
    "ebayes_core.contract.likelihoods": ("Classification", "Likelihood", "Regression"),
    "ebayes_core.contract.compound": ("Several", "Stepwise"),
    "ebayes_core.contract.claim": ("Claim",),
    "ebayes": ("testing",),
    "ebayes_core.errors": ("EbayesError", "Interrupted", "UserError"),
    "ebayes_core.modules.network": ("module_network",),
    "ebayes_core.api.comparing": ("compare",),
    "ebayes_core.api.experiments": ("Experiment", "load"),
    "ebayes_core.api.fitting": ("fit", "solve"),
    "ebayes_core.api.installed": ("specs",),
    "ebayes_core.api.opening": ("open",),
    "ebayes_core.api.runs": ("Run",),
    "ebayes_core.api.training": ("run",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Analysis", "Claim", "Classification", "Cost", "Dataset", "EbayesError", "Experiment", "Inference", "Interrupted",
    "Likelihood", "Network", "Noise", "Optimizer", "Quanta", "Regression", "Run", "Several", "Slope", "Stage",
    "Stepwise", "Trace", "UserError", "VesicleCost", "compare", "fit", "hookimpl", "load", "module_network", "open",
    "run", "solve", "specs", "testing",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("ebayes")
    if name not in _HOME:
        raise AttributeError(f"module 'ebayes' has no name '{name}'; it has {', '.join(__all__)}")
    home = _HOME[name]
    found = import_module(f"{home}.{name}") if home == __name__ else getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
