"""The page of a results file: everything in it, nothing outside it, and no plugin's fault that costs the rest."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, Literal
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from markupsafe import escape

from ebayes_core.contract.claim import FAILED, HELD, Claim, Measured
from ebayes_core.contract.registry import Registry
from ebayes_core.contract.slots import Analysis, hookimpl
from ebayes_core.report import claims, optimality, page, tables
from ebayes_core.results.reader import Run
from ebayes_core.results.writer import add_analyses
from tests.cli.test_commands import SPEC, status
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<script>alert(1)</script><img src=http://example.org/x>"
SPEC = SPEC.replace('name = "tiny"', f'name = "tiny"\ndescription = "{HOSTILE}"')


class Guess(Analysis):
    """A line and what it claims.

    Not a word of this.
    """

    kind: Literal["guess"] = "guess"
    fails: str = ""
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            3, "the line <rises>", "slope of the line", (0.0, 1.0),
            lambda analysis, arrays: (Measured("left", 0.5, 0.3, 0.6), Measured("right", 1.25, 1.2, 1.3, "3 seeds", 3)),
        ),
    )  # fmt: skip

    def measure(self, run):
        return {"x": np.arange(3.0)}

    def statistics(self, arrays):
        if self.fails == "statistics":
            raise RuntimeError("in /home/someone")
        return {"slope": np.arange(70.0)}

    def draw(self, arrays, figure):
        if self.fails == "draw":
            raise RuntimeError("in /home/someone")
        figure.subplots().plot(arrays["x"])


@pytest.fixture(scope="module")
def with_guess() -> Registry:
    return Registry.of(SimpleNamespace(ebayes_analyses=hookimpl(lambda: [Guess])))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a figure, not to be written to."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(SPEC)
    assert status("run", folder / "tiny.toml", "--out", folder / "tiny.h5", "--device", "cpu") == 0
    return folder / "tiny.h5"


@pytest.fixture
def file(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(trained, tmp_path))


def add(file: Path, name: str, analysis: Guess) -> None:
    """A stored analysis."""
    add_analyses(file, {name: {**analysis.measure(None), "_options": analysis.model_dump_json()}})


def written(file: Path, registry: Registry) -> tuple[str, list[str]]:
    """The page of a file, and what it lacks."""
    target = file.with_suffix(".html")
    problems = page.write(file, target, registry)
    return target.read_text(encoding="utf-8"), problems


class Elements(HTMLParser):
    """Every tag with its attributes, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def cells(text: str) -> set[str]:
    """What stands in the tables."""
    return set(re.findall(r"<td[^>]*>(.*?)</td>", text))


def test_the_page_holds_the_run(file: Path, with_guess: Registry) -> None:
    add(file, "guess-2", Guess())
    text, problems = written(file, with_guess)
    assert not problems
    assert escape(SPEC) in text
    with Run(file) as run:
        provenance, listings = run.provenance, (tables.member_listing(run), tables.convergence_listing(run))
        assert all(f"<li>{escape(line)}</li>" in text for line in optimality.verdicts(run))
    for table in listings:
        assert {escape(cell) for row in table.rows for cell in row} <= cells(text)
    for name in ("created", "device", "processor", "digest", "torch_version"):
        assert escape(str(provenance[name]).split("+cu")[0]) in text
    assert [image["alt"].split(":")[0] for image in Elements(text).named("img")] == ["guess", "training"]
    assert "A line and what it claims." in text and "Not a word" not in text
    assert "... and 10 more in the file, under /analyses/guess-2" in text


def test_the_page_states_the_claims(file: Path, with_guess: Registry) -> None:
    add(file, "guess", Guess())
    text, _ = written(file, with_guess)
    (finding,), _ = claims.findings(file, with_guess)
    for words in ("3. the line &lt;rises&gt;", "slope of the line", "0 to 1", finding.verdict(), "right: 1.25"):
        assert words in text
    assert {"left", "0.5", "[0.3, 0.6]", HELD, "right", "1.25", "-", FAILED} <= cells(text)


def test_the_page_refers_to_nothing_outside_itself(file: Path, with_guess: Registry) -> None:
    add(file, HOSTILE.replace("/", ""), Guess())
    text, _ = written(file, with_guess)
    elements = Elements(text)
    targets = [a[name] for _, a in elements.found for name in ("src", "href", "srcset", "action") if name in a]
    assert targets
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert not elements.named("script")
    assert not [name for _, a in elements.found for name in a if name.startswith("on")]
    assert "default-src 'none'" in elements.named("meta")[1]["content"]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style and "@import" not in style
    assert escape(HOSTILE) in text and HOSTILE not in text


@pytest.mark.parametrize("largest, form", [(page.LARGEST_SVG, "svg+xml"), (0, "png")])
def test_figures_are_in_the_page(file: Path, registry: Registry, largest: int, form: str, monkeypatch) -> None:
    monkeypatch.setattr(page, "LARGEST_SVG", largest)
    text, _ = written(file, registry)
    (image,) = Elements(text).named("img")
    head, content = image["src"].split(",")
    assert head == f"data:image/{form};base64"
    picture = base64.b64decode(content, validate=True)
    if form == "png":
        assert picture.startswith(b"\x89PNG\r\n")
    else:
        assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert written(file, registry)[0] == text  # to the byte: two pages differ where their runs do


def test_the_machine_keeps_its_names(file: Path, registry: Registry) -> None:
    with h5py.File(file, "r+") as opened:
        found = json.loads(opened.attrs["provenance"])
        found |= {"host": "secrethost", "command": "/home/secretuser/bin/ebayes run", "system": "Linux-secretkernel"}
        opened.attrs["provenance"] = json.dumps(found)
    text, _ = written(file, registry)
    assert "secret" not in text
    assert str(file.parent) not in text


def test_a_plugins_fault_is_told_in_its_place_and_costs_nothing_else(file: Path, with_guess: Registry) -> None:
    for what in ("draw", "statistics"):
        add(file, f"broken-{what}", Guess(fails=what))
    text, problems = written(file, with_guess)
    assert "broken-draw: cannot be drawn: RuntimeError<" in text
    assert "broken-statistics: no statistics: RuntimeError<" in text
    assert "/home/someone" not in text
    assert len(problems) == 2 and all("/home/someone" in problem for problem in problems)
    assert [image["alt"].split(":")[0] for image in Elements(text).named("img")] == ["guess", "training"]
    assert "Statistics: broken-draw" in text


def test_a_claim_that_cannot_be_measured_costs_the_claims_alone(file: Path, with_guess: Registry, monkeypatch) -> None:
    add(file, "guess", Guess())
    monkeypatch.setattr(Guess, "claims", (Claim(1, "none", "none", (0.0, 1.0), lambda *_: 1 / 0),))
    text, problems = written(file, with_guess)
    assert "guess: no claims: ZeroDivisionError<" in text
    assert len(problems) == 1 and len(Elements(text).named("img")) == 2


def test_a_missing_plugin_is_told_in_its_place(file: Path, capsys) -> None:
    add(file, "guess", Guess())
    assert status("report", file) == 1
    printed = capsys.readouterr()
    assert printed.out.strip() == "report/tiny.html"
    assert "tiny.h5: guess: the analysis 'guess' belongs to a plugin that is not registered here" in printed.err
    text = Path("report/tiny.html").read_text()
    assert text.index("guess: the analysis") < text.index('<img src="data:image')


def test_several_files_and_two_that_are_none(file: Path, capsys) -> None:
    other, damaged, none = (Path(shutil.copy(file, f"{name}.h5")) for name in ("other", "damaged", "none"))
    none.write_text("no results")
    with h5py.File(damaged, "r+") as opened:
        del opened["layer_metrics/balance"]
    assert status("report", file, none, damaged, other, "--out", "pages") == 1
    printed = capsys.readouterr()
    assert printed.out.split() == ["pages/tiny.html", "pages/other.html"]
    assert "\nnone.h5: cannot be read" in f"\n{printed.err}" and "\ndamaged.h5: cannot be read" in printed.err
    assert {p.name for p in Path("pages").iterdir()} == {"tiny.html", "other.html"}


def test_two_files_do_not_share_a_page(file: Path, capsys) -> None:
    Path("more").mkdir()
    again = shutil.copy(file, "more")
    assert status("report", file, again) == 2
    assert "would be that of another file as well" in capsys.readouterr().err
    assert not Path("report").exists()
    assert status("report", file, file) == 0


def test_a_wheel_takes_the_template() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["ebayes_core"]
    for name in ("page.html", "page.css"):
        assert any(Path("report", "templates", name).match(pattern) for pattern in patterns)


WRAPPER = """<!doctype html><iframe style="width: 400px; height: 900px; border: 0" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument
  const widths = [...page.images].map(image => image.naturalWidth)
  const told = JSON.stringify({{ widths, page: page.documentElement.scrollWidth }})
  document.body.replaceChildren(told)
}}
</script>"""


def chromium(tmp_path: Path, *arguments: str) -> str:
    """What headless Chromium prints."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_a_browser_shows_the_page(file: Path, with_guess: Registry, tmp_path: Path) -> None:
    """Not blank; every figure is loaded; on a phone nothing but tables and figures is wider than the screen."""
    from matplotlib.image import imread

    add(file, "guess", Guess())
    text, _ = written(file, with_guess)
    picture = tmp_path / "page.png"
    chromium(tmp_path, "--window-size=1200,3000", f"--screenshot={picture}", file.with_suffix(".html").as_uri())
    pixels = imread(picture)[..., :3]
    assert pixels.shape[:2] == (3000, 1200)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    (tmp_path / "phone.html").write_text(WRAPPER.format(page=escape(text)))
    shown = chromium(tmp_path, "--dump-dom", (tmp_path / "phone.html").as_uri())
    told = json.loads(re.search(r"\{.*\}", re.search("<body>(.*)</body>", shown, re.DOTALL)[1])[0])
    assert len(told["widths"]) == 2 and min(told["widths"]) > 100
    assert told["page"] <= 400
