"""The C text of a recorded step: a function for each pass, one that runs all passes of a network, and one for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import Any

import torch

from ebayes_core.engine.native.operations import EXPRESSIONS
from ebayes_core.engine.native.recording import Axes, Count, Literal, Operand, Operation, Program, Value
from ebayes_core.engine.native.schedule import ONE, Pass, needed, passes
from ebayes_core.engine.native.tallies import tallies

#: synapses of a short loop: with its intermediate results they fit the first cache
TILE = 128
TYPES = {torch.float32: "float", torch.float64: "double", torch.bool: "uint8_t", torch.int64: "int64_t"}


@dataclass
class Text:
    """The step in C."""

    source: str
    scratch: list[tuple[int, torch.dtype]]  #: further arguments (member, size) for what passes keep: size and type
    tallies: set[int] | None  #: arguments with a place for each thread; None if threads cannot share a network


def written(program: Program, sizes: Mapping[int, int]) -> Text:
    """The text of a program; sizes: the true size of each stand-in."""
    return _Writer(program, sizes).text()


@dataclass
class _Writer:
    program: Program
    sizes: Mapping[int, int]
    scratch: list[Value] = field(default_factory=list)
    numbers: dict[Value, str] = field(default_factory=dict)  #: variables of what a network has once
    functions: dict[str, str] = field(default_factory=dict)  #: names by text: alike layers share one

    @cached_property
    def tallies(self) -> set[int] | None:
        """Numbers of a network that its threads can add up apart; None if they need each other's sums."""
        return tallies(self.program, needed(self.program))

    def text(self) -> Text:
        given = [*self.program.arguments, *self._constants()]
        inputs = [self._load(v) for v in given if v.axes == ONE]
        every = passes(self.program)
        lines = [line for p in every for line in (self._numbers(p) if p.space == ONE else self._run(p))]
        last = [f"{self._number(self._argument(a))} = {self._outside(v)};"
                for p in every if p.space == ONE for a, v in p.stores]  # fmt: skip
        body = "\n    ".join([*inputs, *lines, *last])
        return Text(_FRAME.format(
            functions=resources.files(__package__).joinpath("functions.h").read_text(encoding="utf-8"),
            passes="\n".join(text.replace("NAME", name, 1) for text, name in self.functions.items()),
            tile=TILE, body=body,
        ), [(self._true(v.axes), v.dtype) for v in self.scratch], self.tallies)  # fmt: skip

    def _true(self, axes: Axes) -> int:
        return self.sizes[axes.draws] * self.sizes[axes.synapses]

    def _constants(self) -> list[Value]:
        first = len(self.program.arguments)
        return [Value(ONE, t.dtype, first + i) for i, t in enumerate(self.program.constants)]

    def _argument(self, number: int) -> Value:
        return self.program.arguments[number]

    def _load(self, v: Value) -> str:
        return f"const {TYPES[v.dtype]} a{v.argument} = {self._number(v)};"

    def _number(self, v: Value) -> str:
        """An argument that a network has once; of a tally, the place of this part of the network."""
        place = f"*(({TYPES[v.dtype]} *)at(a, {v.argument}, k)"
        return f"{place} + part)" if v.argument in (self.tallies or ()) else f"{place})"

    def _numbers(self, p: Pass) -> list[str]:
        """The statements that compute what a network has once."""
        lines = []
        for o in p.operations:
            self.numbers[o.result] = f"s{len(self.numbers)}"
            text = expression(o, self._outside, self.sizes)
            lines.append(f"const {TYPES[o.result.dtype]} {self.numbers[o.result]} = {text};")
        return lines

    def _outside(self, v: Operand) -> str:
        """A number of the network as the function that runs the passes knows it."""
        if not isinstance(v, Value):
            return literal(v, torch.float64, self.sizes)
        return self.numbers.get(v, f"a{v.argument}")

    def _run(self, p: Pass) -> list[str]:
        """The call of a pass, and before it the variables for its sums."""
        function = _Function(p, self)
        text = function.text()
        name = self.functions.setdefault(text, f"pass_{len(self.functions)}")
        draws, synapses = (self.sizes[n] for n in p.space)
        return [
            *function.before,
            f"{name}({', '.join([f'{draws}, {synapses}, part, parts, -k * {synapses} & 15', *function.given])});",
        ]

    def place(self, v: Value) -> str:
        """A pointer to the row of a network of an argument, or of what an earlier pass has kept."""
        if v.argument is not None:
            return f"at(a, {v.argument}, k)"
        if v not in self.scratch:
            self.scratch.append(v)
        return f"at(a, {len(self.program.arguments) + len(self.program.constants) + self.scratch.index(v)}, k)"


class _Function:
    """One pass: its parameters in the order of their first use, so that alike passes have the same text."""

    def __init__(self, p: Pass, writer: _Writer) -> None:
        self.p, self.writer = p, writer
        self.section_of = {o.result: i for i, section in enumerate(p.sections()) for o in section}
        self.given, self.before, self.parameters = list[str](), list[str](), list[str]()
        self.names: dict[object, str] = {}
        self.buffers: dict[Value, str] = {}

    def text(self) -> str:
        sections = list(self.p.sections()) or [[]]
        loops = [self._loop(i, section) for i, section in enumerate(sections)]
        drawn = self.p.space.draws > 1
        inner = "\n".join(loops)
        if drawn:
            inner = f"for (long d = 0; d < draws; d++) {{\n{inner}\n}}"
        arrays = [f"{TYPES[v.dtype]} {name}[TILE];" for v, name in self.buffers.items()]
        opened, closed, begun, ended = self._totals()
        return _PASS.format(
            parameters=", ".join(self.parameters),
            opened="\n".join(opened), arrays="\n".join([*arrays, *begun]), loops=inner, ended="\n".join(ended),
            closed="\n".join(closed),
        )  # fmt: skip

    def _loop(self, number: int, section: Sequence[Operation]) -> str:
        local = {o.result: f"v{i}" for i, o in enumerate(section)}
        lines = []
        for o in section:
            name, kind = local[o.result], TYPES[o.result.dtype]
            if o.name == "sum":
                lines.append(f"{self._accumulator(o)}[i] += {self._inside(o.operands[0], local)};")
                continue
            text = expression(o, lambda v: self._inside(v, local), self.writer.sizes)
            lines.append(f"const {'int' if kind == 'uint8_t' else kind} {name} = {text};")
            if self._needed_later(o.result, number):
                self.buffers[o.result] = self.buffers.get(o.result, f"b{len(self.buffers)}")
                lines.append(f"{self.buffers[o.result]}[i] = {name};")
            if o.result in self.p.kept:
                lines.append(f"{self._pointer(o.result)} = {name};")
        written = [(a, v) for a, v in self.p.stores if self._when(a, v) == number]
        lines += [f"{self._pointer(self.writer._argument(a))} = {self._inside(v, local)};" for a, v in written]
        return "for (long i = 0; i < n; i++) {\n" + "\n".join(lines) + "\n}"

    def _needed_later(self, v: Value, number: int) -> bool:
        later = any(self.section_of[o.result] > number and v in o.values for o in self.p.operations)
        return later or any(w is v and self._when(a, w) > number for a, w in self.p.stores)

    def _when(self, argument: int, value: Operand) -> int:
        """The section in which an argument is written: its old value is not read in any later one."""
        readers = [self.section_of[o.result] for o in self.p.operations if argument in {v.argument for v in o.values}]
        return max([self.section_of.get(value, 0), *readers])  # type: ignore[arg-type]

    def _inside(self, v: Operand, local: Mapping[Value, str]) -> str:
        if not isinstance(v, Value):
            return literal(v, torch.float64, self.writer.sizes)
        if v in local:
            return local[v]
        if v in self.buffers:
            return f"{self.buffers[v]}[i]"
        if v.axes == ONE:
            return self._parameter(v, f"const {TYPES[v.dtype]} ", self.writer._outside(v), "q")
        return self._pointer(v)

    def _pointer(self, v: Value) -> str:
        name = self._parameter(v, f"{TYPES[v.dtype]} *restrict ", self.writer.place(v), "p")
        return f"{name}[d * synapses + t + i]" if v.axes.draws > 1 else f"{name}[t + i]"

    def _parameter(self, key: object, declared: str, given: str, letter: str) -> str:
        if key not in self.names:
            self.names[key] = f"{letter}{len(self.names)}"
            self.parameters.append(declared + self.names[key])
            self.given.append(given)
        return self.names[key]

    def _accumulator(self, o: Operation) -> str:
        return self.names.setdefault(("sum", o.result), f"c{len(self.names)}")

    def _totals(self) -> tuple[list[str], list[str], list[str], list[str]]:
        """What surrounds all tiles, and what surrounds the draws of one, to add up sums."""
        opened, closed, begun, ended = [], [], [], []
        for o in self.p.sums:
            name, kind = self._accumulator(o), TYPES[o.result.dtype]
            if o.result.axes == ONE:
                variable = self.writer.numbers[o.result] = f"s{len(self.writer.numbers)}"
                self.before.append(f"{kind} {variable};")
                result = self._parameter(("total", o.result), f"{kind} *restrict ", f"&{variable}", "q")
                opened.append(f"{kind} {name}[TILE] = {{0}};")
                closed += ["double total = 0;", f"for (long i = 0; i < TILE; i++) total += {name}[i];",
                           f"*{result} = total;"]  # fmt: skip
            else:
                begun.append(f"{kind} {name}[TILE] = {{0}};")
                ended.append(f"for (long i = 0; i < n; i++) {self._pointer(o.result)} = {name}[i];")
        return opened, [f"{{ {' '.join(closed[i : i + 3])} }}" for i in range(0, len(closed), 3)], begun, ended


def expression(o: Operation, read: Callable[[Operand], str], sizes: Mapping[int, int]) -> str:
    """An operation in C. Numbers and operands are converted to the type in which it is computed."""
    kinds = [v.dtype for v in o.values if v.dtype.is_floating_point]
    widest = max(kinds, key=lambda k: k.itemsize, default=o.result.dtype)
    kind = o.result.dtype if o.result.dtype.is_floating_point else widest

    def operand(x: Any) -> str | None:
        if x is None:
            return None
        if not isinstance(x, Value):
            return literal(x, kind, sizes)
        text = read(x)
        return f"({TYPES[kind]}){text}" if x.dtype != kind and x.dtype.is_floating_point else text

    return EXPRESSIONS[o.name](*map(operand, o.operands))


def literal(x: Any, kind: torch.dtype, sizes: Mapping[int, int]) -> str:
    """A number as C text."""
    number = sizes[x.size] if isinstance(x, Count) else x.number if isinstance(x, Literal) else x
    if isinstance(number, bool | int) and not kind.is_floating_point:
        return str(int(number))
    if not math.isfinite(number):
        return "NAN" if math.isnan(number) else "INFINITY" if number > 0 else "(-INFINITY)"
    text = f"{float(number)!r}" if float(number) != int(number) or abs(number) > 1e6 else str(int(number))
    exact = text if text.lstrip("-").isdigit() else text + ("f" if kind == torch.float32 else "")
    return f"({exact})" if number < 0 else exact


_PASS = """
static void NAME(long draws, long synapses, long part, long parts, long ahead, {parameters}) {{
const long first = boundary(part, parts, synapses, ahead), last = boundary(part + 1, parts, synapses, ahead);
{opened}
for (long t = first, n; t < last; t += n) {{
n = t == 0 && ahead ? ahead : TILE;
n = n < last - t ? n : last - t;
{arrays}
{loops}
{ended}
}}
{closed}
}}
"""

_FRAME = """{functions}
#define TILE {tile}

/* an argument: where it begins, and the bytes from one network to the next */
typedef struct {{ char *start; int64_t stride; }} array;
static inline void *at(const array *a, int number, long k) {{ return a[number].start + k * a[number].stride; }}

/* where a part of a row begins; all tiles but the first begin at a multiple of 64 bytes in memory */
static inline long boundary(long part, long parts, long synapses, long ahead) {{
    long tile = (synapses / TILE + 2) * part / parts, at = (tile - (ahead > 0)) * TILE + ahead;
    return tile == 0 ? 0 : part == parts || at > synapses ? synapses : at;
}}
{passes}
static void member(const array *a, long k, long part, long parts) {{
    {body}
}}

/* whether denormal numbers count as 0 is a setting of each thread */
#ifdef __SSE2__
#define MODE __builtin_ia32_stmxcsr()
#define SET_MODE(mode) __builtin_ia32_ldmxcsr(mode)
#else
#define MODE 0
#define SET_MODE(mode)
#endif

void step(const array *a, long members, long parts, int threads) {{
    const unsigned mode = MODE;
    #pragma omp parallel for num_threads(threads) schedule(static)
    for (long i = 0; i < members * parts; i++) {{
        SET_MODE(mode);
        member(a, i / parts, i % parts, parts);
    }}
}}
"""
