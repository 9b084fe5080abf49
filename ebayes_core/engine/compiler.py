"""The training step as torch's own compiler writes it: on GPUs, and for formulas that have no C."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from ebayes_core.contract.functions import DECOMPOSITIONS
from ebayes_core.engine import compiler_folder
from ebayes_core.engine.compiler_folder import CURE

log = logging.getLogger("ebayes")

P = ParamSpec("P")
#: allow fused multiply-add, rounded once: makes the update 10% faster
FUSED = {"cpp.enable_floating_point_contract_flag": "fast"}


def compiled(function: Callable[P, None], *example: P.args, **none: P.kwargs) -> Callable[P, None] | None:
    """The same function as one compiled kernel; None, with one warning in the log, if no compiler works.

    The step, including its gradient, is first traced to plain tensor operations. So the compiler sees only arithmetic,
    however the formula of a third-party plugin is written, and an autograd.Function keeps its own backward.
    """
    try:
        # in this order: when inductor is imported, it looks for its folder
        with compiler_folder.usable(), torch.no_grad():
            return _kernel(function, *tree_flatten(example))
    except Exception as error:  # a missing compiler can raise any of a dozen exceptions
        why = compiler_folder.described(error)
        log.warning("no compiled update: %s; continuing without, several times slower; %s", why, CURE)
        return None


def _kernel(function: Callable[..., None], leaves: list[Any], structure: TreeSpec) -> Callable[..., None]:
    """The compiled kernel takes the tensors of its arguments one by one: records are taken apart once."""
    from torch.fx.experimental.proxy_tensor import make_fx

    scratch = [t.clone() for t in leaves]
    flat = lambda *tensors: function(*tree_unflatten(tensors, structure))
    graph = make_fx(flat, decomposition_table=DECOMPOSITIONS)(*scratch)
    fused = torch._inductor.compile(graph, scratch, options=FUSED)
    return lambda *arguments: fused(*tree_leaves(arguments))
