"""Claims: verdicts by the rule, findings from files, and the two tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ebayes_core import spec
from ebayes_core.cli.main import main
from ebayes_core.contract.claim import Claim, Measured
from ebayes_core.contract.registry import Registry
from ebayes_core.errors import UserError
from ebayes_core.report import claims, figures
from ebayes_core.report.claims import Finding
from ebayes_core.sweeps.run import run

INSIDE = Claim(1, "it lies inside", "a number", (0.0, 1.0), lambda analysis, arrays: [])
SPEC = """
name = "small"
dataset = { kind = "digits" }
network = { kind = "mlp", hidden = [8, 8] }
training = { epochs = 1 }
optimizer = { kind = "adam", learning_rate_phi = 0.05 }
measurement = { samples = 2 }
seeds = [0, 1]
[sweep]
"cost.c" = [1e-3, 1e-2]
[[analysis]]
kind = "tradeoff"
[[analysis]]
kind = "importance"
"""


def finding(*parts: Measured, claim: Claim = INSIDE, sigma: str = "descent") -> Finding:
    return Finding(claim, parts, Path("results/a.h5"), "some", sigma, (0.5, 1.0))


def test_the_verdict_is_open_where_the_interval_reaches_over_the_end_of_the_range() -> None:
    assert INSIDE.verdict(Measured("", 0.5)) == "held"
    assert INSIDE.verdict(Measured("", 0.5, 0.1, 0.9)) == "held"
    assert INSIDE.verdict(Measured("", 0.5, -0.1, 0.9)) == "open"
    assert INSIDE.verdict(Measured("", -0.5, -0.9, -0.1)) == "not held"
    assert INSIDE.verdict(Measured("", 1.0)) == "not held"
    assert INSIDE.verdict(Measured("", np.nan)) == "open"
    below = Claim(1, "", "", (-np.inf, 2.0), lambda analysis, arrays: [])
    assert [INSIDE.rule, below.rule] == ["0 to 1", "< 2"]


def test_a_finding_speaks_of_all_parts_and_shows_the_hardest() -> None:
    inside, outside = Measured("inside", 0.5), Measured("outside", 3.0)
    assert finding(inside).verdict == "held" and finding(outside, outside).verdict == "not held"
    both = finding(inside, outside, Measured("unknown", np.nan))
    assert both.verdict == "held in 1 of 3" and both.hardest is outside
    assert [row["verdict"] for row in claims.table([both], parts=True)] == ["held", "not held", "open"]
    (row,) = claims.table([finding(Measured("x", 0.5, 0.25, 0.75))])
    assert row["value"] == "0.5 (0.25 to 0.75)" and row["of"] == "x"


def test_the_markdown_table_has_a_column_for_each_way_of_training_sigma() -> None:
    found = [finding(Measured("a|b", 0.5)), finding(Measured("c", 2.0), sigma="fixed_point")]
    head, rule, line = claims.markdown(claims.table(found)).splitlines()
    assert head.endswith("| holds if | descent | fixed_point |")
    assert rule.count("---") == 6
    assert "**held**: 0.5, a\\|b" in line and "**not held**: 2, c" in line


@pytest.fixture(scope="module")
def small(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = spec.loads(SPEC, registry)
    target = tmp_path_factory.mktemp("claims") / "small.h5"
    run(experiment, SPEC, registry, target)
    assert not figures.measure(target, figures.named(experiment.analysis))
    return target


def test_findings_of_a_run_come_by_number_with_every_mechanism(small: Path, registry: Registry) -> None:
    found, problems = claims.findings(small, registry)
    assert not problems
    numbers = [f.claim.number for f in found]
    assert numbers == sorted(numbers) and {1, 2, 9, 12, 21} <= set(numbers)
    assert not {3, 4} & set(numbers)  # there is no homogeneous noise to compare with
    (curvature,) = [f for f in found if f.claim.number == 9]
    assert [part.part for part in curvature.parts] == [
        "c = 0.001, layer 2: gauss newton noise", "c = 0.01, layer 2: gauss newton noise",
    ]  # fmt: skip
    assert all(part.low < part.value < part.high for part in curvature.parts)  # over the two seeds


def test_the_command_prints_each_claim_with_its_rule(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["claims", str(small)], standalone_mode=False)
    text = capsys.readouterr().out
    assert "9  sigma^2 falls with the Hessian  [rank correlation, middle layer: < 0]" in text
    assert "small: importance" in text and "23  " in text
    main(["claims", str(small), "--json", "--parts"], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)
    assert {"claim", "verdict", "value", "of", "file", "B"} <= set(rows[0])


def test_files_without_claims_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="ebayes specs"):
        main(["claims"], standalone_mode=False)
