"""Unusual specs: from a grammar that knows every field, and by damaging valid specs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

SPECS = sorted((Path(__file__).parents[2] / "ebayes_plugins" / "specs").rglob("*.toml"))
NUMBERS = [
    "0", "-0.0", "-1", "1", "1e-30", "1e308", "5e-324", "nan", "inf", "-inf", "9007199254740992",
    "18446744073709551616",
    "1" + 400 * "0", "1" + 5000 * "0", "true", "1979-05-27", "1e400", "0x10", "1_000", '"1"', "[]", "{}", "''",
]  # fmt: skip
NAMES = ["../x", "CON", "", "a\nb", 101 * "a", "\N{CYRILLIC SMALL LETTER A}", ".", "a/b", "x" * 100, "nul\0", "-", "é"]

#: fields about a file with means, which there is none of, so that a spec that has them is refused
RARE = dict.fromkeys(("means", "means_member", "folder", "digest"), 0.01)


class Grammar:
    """Tables that follow the JSON Schema of specs, with values within, at, and beyond the bounds of every field."""

    def __init__(self, schema: dict[str, Any], chance: random.Random) -> None:
        self.schema, self.chance = schema, chance

    def text(self) -> str:
        """A spec as TOML."""
        table = self._table(self.schema)
        if self.chance.random() < 0.3:
            table.pop("sweep", None)
            table["sweep"] = self.sweep()
        return tomli_w.dumps(_plain(table))

    def sweep(self) -> dict[str, Any]:
        """Rows over existing fields, and sometimes over others."""
        fields = [
            "cost.c",
            "optimizer.learning_rate",
            "noise",
            "cost",
            "seed",
            "network.hidden",
            "no.such",
            "cost.c, seed",
        ]
        rows = [
            [0.1, 1.0], [0.1, -1.0, "x"], [[0.1, 0], [1.0, 1]], {"logspace": [-3, 0, 4]}, {"linspace": [0, 1, 10**9]},
            {"range": [0, 10, 0]}, {"range": [0, 3, 1]}, {"logspace": [-400, 400, 3]}, [], [{"kind": "heterogeneous"}],
            [{"kind": "calcium"}, {"kind": "trafficking"}], [[10], [20, 10]], {"nothing": 1},
        ]  # fmt: skip
        return {self.chance.choice(fields): self.chance.choice(rows) for _ in range(self.chance.randint(1, 3))}

    def value(self, schema: dict[str, Any], name: str) -> Any:
        """A value that fits a schema, or, rarely, one that does not."""
        schema = self._followed(schema)
        if self.chance.random() < 0.002:
            return self.chance.choice([None, True, "x", -1, 10**30, float("nan"), [], {}, [[[]]]])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        if "properties" in schema:
            return self._table(schema)
        makers: dict[Any, Callable[[dict[str, Any]], Any]] = {
            "number": self._number, "integer": lambda s: int(self._number(s)), "array": self._array,
            "boolean": lambda s: self.chance.random() < 0.5,
            "string": lambda s: self.chance.choice([*NAMES, "plain"]) if self.chance.random() < 0.03 else "plain",
        }  # fmt: skip
        return makers.get(schema.get("type"), lambda s: {})(schema)

    def _followed(self, schema: dict[str, Any]) -> dict[str, Any]:
        while True:
            if "$ref" in schema:
                schema = self.schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            elif "oneOf" in schema or "anyOf" in schema:
                schema = self.chance.choice(schema.get("oneOf") or schema["anyOf"])
            else:
                return schema

    def _table(self, schema: dict[str, Any]) -> dict[str, Any]:
        wanted = set(schema.get("required", ())) | {"kind"}
        names = [n for n in schema["properties"] if n in wanted or self.chance.random() < RARE.get(n, 0.4)]
        return {name: self.value(schema["properties"][name], name) for name in names}

    def _number(self, schema: dict[str, Any]) -> float:
        """A number mostly within the bounds, sometimes at or beyond them."""
        low = schema.get("minimum", schema.get("exclusiveMinimum", -10.0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", max(low * 10, low + 10)))
        if self.chance.random() < 0.9:
            return self._within(low, high)
        return self.chance.choice([low, high, low - 1, high * 2 + 1, low + 1e-12, high - 1e-12])

    def _within(self, low: float, high: float) -> float:
        """A number whose logarithm is uniform."""
        least = max(low, 1e-12)
        if high <= least or self.chance.random() < 0.2:
            return low + (min(high, low + 10) - low) * self.chance.random()
        return min(high, least * math.exp(self.chance.random() * math.log(high / least)))

    def _array(self, schema: dict[str, Any]) -> list[Any]:
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)
        if "prefixItems" in schema:
            return [self.value(part, "") for part in schema["prefixItems"]]
        return [self.value(schema.get("items", {}), "") for _ in range(self.chance.randint(least, max(least, most)))]


def _plain(value: Any) -> Any:
    """A value that TOML can express."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(v) for v in value if v is not None]
    return value


def damaged(chance: random.Random) -> bytes:
    """A valid spec with one to four mistakes."""
    text = chance.choice(SPECS).read_bytes()
    for _ in range(chance.randint(1, 4)):
        text = chance.choice(DAMAGES)(text, chance)
    return text


def _bytes(text: bytes, chance: random.Random) -> bytes:
    at, what = (
        chance.randrange(len(text) + 1),
        chance.choice([b"\xff", b"\0", b"\xef\xbb\xbf", b"\r", b"\xc3", b'"', b"["]),
    )
    return text[:at] + what + text[at + chance.randint(0, 3) :]


def _number(text: bytes, chance: random.Random) -> bytes:
    """Another number, or something else, instead of a number."""
    words = text.split(b" ")
    places = [i for i, word in enumerate(words) if word[:1].isdigit()]
    if places:
        words[chance.choice(places)] = chance.choice(NUMBERS).encode()
    return b" ".join(words)


def _line(text: bytes, chance: random.Random) -> bytes:
    lines = text.split(b"\n")
    i, j = (chance.randrange(len(lines)) for _ in range(2))
    how = chance.choice(["swap", "drop", "double"])
    if how == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif how == "drop":
        del lines[i]
    else:
        lines.insert(i, lines[j])
    return b"\n".join(lines)


def _spliced(text: bytes, chance: random.Random) -> bytes:
    other = chance.choice(SPECS).read_bytes()
    return text[: chance.randrange(len(text) + 1)] + other[chance.randrange(len(other)) :]


def _name(text: bytes, chance: random.Random) -> bytes:
    first, _, rest = text.partition(b'name = "')
    return first + b'name = "' + chance.choice(NAMES).encode() + b'"' + rest.partition(b'"')[2]


def _word(text: bytes, chance: random.Random) -> bytes:
    """One word replaced by another of the same spec: kinds and fields where they do not belong."""
    words = text.split()
    return text.replace(chance.choice(words), chance.choice(words), 1) if words else text


DAMAGES = [_bytes, _number, _number, _line, _spliced, _name, _word]
EXTREMES: list[bytes] = [
    b"", b"name = 1", b'name = "a"\n', b"\xff\xfe", b"[" * 100_000, b"a = " + b"[" * 50_000, b"a." * 50_000 + b"b = 1",
    b"#" + 10_000_000 * b"x", b'name = "' + 10_000_000 * b"x" + b'"',
    b'name = "a"\ndescription = "' + 10_000_000 * b"x" + b'"',
    b'name = "a"\nseeds = [' + b",".join(b"%d" % i for i in range(1_000_000)) + b"]",
    b'name = "a"\n[sweep]\n"cost.c" = [' + b",".join(b"%d" % (i + 1) for i in range(1_000_000)) + b"]",
    b'name = "a"\n' + b"".join(b"[t%d]\n" % i for i in range(200_000)),
    b'name = "a"\nnetwork = { kind = "mlp", hidden = [' + b"1000000, " * 60 + b"1] }",
    b'name = "a"\nseeds = { a = 1 }\n', b'name = "a"\n' + b"[[analysis]]\nkind = \"training\"\n" * 10_000,
    b'name = "a"\ncost = { kind = "mixture", costs = [' + b'{ kind = "calcium" }, ' * 10_000 + b"] }",
    b'name = "a"\n[sweep]\n' + b"".join(b'"cost.c%d" = { linspace = [0, 1, 99999] }\n' % i for i in range(50)),
]  # fmt: skip
