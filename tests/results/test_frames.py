"""The tables of pandas and the tree of xarray hold the numbers of the file, each in its place, with its units."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ebayes_core.contract.registry import Registry
from ebayes_core.errors import AbsentError
from ebayes_core.results.reader import Run
from ebayes_core.spec import loads
from ebayes_core.sweeps.run import run as train

SPEC = """
name = "tiny"
seeds = [0, 7]
dataset = { kind = "digits", layout = "image" }
network = { kind = "convolutional", layers = [{ channels = 2, stride = 3 }], hidden = [3] }
training = { epochs = 2, batch_size = 100 }
[sweep]
"cost.c" = [0.1, 1]
noise = [{ kind = "heterogeneous" }, { kind = "none" }]
"""


@pytest.fixture(scope="module")
def path(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("frames") / "tiny.h5"
    train(loads(SPEC, registry), SPEC, registry, target)
    return target


def test_members_are_the_numbers_of_the_file(path: Path) -> None:
    with Run(path) as run, h5py.File(path) as file:
        table = run.members
        assert list(table["seed"]) == [0, 7] * 4 and list(table["cost.c"]) == [0.1] * 4 + [1.0] * 4
        assert list(table["noise"][1:3]) == ["heterogeneous", "none"] and table.index.name == "member"
        for name in run.metrics:
            np.testing.assert_array_equal(table[name], file["members"][name][()])
        for name in run.layer_metrics:
            columns = table[[f"{name}.{layer}" for layer in (1, 2, 3)]]
            np.testing.assert_array_equal(columns, file["layer_metrics"][name][()])
        assert table.attrs["units"]["sigma_median"] == table.attrs["units"]["sigma_median.2"] == "weight"
        assert table.attrs["description"]["cost.c"] == "value of the swept field cost.c"


def test_swept_tables_and_lists_can_be_grouped_by() -> None:
    from ebayes_core.results import frames

    noise = [{"kind": "none"}, {"kind": "heterogeneous", "sigma_0": 0.1}, {"kind": "heterogeneous", "sigma_0": 0.2}]
    table = frames.members({"noise": noise, "hidden": [[3], [3], [4, [5]]]}, {}, {})
    assert list(table["noise"]) == ["none", "heterogeneous sigma_0=0.1", "heterogeneous sigma_0=0.2"]
    assert table.groupby("hidden").size()[(3,)] == 2 and table["hidden"][2] == (4, (5,))


def test_each_synapse_has_the_row_of_its_place(path: Path) -> None:
    with Run(path) as run, h5py.File(path) as file:
        whole, second = run.synapses(5), run.synapses(5, layer=2)
        assert list(whole)[:5] == ["layer", "post", "pre", "mu", "sigma"]
        assert len(whole) == sum(run.layer(5, layer, "mu").size for layer in (1, 2, 3))
        np.testing.assert_array_equal(whole[whole["layer"] == 2].drop(columns="layer"), second.drop(columns="layer"))
        row = second.sample(random_state=1).iloc[0]
        post, pre, group = int(row["post"]), int(row["pre"]), file["networks/0/layer_2"]
        assert row["sigma"] == group["sigma"][5, post, pre] and row["mu"] == group["mu"][5, post, pre]
        assert row["input_square"] == group["input_square"][5, pre]
        assert whole.attrs["units"]["gauss_newton_noise"] == "nat / weight^2"


def test_weights_that_are_no_matrix_have_numbered_axes() -> None:
    from ebayes_core.results import frames

    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=5)
    table = frames.synapses({1: {"mu": kernel, "sigma": kernel**2}, 2: {"mu": bias, "sigma": bias**2}})
    assert list(table) == ["layer", "dim_0", "dim_1", "dim_2", "mu", "sigma"] and len(table) == 29
    assert table.query("layer == 1 and dim_0 == 1 and dim_1 == 2 and dim_2 == 3")["mu"].item() == kernel[1, 2, 3]
    assert table.query("layer == 2 and dim_0 == 4")["sigma"].item() == bias[4] ** 2


def test_the_tree_is_the_whole_file(path: Path) -> None:
    with Run(path) as run, run.tree() as tree:
        np.testing.assert_array_equal(tree["members/accuracy_mean"], run.metric("accuracy_mean"))
        found = tree["networks/0/layer_3/sigma"]
        assert found.dims == ("member", "post", "pre") and found.attrs["units"] == "weight"
        np.testing.assert_array_equal(found.sel(member=4), run.layer(4, 3, "sigma"))


def test_what_a_file_lacks_is_named(path: Path) -> None:
    with Run(path) as run:
        with pytest.raises(AbsentError, match="no network 9; there are 8, counted from 0"):
            run.synapses(9)
        with pytest.raises(AbsentError, match="no layer 4; network 0 has 3, counted from 1"):
            run.synapses(0, 4)
