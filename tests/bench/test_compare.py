"""`ebayes bench`: comparing with a stored run, what is refused before anything is measured, and what is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from ebayes_core.bench import compare, session
from ebayes_core.bench.goals import judge
from ebayes_core.bench.rows import Row, Section
from ebayes_core.bench.session import Bench
from ebayes_core.cli.main import main
from ebayes_core.errors import UserError

MACHINE = {
    "processor": "Made-up 3000", "device": "cpu", "threads": 2, "created": "2026-01-01", "ebayes_version": "0.1",
    "cores": 2, "system": "Linux", "compiler": None, "torch_version": "2", "load_before": 0.0,
}  # fmt: skip


def run(processor: str, *sections: Section) -> Bench:
    """A run of the bench on a made-up machine."""
    return Bench(MACHINE | {"processor": processor}, list(sections), judge(sections), 1.0)


def section(title: str, **medians: float | None) -> Section:
    """Rows by their names."""
    return Section(title, "ms", tuple(Row(name, () if m is None else (m,)) for name, m in medians.items()))


HERE = run("Here 1", section("both", plain=2.0, engine=1.0, new=3.0), section("new section", row=1.0))
THERE = run("There 2", section("both", plain=4.0, engine=1.0, old=8.0), section("old section", row=7.0))


def stored(path: Path, bench: Bench) -> Path:
    """The run as a file."""
    path.write_text(json.dumps(bench.record()), encoding="utf-8")
    return path


def lines(text: str) -> dict[str, list[str]]:
    """The cells of each row, by its name, before which sections are told apart."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, *cells = [cell.strip() for cell in line.strip().split("  ") if cell.strip()] or [""]
        found.setdefault(name, cells)
    return found


def test_both_medians_and_both_ratios_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = compare.stored(stored(tmp_path / "there.json", THERE))
    compare.show(Console(width=80), HERE.machine, HERE.sections, other)
    text = capsys.readouterr().out
    found = lines(text)
    assert found["plain"] == ["2", "4", "0.5", "1", "1"]
    assert found["engine"] == ["1", "1", "1", "0.5", "0.25"]
    assert found["new (only here)"] == ["3", "-", "-", "1.5", "-"]
    assert found["old (only there)"] == ["-", "8", "-", "-", "2"]
    assert found["row (only here)"][:2] == ["1", "-"]
    assert found["row (only there)"][:2] == ["-", "7"]
    assert "Here 1" in text
    assert "There 2" in text


def test_rows_that_failed_are_compared_as_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = compare.stored(stored(tmp_path / "there.json", run("There", section("both", plain=None))))
    compare.show(Console(width=80), HERE.machine, [section("both", plain=0.5)], other)
    assert lines(capsys.readouterr().out)["plain"] == ["0.5", "-", "-", "1", "-"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe{}", "UTF-16"),
        (b"[1, 2]", "the file: Input should be"),
        (b'{"sections": []}', "machine: Field required"),
        (b'{"machine": {"processor": "p"}, "sections": [{"title": "t", "unit": "ms", "rows": [{"name": "r"}]}]}',
         "sections.0.rows.0.median: Field required"),
        (b'{"machine": {"processor": "p"}, "sections": NaN}', "the number NaN"),
        (b'{"machine": {"processor": "p"}, "sections": [{"title": "t", "unit": "ms", "rows": '
         b'[{"name": "r", "median": -1, "ratio": 1}]}]}', "greater than or equal to 0"),
        (b"[" * 200_000, "not valid JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        compare.stored(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="--compare"):
        compare.stored(tmp_path / name)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The runs asked for, each of which takes no time."""
    asked: list[tuple[object, ...]] = []

    def bench(*arguments: object) -> Bench:
        asked.append((arguments[0], arguments[1], arguments[3]))
        return HERE

    monkeypatch.setattr(session, "bench", bench)
    return asked


def test_a_run_is_stored_and_compared(tmp_path: Path, measured: list[tuple[object, ...]]) -> None:
    file, other = tmp_path / "here.json", stored(tmp_path / "there.json", THERE)
    done = CliRunner().invoke(main, ["bench", "--quick", "--out", str(file), "--compare", str(other)])
    assert done.exception is None
    assert measured == [(True, None, "cpu")]
    assert json.loads(file.read_text()) == json.loads(json.dumps(HERE.record()))
    assert "There 2" in done.output
    assert "only there" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "cuda"], "finds no GPU"),
        (["--compare", "absent.json"], "absent.json"),
        (["--out", f"{__file__}/file.json"], "--out"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_measured(
    arguments: list[str], said: str, measured: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = CliRunner().invoke(main, ["bench", *arguments])
    assert said in str(done.exception)
    assert not measured
