"""A hundred of the hundred thousand specs of tests/faults/specs.py, and each defect that these revealed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebayes_core import spec
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import SpecError
from tests.drawn import examples
from tests.faults import texts
from tests.faults.specs import Trial


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("specs"), every=4)


@examples(100)
@given(st.integers(0, 2**32))
def test_a_spec_trains_or_is_refused(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    grammar = texts.Grammar(spec.json_schema(trial.registry), chance)
    trial.judge(texts.damaged(chance) if seed % 2 else grammar.text().encode())
    assert not trial.lost, trial.lost[0]


def test_both_ends_were_reached(trial: Trial) -> None:
    assert trial.counts["refused"] and trial.counts["accepted"] and trial.counts["trained"]


#: a hundred thousand mistakes, or points of a sweep
LONG = (b'name = "a"\n[t0]', b'name = "a"\n[sweep]')
EXTREMES = [pytest.param(t, marks=pytest.mark.slow if t.startswith(LONG) else []) for t in texts.EXTREMES]


@pytest.mark.parametrize("text", EXTREMES, ids=lambda text: text[:20].decode(errors="replace"))
def test_extremes_are_settled(trial: Trial, text: bytes) -> None:
    trial.judge(text)
    assert not trial.lost


def test_very_many_mistakes_are_not_all_shown(registry: Registry) -> None:
    text = 'name = "a"\n' + "".join(f"[t{i}]\n" for i in range(2000))
    with pytest.raises(SpecError, match=r"and 1950 more mistakes$") as caught:
        spec.loads(text, registry)
    assert len(caught.value.mistakes) == 2000 and len(str(caught.value).splitlines()) == 51


def test_a_deep_dotted_key_is_refused_and_a_long_text_is_not(registry: Registry) -> None:
    with pytest.raises(SpecError, match="nested too deeply"):
        spec.loads("a." * 600 + "b = 1", registry)
    words = "a. b, " * 1000
    assert spec.loads(f'name = "a"\ndescription = "{words}"', registry).description == words


def test_denormal_numbers_are_read_as_they_were_accepted(trial: Trial) -> None:
    """They used to be flushed to 0, which is invalid, in the worker that read them again."""
    least = 'kind = "adam"\nlearning_rate = 5e-324\n[cost]\nkind = "calcium"\ns = 5e-324'
    least += '\n[network]\nkind = "mlp"\ninit = 5e-324'
    trial.every, before = 1, trial.counts["trained"]
    trial.judge(f'name = "a"\ndataset = {{ kind = "digits" }}\n[optimizer]\n{least}'.encode())
    trial.every = 4
    assert not trial.lost and trial.counts["trained"] == before + 1


def test_a_noise_that_single_precision_rounds_to_nothing_is_refused(registry: Registry) -> None:
    """It used to be accepted, and the plugin blamed for a sigma of 0."""
    text = 'name = "a"\nnoise = {{ kind = "heterogeneous", sigma_0 = {} }}'
    with pytest.raises(SpecError, match="sigma_0 = 5e-324: must be greater"):
        spec.loads(text.format("5e-324"), registry)
    assert spec.loads(text.format("1e-30"), registry).noise.sigma_0 == 1e-30


def test_a_mixture_has_its_bound(registry: Registry, tmp_path: Path) -> None:
    parts = ", ".join(f'{{ kind = "calcium", c = {i + 1} }}' for i in range(101))
    with pytest.raises(SpecError, match="at most 100 items"):
        spec.loads(f'name = "a"\ncost = {{ kind = "mixture", costs = [{parts}] }}', registry)
