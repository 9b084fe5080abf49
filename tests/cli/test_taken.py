"""ebayes export and ebayes predict, as a user sees them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

from ebayes_core.cli.main import main
from ebayes_core.errors import UserError
from ebayes_core.trained.predicting import predict
from tests.trained.runs import everything, of


def ebayes(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def test_export_names_what_it_wrote(tmp_path: Path) -> None:
    target = tmp_path / "into" / "net.pt"
    assert ebayes("export", of().path, "--to", target).output == f"{target}\n"
    assert next(iter(torch.load(target, weights_only=True))) == "1.weight"
    with pytest.raises(UserError, match=r"the ending '\.tar' names no known format"):
        ebayes("export", "no.h5", "--to", tmp_path / "net.tar")


@pytest.mark.parametrize("ending", ["npz", "npy", "csv"])
def test_predict_reads_and_writes_every_format(tmp_path: Path, ending: str) -> None:
    x = np.random.default_rng(0).uniform(size=(3, 64))
    path = tmp_path / f"new.{ending}"
    if ending == "csv":
        pd.DataFrame(x).add_prefix("pixel ").to_csv(path, index=False)
    else:
        {"npy": np.save, "npz": np.savez}[ending](path, x)
    known = predict(of(), x, 0, everything(), samples=4, seed=2)
    asked = ("predict", of().path, path, "--samples", 4, "--seed", 2)
    printed = pd.read_csv(io.StringIO(ebayes(*asked).output), index_col="example")
    np.testing.assert_allclose(printed["mean.3"], known.mean[:, 3], rtol=1e-5)
    assert ebayes(*asked, "--to", tmp_path / "found.csv").output == f"{tmp_path / 'found.csv'}\n"
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "found.csv", index_col="example"), printed)
    ebayes(*asked, "--to", tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["epistemic"], known.epistemic, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("new.txt", b"", r"inputs are read from files ending in \.npz, \.npy, \.csv"),
        ("new.csv", b"0.5,0.1\n1,2\n", "line 1 has to name the columns, and contains numbers"),
        ("new.csv", b"a,b\n1,2,3\n4\n5,6,7,8\n", "it cannot be read: "),
        ("new.npz", b"nothing", "it cannot be read: "),
        ("new.csv", b"a,b\n1,2\n", r"images are numbers of shape \(examples, 64\)"),
    ],
)
def test_predict_refuses_inputs_that_it_cannot_read(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=why):
        ebayes("predict", of().path, tmp_path / name)


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
    with pytest.raises(UserError, match="it has no array 'x' but a, b; call the inputs x"):
        ebayes("predict", of().path, tmp_path / "two.npz")
    with pytest.raises(UserError, match=r"there is no file .*tow\.npz; did you mean 'two\.npz'"):
        ebayes("predict", of().path, tmp_path / "tow.npz")
    with pytest.raises(UserError, match=r"predictions are written to files ending in \.csv or \.npz"):
        ebayes("predict", of().path, "--to", tmp_path / "found.xlsx")
