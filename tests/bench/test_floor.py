"""The floor: its products are those of a step, its bytes those of the update, and a sweep's share of it is whole."""

from __future__ import annotations

import pytest
import torch

from ebayes_core.bench import floor, planned, sweeping
from ebayes_core.bench.engines import Population
from ebayes_core.bench.floor import Floor, Products
from ebayes_core.bench.memory import moved, prepared
from ebayes_core.bench.rows import Row, Variant
from ebayes_core.bench.setting import PAPER, Shape


def test_the_products_are_those_of_backpropagation() -> None:
    torch.manual_seed(0)
    members, shape, batch = 3, Shape(7, (5, 4)), 6
    p = Products(members, "cpu", shape, batch)
    p()
    first = p.deltas[0].view(members, 5, batch).mT
    deltas, inputs = [first, *p.deltas[1:]], [p.inputs[0].expand(members, -1, -1), *p.inputs[1:]]
    drives = [p.drives[0].view(batch, members, 5).transpose(0, 1), *p.drives[1:]]
    for w, x, d, z, g in zip(p.weights, inputs, deltas, drives, p.gradients, strict=True):
        torch.testing.assert_close(z, torch.einsum("kbi,koi->kbo", x, w))
        torch.testing.assert_close(g, torch.einsum("kbo,kbi->koi", d, x))
    for w, d, back in zip(p.weights[1:], deltas[1:], p.back, strict=True):
        torch.testing.assert_close(back, torch.einsum("kbo,koi->kbi", d, w))
    assert [tuple(w.shape) for w in p.weights] == [(3, 5, 7), (3, 4, 5), (3, 10, 4)]


def test_an_update_moves_72_bytes_per_synapse_and_a_cohort_shares_its_noise() -> None:
    _, state, given = prepared(Population(3, compile=False))
    # and of each network the sum of changes, in double precision, is read and written
    assert moved(state, given.gradient) == (3 * 72 + 8) * PAPER.synapses + 3 * 16
    assert floor.moved_alone() == 80 * PAPER.synapses + 16


def test_the_triad_moves_as_many_bytes_and_adds() -> None:
    a = floor.triad(2, "cpu")()
    assert abs(3 * a.nbytes - 2 * floor.moved_alone()) < 12
    assert bool((a == 1.5).all())


@pytest.mark.parametrize("members", [1, 6])
def test_the_floor_is_the_sum_of_its_parts(members: int) -> None:
    found = Floor(products=0.5, byte=1e-8, draw=0.3).under(Population(members))
    assert found == pytest.approx(0.5 + 1e-8 * (72 + 8 / members) * PAPER.synapses + 0.3 / members)


def test_a_network_without_noise_draws_none_and_moves_less() -> None:
    quiet, noisy = (Floor(0.5, 1e-8, 0.3).under(Population(4, noise=noise)) for noise in ({"kind": "none"}, None))
    assert quiet < noisy - 0.3 / 4


def parts() -> list[Row]:
    """Rows as the floor is measured in, the second way to draw the quicker."""
    tags = {"products warm": 0.1, "products cold": 0.2, "triad warm": 0.8, "triad cold": 1.6}
    return [
        *(Row(tag, (ms,), (tag,)) for tag, ms in tags.items()),
        *(Row("", (ms,), ("normals",)) for ms in (0.4, 0.3)),
    ]


def test_the_floor_is_read_from_its_rows() -> None:
    assert Floor.of(parts(), "warm") == Floor(0.1, 0.8 / floor.moved_alone(), 0.3)
    assert Floor.of(parts(), "cold").products == 0.2
    with pytest.raises(ValueError, match="not measured"):
        Floor.of(parts()[1:], "warm")


def test_only_populations_of_the_papers_size_stand_on_it() -> None:
    variants = [Variant("", Population(2)), Variant("", Population(2, Shape(8, (4,)))), Variant("", lambda: print)]
    rows = floor.with_floor(
        [*variants, *(Variant("", lambda: print) for _ in parts())], [Row("", (5.0,))] * 3 + parts()
    )
    assert [row.floor is not None for row in rows[:4]] == [True, False, False, False]
    assert rows[0].to_floor == pytest.approx(5.0 / Floor.of(parts(), "warm").under(Population(2)))


def test_the_last_worker_decides_how_long_a_sweep_takes() -> None:
    assert planned.busiest([6, 6, 5, 5, 5, 5], 2) == 16
    assert planned.busiest([5, 5, 5, 5, 4, 4, 4], 2) == 18  # 5 + 5 + 4 + 4, and 5 + 5 + 4
    assert planned.busiest([3, 2], 4) == 3


def test_each_process_trains_a_cohort_of_its_own_and_one_has_the_machine_to_itself(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(planned, "sizes", lambda population, workers=1: [6, 5, 5])
    variants = [Variant("sweep", Population(16), 16), Variant("alone", print, alone=True)]
    first, second = planned.in_processes(variants, 2)
    assert [(v.start.members, v.networks, v.note) for v in (first[0], second[0])] == [
        (6, 6, "cohorts of 5 to 6"), (5, 5, "cohorts of 5 to 6"),
    ]  # fmt: skip
    assert [v.waits for v in (first[1], second[1])] == [False, True]


def test_a_plan_is_the_engines() -> None:
    assert sum(planned.sizes(Population(5), 2)) == 5
    assert len(planned.sizes(Population(5), 2)) >= 2


def test_the_wall_time_of_a_sweep_is_that_of_its_busiest_process(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(planned, "sizes", lambda population, workers: [6, 5, 5])
    row = Row("sweep", (0.8, 1.0, 0.9), ("sweep", "heterogeneous"), floor=0.4)
    plain = Row("plain", (1.0,), ("plain sweep",))
    variants = [Variant("plain", print, alone=True), Variant("sweep", Population(16), 16)]
    alone, least, swept = sweeping._whole(variants, [plain, row], 2)
    assert alone is plain
    assert swept.median == pytest.approx(0.9 * 10 / 16)  # 5 + 5 networks of 16 end last
    assert (swept.tags, swept.to_floor) == (("sweep", "sweeps"), pytest.approx(0.9 / 0.4))
    assert (least.median, least.tags) == (pytest.approx(0.4 * 10 / 16), ("sweep floor",))
