"""The elementwise operations of torch that have a C expression, with their operands in the order of torch's schema."""

from __future__ import annotations

from collections.abc import Callable

Expression = Callable[..., str]


def _scaled(x: str, factor: str | None) -> str:
    return x if factor in (None, "1") else f"{factor} * {x}"


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    """A NaN compares false, and stays."""
    bounded = x if low is None else f"({x} < {low} ? {low} : {x})"
    return bounded if high is None else f"({bounded} > {high} ? {high} : {bounded})"


def _power(x: str, exponent: str) -> str:
    if exponent.isdigit():
        return f"INTEGER_POW({x}, {exponent})"
    return f"SQRT({x})" if exponent in ("0.5", "0.5f") else f"POW({x}, {exponent})"


def _comparison(sign: str) -> Expression:
    return lambda a, b: f"({a} {sign} {b})"


def _called(name: str) -> Expression:
    return lambda a: f"{name}({a})"


#: C expressions of C operands; numbers of the call stand as text, and None for what was not given.
#: Functions in capitals have a version for each type, in functions.h.
EXPRESSIONS: dict[str, Expression] = {
    "add": lambda a, b, alpha=None: f"{a} + {_scaled(b, alpha)}",
    "sub": lambda a, b, alpha=None: f"{a} - {_scaled(b, alpha)}",
    "rsub": lambda a, b, alpha=None: f"{b} - {_scaled(a, alpha)}",
    "mul": lambda a, b: f"{a} * {b}",
    "div": lambda a, b: f"{a} / {b}",
    "neg": lambda a: f"-{a}",
    "reciprocal": lambda a: f"1 / {a}",
    "square": lambda a: f"{a} * {a}",
    "addcmul": lambda a, b, c, value=None: f"{a} + {_scaled(f'{b} * {c}', value)}",
    "addcdiv": lambda a, b, c, value=None: f"{a} + {_scaled(f'{b} / {c}', value)}",
    "lerp": lambda a, b, w: f"({w} < 0.5f ? {a} + {w} * ({b} - {a}) : {b} - ({b} - {a}) * (1 - {w}))",
    "where": lambda c, a, b: f"({c} ? {a} : {b})",
    "masked_fill": lambda a, c, value: f"({c} ? {value} : {a})",
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda a, high: _clamp(a, None, high),
    "relu": lambda a: _clamp(a, "0"),
    "maximum": lambda a, b: f"({a} > {b} || {a} != {a} ? {a} : {b})",
    "minimum": lambda a, b: f"({a} < {b} || {a} != {a} ? {a} : {b})",
    "pow": _power,
    "sgn": lambda a: f"(({a} > 0) - ({a} < 0))",
    "sign": lambda a: f"(({a} > 0) - ({a} < 0))",
    "gt": _comparison(">"), "lt": _comparison("<"), "ge": _comparison(">="), "le": _comparison("<="),
    "eq": _comparison("=="), "ne": _comparison("!="),
    "logical_and": _comparison("&&"), "logical_or": _comparison("||"),
    "bitwise_and": _comparison("&"), "bitwise_or": _comparison("|"),
    "logical_not": lambda a: f"!{a}",
    "bitwise_not": lambda a: f"!{a}",
    "abs": _called("ABS"), "sqrt": _called("SQRT"), "exp": _called("EXP"), "log": _called("LOG"), "erf": _called("ERF"),
    "expm1": _called("EXPM1"), "log1p": _called("LOG1P"), "tanh": _called("TANH"), "cos": _called("COS"),
    "sin": _called("SIN"), "floor": _called("FLOOR"),
    "rsqrt": lambda a: f"1 / SQRT({a})",
    "sigmoid": lambda a: f"1 / (1 + EXP(-{a}))",
    "sigmoid_backward": lambda g, y: f"{g} * (1 - {y}) * {y}",
    "tanh_backward": lambda g, y: f"{g} * (1 - {y} * {y})",
    "threshold_backward": lambda g, x, at: f"({x} <= {at} ? 0 : {g})",
    "softplus": lambda x, beta, threshold: f"({x} * {beta} > {threshold} ? {x} : LOG1P(EXP({x} * {beta})) / {beta})",
    "softplus_backward": lambda g, x, beta, threshold: (
        f"({x} * {beta} > {threshold} ? {g} : {g} / (1 + EXP(-{x} * {beta})))"
    ),
    "_to_copy": lambda a: a,
}  # fmt: skip

#: cycles that an operation takes, about; a loop of more than these is cut
COSTS = {
    "exp": 14, "log": 18, "erf": 30, "expm1": 18, "log1p": 22, "tanh": 25, "cos": 40, "sin": 40, "sqrt": 6, "rsqrt": 12,
    "div": 6, "reciprocal": 6, "addcdiv": 7, "pow": 40, "sigmoid": 20, "softplus": 40, "softplus_backward": 25,
}  # fmt: skip
