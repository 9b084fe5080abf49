"""Tables at any width: no number is cut or broken, nothing is lost, and the most important columns come first."""

from __future__ import annotations

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from ebayes_core.bench.goals import GOALS, Verdict
from ebayes_core.bench.rows import Row, Section
from ebayes_core.bench.table import show as show_bench
from ebayes_core.cli.sweep_status import show_status
from ebayes_core.console import printing
from ebayes_core.console.printing import Column, Listing
from ebayes_core.sweeps.progress import fitted
from ebayes_core.sweeps.status import Failed, Running, Status

WIDTHS = (60, 80, 100, 200)
NUMBERS = st.lists(st.floats().map(lambda value: f"{value:.3g}"), min_size=3, max_size=3)
WORDS = st.lists(st.text("abc é±", min_size=1, max_size=30), min_size=3, max_size=3)


def screen(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)


def printed(width: int, table: Listing, **how: object) -> list[str]:
    """The lines that a table takes on a screen."""
    console = screen(width)
    printing.show(console, table, **how)
    return console.file.getvalue().splitlines()


def columns(*heads: str, cell: str = "-1.23e-05") -> list[Column]:
    return [Column(head, [cell, "0.5"]) for head in heads]


@st.composite
def tables(draw: st.DrawFn) -> Listing:
    made = [Column(f"key{i}", draw(NUMBERS), key=True) for i in range(draw(st.integers(1, 4)))]
    made += [Column(f"head{i}\n(weight)", draw(NUMBERS)) for i in range(draw(st.integers(1, 15)))]
    says = [f"say{i}" for i in range(draw(st.integers(0, 3)))]
    words = [Column(head, draw(WORDS), words=True, key=draw(st.booleans())) for head in says]
    return Listing("a table", draw(st.permutations([*made, *words])))


@given(table=tables(), width=st.integers(40, 220))
@example(
    table=Listing("a word as long as half of the screen", [
        Column("key0", ["1.01e+03"], key=True), Column("key1", ["-1.01e+03"], key=True),
        Column("head0\n(weight)", ["0"]), Column("say0", ["a" * 20], words=True),
    ]), width=40,
)  # fmt: skip
def test_every_number_stands_whole_in_the_width_there_is(table: Listing, width: int) -> None:
    lines = printed(width, table)
    assert max(map(len, lines)) <= width
    found = [word for line in lines for word in line.split()]
    for column in table.columns:
        for cell in column.cells if not column.words else ():
            assert found.count(cell) >= 1, (column.heading, cell)
        assert all(part in found for part in column.heading.split())
    numbers = [cell for column in table.columns if not column.words for cell in column.cells]
    assert all(found.count(cell) >= numbers.count(cell) for cell in numbers)


@given(table=tables(), width=st.integers(20, 100))
def test_wide_is_one_line_for_each_row(table: Listing, width: int) -> None:
    lines = printed(width, table, wide=True)
    assert len(lines) == 1 + max(c.heading.count("\n") + 1 for c in table.columns) + 3
    plain = " ".join(lines).split()
    assert all(word in plain for column in table.columns for cell in column.cells for word in cell.split())


def test_the_first_columns_are_the_last_to_go_and_the_others_are_named() -> None:
    table = Listing("", [Column("seed", ["0", "1"], key=True), *columns("accuracy", "sigma\n(weight)", "cost", "rest")])
    text = "\n".join(printed(32, table, rest="--wide shows them"))
    assert "accuracy" in text and "sigma" in text and "(weight)" in text
    assert "columns that do not fit: cost,\nrest (--wide shows them)" in text
    assert "do not fit" not in "\n".join(printed(100, table, rest="--wide shows them"))


def test_blocks_repeat_the_keys_and_are_alike_in_width() -> None:
    table = Listing("", [Column("seed", ["10", "11"], key=True), *columns("one", "two", "three", "four")])
    lines = printed(40, table)
    assert [line.split() for line in lines if "seed" in line] == [["seed", "one", "two"], ["seed", "three", "four"]]
    assert [line.split()[0] for line in lines if line.strip()] == ["seed", "10", "11"] * 2


def test_keys_that_leave_no_room_are_numbered() -> None:
    keys = [Column(f"field{i}", ["0.0123", "0.0124"], key=True) for i in range(5)]
    lines = printed(40, Listing("", [*keys, *columns("sigma")]))
    assert all(line.split()[0] in ("#", "1", "2") for line in lines if line.strip())


def test_keys_with_room_stay_names_where_blocks_of_even_width_would_number_them() -> None:
    names = [Column(head, ["a" * 9, "b" * 9], words=True, key=True) for head in ("slot", "kind")]
    lines = printed(40, Listing("", [*names, *columns("one", "two", cell="-1.2345678e-05")]))
    assert all(line.split()[0] in ("slot", "a" * 9, "b" * 9) for line in lines if line.strip())


@pytest.mark.parametrize("width", [1, 9, 10])
def test_a_screen_as_narrow_as_one_column_shows_one_at_a_time(width: int) -> None:
    lines = printed(width, Listing("", [Column("seed", ["10", "11"], key=True), *columns("one", "two")]))
    shown = [line.split()[-1] for line in lines if line.strip() and "1" not in line]
    assert shown == ["seed", "one", "0.5", "two", "0.5"]


def test_a_column_wider_than_the_screen_is_longer_than_the_screen() -> None:
    (line,) = (line for line in printed(20, Listing("", columns("x", cell="1" * 30))) if "1" in line)
    assert line.strip() == "1" * 30


def test_a_legend_hangs_and_breaks_between_words() -> None:
    console = screen(40)
    printing.legend(console, {"B": "a balance that is explained at some length", "motion": "of sigma"})
    assert console.file.getvalue().splitlines() == [
        "B       a balance that is explained at", "        some length", "motion  of sigma",
    ]  # fmt: skip


def test_a_command_stays_in_one_line() -> None:
    console = screen(30)
    printing.paragraph(console, "do it with (--set\N{NO-BREAK SPACE}a.b=c) or with /a/long/path/that/goes/beyond/it.h5")
    assert console.file.getvalue().splitlines() == [
        "do it with (--set a.b=c) or", "with", "/a/long/path/that/goes/beyond/it.h5",
    ]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_the_standing_of_a_sweep_fits(width: int) -> None:
    workers = [Running(f"{i:016x}", 100 + i, "a-host-of-some-cluster", 12345 + i, 0.5, 1234.5) for i in range(30)]
    failures = [Failed(f"{i:016x}", 1, f"cost.c = {i}, seed = 0", 3, True, "RuntimeError: no") for i in range(500)]
    console = screen(width)
    show_status(console, Status(1, 2, 3, 4, 100.0, workers, failures))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = console.file.getvalue().split()
    assert all(worker.item in words and str(worker.networks) in words for worker in workers[: printing.SHOWN])
    text = " ".join(words)
    assert (
        "... and 10 more (--json lists all)" in text and "... and 480 more (`ebayes status --json` lists all)" in text
    )
    assert len(lines) < 150


@pytest.mark.parametrize("width", WIDTHS)
def test_the_bench_fits(width: int) -> None:
    rows = (Row("a plain network of the same size", (0.0123, 0.0125)), Row("another", problem="no compiler here"))
    verdicts = [Verdict(goal, 0.512, "a plain network", True, False) for goal in GOALS]
    machine = {
        "processor": "p", "cores": 2, "threads": 1, "system": "s", "compiler": None, "torch_version": "2",
        "created": "now", "load_before": 0.0,
    }  # fmt: skip
    console = screen(width)
    show_bench(console, machine, [Section("Step", "ms per network", rows)], verdicts)
    assert max(map(len, console.file.getvalue().splitlines())) <= width
    words = console.file.getvalue().split()
    assert words.count("0.512") == len(GOALS) and {"0.0124", "0.0123", "0.0125"} <= set(words)


@pytest.mark.parametrize("width", range(10, 80, 7))
def test_a_line_of_progress_loses_what_matters_least_and_is_never_cut(width: int) -> None:
    parts = ["epoch 1/50", "cohort 1/1, 7 networks", "123 steps/s"]
    line = fitted(parts, width)
    assert line in ("  ".join(parts[:n]) for n in (1, 2, 3))
    assert len(line) <= width
