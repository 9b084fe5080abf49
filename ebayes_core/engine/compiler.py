"""Compilation of the training step into one kernel, and the fallback to the plain step if no compiler works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec
from unittest.mock import patch

import torch
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from ebayes_core.contract.functions import DECOMPOSITIONS
from ebayes_core.engine import compiler_folder
from ebayes_core.engine.compiler_folder import CURE

log = logging.getLogger("ebayes")

P = ParamSpec("P")
#: allow fused multiply-add, rounded once: makes the update 10% faster
FUSED = {"cpp.enable_floating_point_contract_flag": "fast"}

# Inductor calls a vector library for exp, log and erf, and around each call every register of the loop is saved to
# memory. Inlined, they make the update 20% faster. exp and log split off a power of two and then use a minimax
# polynomial on half an octave (coefficients of Cephes' expf and logf, S. Moshier); ATen's vector type makes the same
# code work on any processor.
EXP = """[](auto x) {
    using V = at::vec::Vectorized<float>; using I = at::vec::Vectorized<int32_t>;
    x = at::vec::clamp(x, V(-87.6f), V(89.f));  // beyond, exp is 0 or inf
    auto n = (x * V(1.44269504f)).round();
    auto r = at::vec::fmadd(n, V(2.12194440e-4f), at::vec::fmadd(n, V(-0.693359375f), x));
    auto p = V(1.9875691500e-4f);
    for (float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = at::vec::fmadd(p, r, V(c));
    p = at::vec::fmadd(p, r * r, r) + V(1.f);
    auto i = at::vec::convert_to_int_of_same_size(n);
    auto half = at::vec::cast<float>((i + I(126)) << I(23));  // 2**(n - 1), since 2**n overflows before exp(x)
    return p * half * V(2.f);
}"""
LOG = """[](auto x) {
    using V = at::vec::Vectorized<float>; using I = at::vec::Vectorized<int32_t>;
    auto bits = at::vec::cast<int32_t>(x), n = (bits - I(0x3f3504f3)) >> I(23);
    auto m = at::vec::cast<float>(bits - (n << I(23))) - V(1.f), e = at::vec::convert_to_fp_of_same_size<float>(n);
    auto p = V(7.0376836292e-2f);
    for (float c : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
                    2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f})
        p = at::vec::fmadd(p, m, V(c));
    auto y = at::vec::fmadd(m * m, V(-0.5f), at::vec::fmadd(e, V(-2.12194440e-4f), p * m * (m * m)));
    y = at::vec::fmadd(e, V(0.693359375f), m + y);
    return V::blendv(x - V(INFINITY), y, x >= V(FLT_MIN));  // -inf at 0; denormals count as 0, as in a run
}"""

ERF = f"""[](auto x) {{
    using V = at::vec::Vectorized<float>;
    auto exp = {EXP};
    auto t = V(1.f) / at::vec::fmadd(x.abs(), V(0.3275911f), V(1.f));  // Abramowitz and Stegun 7.1.26, as in ATen
    auto p = V(1.061405429f);
    for (float c : {{-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f}}) p = at::vec::fmadd(p, t, V(c));
    return (V(1.f) - p * t * exp((x * x).neg())).copysign(x);
}}"""

TEXTS = {"exp": EXP, "log": LOG, "erf": ERF}


@contextmanager
def inlined() -> Iterator[None]:
    """A block in which inductor inlines float32's exp, log and erf into loops, if this version of torch allows it."""
    try:
        from torch._inductor.codegen.cpp import CppVecOverrides as table

        ops: dict[str, Any] = {name: _written(text, name, getattr(table, name)) for name, text in TEXTS.items()}
    except (ImportError, AttributeError):  # the table is private to torch and may move
        yield
        return
    with patch.multiple(table, **ops):
        yield


def _written(text: str, name: str, called: Callable[[Any], str]) -> staticmethod[[Any], str]:
    """An entry of inductor's table that writes `text`, or the original call if the type is not float32."""

    def op(x: Any) -> str:
        return f"{text}({x})" if x.dtype == torch.float32 else called(x)

    op.__name__ = name  # by this name inductor finds the scalar version
    return staticmethod(op)


def compiled(function: Callable[P, None], *example: P.args, **none: P.kwargs) -> Callable[P, None] | None:
    """The same function as one compiled kernel; None, with one warning in the log, if no compiler works.

    The step, including its gradient, is first traced to plain tensor operations. So the compiler sees only arithmetic,
    however the formula of a third-party plugin is written, and an autograd.Function keeps its own backward.
    """
    try:
        # in this order: when inductor is imported, it looks for its folder
        with compiler_folder.usable(), inlined(), torch.no_grad():
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
