"""Specs: valid or rejected with every mistake, and equal after a round trip."""

from __future__ import annotations

import codecs
import json
import os
import re
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import SpecError
from ebayes_core.spec import (
    Training,
    combinations,
    compose,
    digest,
    dumps,
    find,
    json_schema,
    load,
    loads,
    schema_text,
)
from ebayes_core.testing import plugins

REGISTRY = Registry.load()
ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "ebayes_plugins" / "specs").rglob("*.toml"))


def mistakes(registry: Registry, text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        loads(text, registry, overrides, source="x.toml")
    return caught.value.mistakes


@pytest.mark.parametrize("path", SPECS, ids=lambda p: str(p.relative_to(ROOT)))
def test_specs_in_the_repository_are_valid_and_name_the_schema(registry: Registry, path: Path) -> None:
    assert load(path, registry).members()
    first = path.read_text().splitlines()[0]
    assert first.startswith("#:schema ")
    assert (path.parent / first.removeprefix("#:schema ")).resolve() == (ROOT / "specs/schema.json").resolve()


def test_specs_of_one_name_train_the_same_networks(registry: Registry) -> None:
    """Their results share a file, which a spec of other networks would be refused."""
    found: dict[str, dict[str, str]] = {}
    for path in SPECS:
        experiment = load(path, registry)
        found.setdefault(experiment.name, {})[path.stem] = digest(experiment)
    assert {"fig5_desk", "optimum"} <= {name for name, of_one in found.items() if len(of_one) > 1}
    assert not {name: of_one for name, of_one in found.items() if len(set(of_one.values())) > 1}


def test_committed_schema_is_current(registry: Registry) -> None:
    builtin = Registry([e for e in registry.entries if e.distribution == "ebayes"])
    assert (ROOT / "specs/schema.json").read_text() == schema_text(builtin), (
        "run: ebayes schema --out specs/schema.json"
    )


def test_schema_accepts_specs_and_refuses_mistakes(registry: Registry) -> None:
    validator = jsonschema.Draft202012Validator(json_schema(registry))
    for path in SPECS:
        validator.validate(tomllib.loads(path.read_text()))
    for wrong in ('name = "x"\ncst = 1', 'name = "x"\ncost = {kind = "calcim"}', 'name = "x"\ntraining = {epochs = 0}'):
        assert list(validator.iter_errors(tomllib.loads(wrong)))


@st.composite
def experiments(draw):
    """Any experiment over the registered plugins."""
    registry = REGISTRY
    slots = {
        slot: draw(st.one_of(*(plugins(registry.composed(c)) for c in registry.kinds(slot).values())))
        for slot in ("dataset", "network", "cost", "noise", "inference")
    }
    return compose(registry).Experiment(
        name="any",
        seeds=draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True)),
        training=draw(plugins(Training)),
        measurement=draw(plugins(compose(registry).Measurement)),
        sweep={"optimizer.learning_rate": draw(st.sampled_from([[0.1, 0.2], {"logspace": [-3, -1, 3]}]))},
        **slots,
    )


@given(experiments().filter(lambda e: not list(combinations.mistakes(e, REGISTRY))))
def test_round_trip(experiment) -> None:
    """load(dump(spec)) == spec, with equal networks and an equal digest."""
    registry = REGISTRY
    again = loads(dumps(experiment), registry)
    assert again.model_dump() == experiment.model_dump()
    assert digest(again) == digest(experiment)
    once_more = loads(dumps(again), registry)
    assert once_more == again and once_more.members() == again.members()


def test_swept_kinds_come_back_with_defaults_of_their_own(registry: Registry) -> None:
    """The default rho of the first kind is not valid for the others."""
    text = 'name = "x"\ncost = { kind = "calcium", c = 0.2 }\n[sweep]\n"cost.kind" = ["calcium", "membrane", "actin"]\n'
    one = loads(text, registry)
    again = loads(dumps(one), registry)
    assert again.members() == one.members() and digest(again) == digest(one)
    assert [p.member.cost.kind for p in again.members()] == ["calcium", "membrane", "actin"]


def test_sweep_is_the_product_of_its_rows_with_seeds_fastest(registry: Registry) -> None:
    text = """
    name = "x"
    seeds = [3, 4]
    [sweep]
    cost = [{ kind = "calcium" }, { kind = "actin" }]
    "cost.c" = { logspace = [-2, 0, 3] }
    "training.epochs, optimizer.learning_rate" = [[1, 0.1], [2, 0.2]]
    """
    points = loads(text, registry).members()
    assert [p.index for p in points] == list(range(24))
    assert [p.member.seed for p in points[:4]] == [3, 4, 3, 4]
    assert {(p.member.cost.kind, p.member.cost.c) for p in points} == {
        (kind, c) for kind in ("calcium", "actin") for c in (0.01, 0.1, 1.0)
    }
    assert {(p.member.training.epochs, p.member.optimizer.learning_rate) for p in points} == {(1, 0.1), (2, 0.2)}
    assert points[0].swept == {
        "cost": {"kind": "calcium"}, "cost.c": 0.01, "training.epochs": 1, "optimizer.learning_rate": 0.1,
    }  # fmt: skip


def test_some_points_may_have_more_seeds_than_others(registry: Registry) -> None:
    text = """
    name = "x"
    [sweep]
    "cost.c, seed" = [[0.1, 0], [1.0, 0], [1.0, 7]]
    cost = [{ kind = "calcium" }, { kind = "actin" }]
    """
    points = loads(text, registry).members()
    assert [(p.member.cost.c, p.member.seed) for p in points[::2]] == [(0.1, 0), (1.0, 0), (1.0, 7)]
    assert all(set(p.swept) == {"cost", "cost.c"} for p in points)
    assert mistakes(registry, text.replace("[sweep]", "seeds = [3]\n[sweep]")) == [
        "x.toml: [sweep] seed is set by the sweep and by the field seeds of the spec; remove one of them"
    ]
    (wrong,) = mistakes(registry, text.replace("7]]", "-7]]"))
    assert "seed = -7: must be greater than or equal to 0" in wrong


@given(low=st.floats(-5, 5), high=st.floats(-5, 5), n=st.integers(2, 30))
def test_ranges(low: float, high: float, n: int) -> None:
    from ebayes_core.spec.sweep import IntRange, LinSpace, LogSpace

    np.testing.assert_allclose(LogSpace(logspace=(low, high, n)).values(), np.logspace(low, high, n), rtol=1e-9)
    np.testing.assert_allclose(
        LinSpace(linspace=(low, high, n)).values(), np.linspace(low, high, n), rtol=1e-9, atol=1e-9
    )
    assert IntRange(range=(1, n, 1)).values() == list(range(1, n))


def test_overrides_are_toml_on_the_right(registry: Registry) -> None:
    text = 'name = "x"\n[sweep]\n"cost.c" = [1.0, 2.0]'
    changes = ("network.hidden=[50]", "dataset.kind=digits", 'sweep."cost.c"=[3.0]', "name='y z'".replace(" ", ""))
    experiment = loads(text, registry, changes)
    (point,) = experiment.members()
    assert experiment.name == "yz"
    assert point.member.network.hidden == (50,)
    assert point.member.dataset.kind == "digits"
    assert point.member.cost.c == 3.0


def test_integers_serve_as_floats_but_text_and_truth_do_not(registry: Registry) -> None:
    assert loads('name = "x"\ncost = {kind = "membrane", c = 1}', registry).cost.c == 1.0
    assert len(mistakes(registry, 'name = "x"\ncost = {kind = "membrane", c = "1"}')) == 1
    assert len(mistakes(registry, 'name = "x"\ncost = {kind = "membrane", c = true}')) == 1


WHOLE = """
name = "x"
seeds = [1e1, 3.0]
network = { kind = "mlp", hidden = [1e2, 5.0] }
training = { epochs = 1e2 }
measurement = { probe_examples = 1e3 }
[sweep]
"training.batch_size" = [1e1, 20.0]
"measurement.samples, cost.c" = [[2e0, 2], [3, 4.0]]
[[analysis]]
kind = "importance"
layer = 1.0
"""


def test_a_whole_number_is_one_however_it_is_written(registry: Registry) -> None:
    """In tables, lists, sweeps and --set: networks and digest are those of the integers."""
    plain = re.sub(r"\d+(\.0|e\d)", lambda number: str(int(float(number[0]))), WHOLE)
    assert plain != WHOLE and not re.search(r"\d[.e]", plain)
    one, other = loads(WHOLE, registry), loads(plain, registry)
    assert one == other and digest(one) == digest(other) and dumps(one) == dumps(other)
    assert repr(one.members()) == repr(other.members())
    assert digest(loads(plain, registry, ["training.epochs=1e2"])) == digest(one)
    jsonschema.Draft202012Validator(json_schema(registry)).validate(tomllib.loads(WHOLE))


def test_minus_zero_keeps_its_sign_and_its_spec_the_fingerprint() -> None:
    written = loads('name = "x"\ndataset = { kind = "cubic", low = -1.0, high = -0.0 }', REGISTRY)
    assert str(written.dataset.high) == "-0.0"
    assert digest(loads(dumps(written), REGISTRY)) == digest(written)


def test_a_range_may_sweep_whole_numbers(registry: Registry) -> None:
    text = 'name = "x"\n[sweep]\n"training.batch_size" = {logspace = [1, 3, 3.0]}\n"cost.c" = {range = [1e0, 3, 1]}'
    points = loads(text, registry).members()
    assert {p.member.training.batch_size for p in points} == {10, 100, 1000}
    swept = [(type(p.swept["training.batch_size"]), type(p.swept["cost.c"])) for p in points]
    assert set(swept) == {(int, float)}, "swept numbers are of their fields' type, whatever was written"
    points = loads('name = "x"\n[sweep]\n"training.epochs" = {linspace = [1, 9, 3]}', registry).members()
    assert [p.member.training.epochs for p in points] == [1, 5, 9]


@pytest.mark.parametrize(
    "value, said",
    [
        *((value, "must be a whole number") for value in ("2.5", "true", "'3'", "nan", "inf", "1e-3", "[1]")),
        ("1e300", "must be less than or equal to 1000000"), ("-1e2", "must be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_what_is_no_whole_number_is_told_so(registry: Registry, value: str, said: str) -> None:
    (found,) = mistakes(registry, f'name = "x"\ntraining = {{ epochs = {value} }}')
    assert found.startswith("x.toml: [training] epochs = ") and found.endswith(said)
    (found,) = mistakes(registry, f'name = "x"\n[sweep]\n"training.epochs" = [1, {value}]')
    assert f"{said} (at training.epochs = " in found


def test_every_mistake_at_once_with_the_nearest_name(registry: Registry) -> None:
    found = mistakes(
        registry,
        """
        name = "x"
        dataset = { kind = "mnist5q" }
        network = { kind = "mlp", hidden = [100, -3] }
        cost = { kind = "membrane", c = -1 }
        training = { epochs = 0, batch = 20 }
        spare = 1
        """,
    )
    expected = [
        "[training] epochs = 0: must be greater than or equal to 1",
        "[training] batch: unknown field; did you mean 'batch_size'? allowed are epochs",
        "[dataset] kind = 'mnist5q': unknown kind; did you mean 'mnist5k'? registered are mnist",
        "[network] hidden[1] = -3: must be greater than or equal to 1",
        "[cost] c = -1: must be greater than 0",
        "spare: unknown field; ",
    ]
    assert len(found) == len(expected)
    for line in expected:
        assert any(text.startswith(f"x.toml: {line}") for text in found), (line, found)


def test_every_member_of_a_sweep_is_validated(registry: Registry) -> None:
    text = 'name = "x"\n[sweep]\n"cost.c" = [1.0, -2.0, 3.0]\n"training.epoch" = [1, 2]'
    assert mistakes(registry, text) == [
        "x.toml: [training] epoch: unknown field; did you mean 'epochs'? allowed are epochs, batch_size, "
        "schedule, sigma, means, stages, dtype "
        "(at every one of the 6 sweep points)",
        "x.toml: [cost] c = -2: must be greater than 0 (at cost.c = -2)",
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("name = ", "this is not valid TOML: Invalid value (at end of document)"),
        ('name = "x"\nseeds = ' + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ('name = "x"\ncost = 3', "cost = 3: must be a table"),
        ('name = "x"\ncost = {c = 1}', "cost: needs a kind"),
        ('name = "x"\ncost = {kind = "membrane", c = nan}', "finite"),
        ('name = "x"\ncost = {kind = "membrane", c = inf}', "finite"),
        ('name = "x"\ncost = {kind = "membrane", c = 1' + "0" * 400 + "}", "[cost] c"),
        ('name = "x"\ncost = {kind = "membrane", c = 1.0, s = 1.0}', "not both"),
        ('name = "x"\ntraining = {epochs = 1' + "0" * 40 + "}", "less than or equal"),
        ('name = "../x"', "name = '../x'"),
        ('name = "x"\nseeds = [1, 1]', "twice"),
        ('name = "x"\nseeds = [-1]', "seeds[0] = -1: must be greater than or equal to 0"),
        ('name = "x"\nseeds = [2020-01-01]', "seeds[0]"),
        ('name = "x"\nsweep = 3', "sweep = 3"),
        ('name = "x"\n[sweep]\n"cost.c" = 3', '"cost.c" = 3: a row is a list'),
        ('name = "x"\n[sweep]\n"cost.c" = []', '"cost.c" = []: must have at least 1 item'),
        ('name = "x"\n[sweep]\n"cost.c" = {logspce = [1, 2, 3]}', "one key of logspace, linspace, range"),
        ('name = "x"\n[sweep]\n"cost.c" = {logspace = [1, 2, 0]}', "1 to 100000 values"),
        ('name = "x"\n[sweep]\n"cost.c" = {logspace = [1, 2, 1000000000]}', "1 to 100000 values"),
        ('name = "x"\n[sweep]\n"cost.c" = {range = [0, 1000000000000, 1]}', "1 to 100000 values"),
        ('name = "x"\n[sweep]\n"cost.c" = {range = [0, 5, 0]}', "must not be 0"),
        ('name = "x"\n[sweep]\n"cost.c" = [1.0, 1.0]', "the same network"),
        ('name = "x"\n[sweep]\n"cost.c, cost.rho" = [[1.0]]', "sets 2 fields"),
        ('name = "x"\n[sweep]\n"cost.c" = {logspace=[0,1,999]}\n"network.init" = {range=[1,999,1]}', "at most 100000"),
        ('name = "x"\nnetwork = {kind = "mlp", hidden = [3], activations = ["relu"]}', "the output layer need 2"),
        ('name = "x"\n[[analysis]]\nkind = "importanc"', "'importanc': unknown kind; did you mean 'importance'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(registry: Registry, text: str, message: str) -> None:
    found = mistakes(registry, text)
    assert len(found) == 1, found
    assert message in found[0]
    assert len(found[0]) < 500


@given(st.text(max_size=200))
def test_any_text_is_a_spec_or_refused(text: str) -> None:
    try:
        loads(text, REGISTRY)
    except SpecError as error:
        assert error.mistakes


@pytest.mark.parametrize("change", ["cost.c", "=3", "a b=3", "[x]=3"])
def test_wrong_overrides_are_named(registry: Registry, change: str) -> None:
    assert mistakes(registry, 'name = "x"', change)[0].startswith(f"--set {change}")


def test_missing_and_unreadable_files(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "fig2.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        SpecError,
        match=r"no such file, nor an installed spec; did you mean 'fig2.toml' or 'authors/fig3' or 'desk/fig3'",
    ):
        load(tmp_path / "fig3.toml", registry)
    with pytest.raises(SpecError, match="UTF-8"):
        load(tmp_path / "fig2.toml", registry)
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path, registry)


TEXT = 'name = "x"\ndescription = "é"\n'


@pytest.mark.parametrize(
    "content",
    [TEXT.encode("utf-8-sig"), TEXT.replace("\n", "\r\n").encode("utf-8-sig"), TEXT.replace("\n", "\r").encode()],
)
def test_a_spec_is_read_whichever_editor_saved_it(registry: Registry, tmp_path: Path, content: bytes) -> None:
    """With a byte order mark, and with the line ends of Windows or of old Macs; a result stores the text without."""
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    assert load(path, registry).description == "é"
    assert find(path, registry).text == TEXT
    assert loads(codecs.BOM_UTF8.decode() + TEXT, registry) == loads(TEXT, registry)


@pytest.mark.parametrize(
    "content, said",
    [
        *((TEXT.encode(name), f"is {name.upper()} text") for name in ("utf-16", "utf-32")),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "is UTF-16 text"),
        (TEXT.encode("utf-16-le"), "contains zero bytes: it is UTF-16 without a byte order mark, or not a text file"),
        (TEXT.encode("latin-1"), "line 2 contains the byte 0xe9, which is not valid UTF-8 there"),
        (TEXT.replace("\n", "\r").encode("cp1252"), "line 2 contains the byte 0xe9, which is not valid UTF-8 there"),
    ],
)
def test_a_spec_in_another_encoding_is_told_so(registry: Registry, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load(path, registry)
    assert caught.value.mistakes == [f"{path}: {said}; save it as UTF-8"]


def test_a_byte_of_the_command_line_that_is_no_character_is_told(registry: Registry) -> None:
    (found,) = mistakes(registry, TEXT, f"description={os.fsdecode(b'caf' + bytes([0xE9]))}")
    assert found.endswith("contains a byte that is not a character in the encoding of this terminal")


def test_presentation_does_not_change_the_fingerprint(registry: Registry) -> None:
    base = loads('name = "x"', registry)
    same = loads('name = "y"\ndescription = "z"\n[[analysis]]\nkind = "training"', registry)
    other = loads('name = "x"\ntraining = {epochs = 51}', registry)
    assert digest(base) == digest(same) != digest(other)


def test_schema_is_closed_and_described(registry: Registry) -> None:
    """Every table forbids unknown fields and every field is described, so that an editor can help."""
    schema = json_schema(registry)
    for name, table in schema["$defs"].items():
        if table.get("type") == "object":
            assert table["additionalProperties"] is False, name
            bare = [f for f, p in table["properties"].items() if f != "kind" and not p.get("description")]
            assert not bare, (name, bare)
    assert "Mixture" in schema["$defs"]
    json.dumps(schema, allow_nan=False)
