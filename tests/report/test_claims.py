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
    assert INSIDE.verdict(Measured("", 0.5, 0.1, 0.9)) == "held"
    assert INSIDE.verdict(Measured("", 0.5, -0.1, 0.9)) == "open"
    assert INSIDE.verdict(Measured("", -0.5, -0.9, -0.1)) == "not held"
    below = Claim(1, "", "", (-np.inf, 2.0), lambda analysis, arrays: [])
    assert [INSIDE.rule, below.rule] == ["0 to 1", "< 2"]


@pytest.mark.parametrize("value", [0.5, 1.0, -3.0, np.nan])
def test_without_an_interval_there_is_no_verdict(value: float) -> None:
    assert INSIDE.verdict(Measured("", value)) == INSIDE.verdict(Measured("", value, 0.1)) == "open"


def test_what_is_true_by_construction_or_not_converged_has_no_verdict() -> None:
    inside = Measured("", 0.5, 0.1, 0.9)
    assert INSIDE.verdict(inside._replace(because="a formula")) == "by construction"
    assert INSIDE.verdict(Measured("", 1.5, because="a formula")) == "not held"
    assert INSIDE.verdict(Measured("", np.nan, because="a formula")) == "open"
    assert INSIDE.verdict(inside._replace(unsettled="B 0.3")) == "open"


def test_thresholds_are_counted_from_their_reference() -> None:
    lower = Claim(4, "", "", (0.6, 1.0), lambda analysis, arrays: [], reference=1.0)
    assert lower.at(0.5) == (0.8, 1.0) and lower.at(2.0) == pytest.approx((0.2, 1.0))
    found = Measured("", 0.7, 0.65, 0.75)
    assert [lower.verdict(found, times) for times in (0.5, 1, 2)] == ["not held", "held", "held"]
    sign = Claim(1, "", "", (-np.inf, 0.0), lambda analysis, arrays: [])
    theory = Claim(22, "", "", (-0.55, 0.0), lambda analysis, arrays: [], reference=None)
    assert [c.sized for c in (lower, sign, theory)] == [True, False, False] and theory.at(2.0) == (-0.55, 0.0)


def test_a_finding_speaks_of_all_parts_and_shows_the_hardest() -> None:
    inside, outside = Measured("inside", 0.5, 0.4, 0.6), Measured("outside", 3.0, 2.0, 4.0)
    assert finding(inside).verdict() == "held" and finding(outside, outside).verdict() == "not held"
    built = Measured("built", 0.9, because="a formula")
    both = finding(inside, outside, Measured("unknown", 7.0), built)
    assert both.verdict() == "held in 1 of 3" and both.hardest is outside
    assert finding(inside, built).verdict() == "held" and finding(built).verdict() == "by construction"
    assert [row["verdict"] for row in claims.table([both], parts=True)] == [
        "held", "not held", "open", "by construction",
    ]  # fmt: skip
    (row,) = claims.table([finding(Measured("x", 0.5, 0.25, 0.75, "3 seeds", 3))])
    assert (row["value"], row["interval"], row["over"], row["of"]) == ("0.5", "0.25 to 0.75", "3 seeds", "x")


def test_the_markdown_table_has_a_column_for_each_way_of_training_sigma() -> None:
    found = [
        finding(Measured("a|b", 0.5, 0.4, 0.6, "3 seeds", 3)),
        finding(Measured("c", 2.0, 1.5, 2.5, "3 seeds", 3), sigma="fixed_point"),
    ]
    head, rule, line = claims.markdown(claims.table(found)).splitlines()
    assert head.endswith("| source | rule | descent | fixed_point |")
    assert rule.count("---") == 8
    assert "**held** (half: not held; twice: held): 0.5 (0.4 to 0.6 over 3 seeds), a\\|b" not in line
    assert "0.5 (0.4 to 0.6 over 3 seeds), a\\|b" in line and "**not held**" in line


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
    assert "9  sigma^2 falls with the Hessian  [rank correlation, middle layer: < 0;" in text
    assert "verdicts are held" in text and "Holm" in text
    assert "small: importance" in text and "23  " in text
    main(["claims", str(small), "--json", "--parts"], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)
    asked = {"statistic", "interval", "over", "threshold", "source", "rule", "note", "verdict", "at half", "at twice"}
    assert asked | {"claim", "value", "of", "file", "B"} <= set(rows[0])


def test_files_without_claims_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="ebayes specs"):
        main(["claims"], standalone_mode=False)
