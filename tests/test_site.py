"""The documentation site: every name and every figure has its place, notebooks run, search works without a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import ebayes
from ebayes_core.contract.registry import Registry
from tests.waiting import LIMIT

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the site with")


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_every_public_name_is_on_the_api_page() -> None:
    shown = re.findall(r"^\.\. \w+(?::\w+)?:: ebayes\.(\w+)", text("api.md"), re.MULTILINE)
    assert sorted(shown) == sorted(ebayes.__all__)


def test_every_kind_of_figure_is_in_the_gallery(registry: Registry) -> None:
    named = set(re.findall(r"`(\w+)`", text("gallery.md")))
    assert named >= set(Registry([e for e in registry.entries if e.distribution == "ebayes"]).kinds("analysis"))


def test_below_every_picture_of_the_gallery_is_the_command_that_draws_it() -> None:
    pictures = re.split(r"^!\[.*\]\((.*)\)$", text("gallery.md"), flags=re.MULTILINE)[1:]
    assert len(pictures) > 20
    for picture, below in zip(pictures[::2], pictures[1::2], strict=True):
        command = re.search(r"^```text\nebayes (?:run (\S+)|bench )[^`]*\n```$", below, re.MULTILINE)
        assert command, picture
        assert command[1] is None or (ROOT / "specs" / f"{command[1]}.toml").is_file()


def test_every_picture_is_shown_somewhere_and_small() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *DOCS.glob("*.md")])
    for picture in (DOCS / "figures").iterdir():
        assert f"figures/{picture.name})" in pages
        assert picture.stat().st_size < 300_000, picture


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_stored_without_outputs(notebook: Path) -> None:
    """Outputs would go stale and fill the history; the site's build and the next test make them."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown" and "".join(cells[0]["source"]).startswith("# ")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_the_ten_lines_of_the_readme_are_the_first_tutorial() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ten = re.search(r"```python\n(import ebayes\n.*?)```", readme, re.DOTALL)[1].splitlines()
    cells = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert len(ten) == 10
    for line in ten:
        start = line.split("  #")[0].rstrip()
        assert start in code, start


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_without_a_network(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, in which all that it writes stays."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    read = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(read, resources={"metadata": {"path": str(tmp_path)}}, timeout=None).execute()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, with the notebooks' code but not their outputs."""
    for package in ("sphinx", "myst_nb", "furo", "sphinx_design", "sphinx_copybutton"):
        pytest.importorskip(package, reason="the extra 'docs' is not installed")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-D", "nb_execution_mode=off"]
    subprocess.run([*command, "-d", str(target / "doctrees"), str(DOCS), str(target / "html")], check=True)
    return target / "html"


@pytest.mark.slow
def test_the_site_takes_nothing_from_other_hosts(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']([^\"']*)", html)
        loaded += re.findall(r"<link\b[^>]*\brel=[\"'](?:stylesheet|preload|icon)[\"'][^>]*\bhref=[\"']([^\"']*)", html)
        assert loaded and not [address for address in loaded if re.match(r"(https?:)?//", address)], page


@pytest.mark.slow
def test_every_page_is_reached_from_the_first_one(site: Path) -> None:
    reached, left = set(), {site / "index.html"}
    while left:
        page = left.pop()
        reached.add(page)
        links = re.findall(r"<a\b[^>]*\bhref=\"([^\"#?:]+\.html)", page.read_text(encoding="utf-8"))
        left |= {(page.parent / unquote(link)).resolve() for link in links} - reached
    assert {DOCS / page.relative_to(site).with_suffix("") for page in reached} >= {
        page.with_suffix("") for page in [*DOCS.glob("*.md"), *NOTEBOOKS]
    }


def shown(page: str, tmp_path: Path) -> str:
    """The page's HTML after its scripts ran, opened from a file without a server."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    command += ["--hide-scrollbars", "--allow-file-access-from-files"]  # so that one page may look at another
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


@pytest.mark.slow
@browser
@pytest.mark.parametrize("word, page", [("balance", "optimum.html"), ("VesicleCost", "api.html")])
def test_search_finds_a_page(site: Path, tmp_path: Path, word: str, page: str) -> None:
    html = shown(f"{(site / 'search.html').as_uri()}?q={word}", tmp_path)
    results = re.search(r'<div id="search-results">(.*)', html, re.DOTALL)
    assert results and re.search(rf'href="{re.escape(page)}[?#"]', results[1])


PHONE = """<!doctype html><iframe style="width: 390px; height: 900px; border: 0" src="{page}"></iframe><script>
onload = () => {{
  const frame = document.querySelector("iframe")
  const overflow = part => frame.contentWindow.getComputedStyle(part).overflowX
  const scrolls = part => part.tagName != "ARTICLE" && (overflow(part) != "visible" || scrolls(part.parentElement))
  const parts = [...frame.contentDocument.querySelectorAll("article *")]
  const wide = parts.filter(part => part.getBoundingClientRect().right > 390 && !scrolls(part.parentElement))
  document.body.replaceChildren(`${{parts.length}} parts, too wide: ${{wide.map(part => part.tagName)}}.`)
}}
</script>"""


@pytest.mark.slow
@browser
@pytest.mark.parametrize("page", ["index", "api", "gallery", "spec_reference", "reproduction", "tutorials/2_own_data"])
def test_no_page_is_wider_than_a_phone(site: Path, tmp_path: Path, page: str) -> None:
    """Tables, code and pictures scroll or shrink."""
    frame = tmp_path / "phone.html"
    frame.write_text(PHONE.format(page=(site / f"{page}.html").as_uri()))
    found = re.search(r"<body>(\d+) parts, too wide: (.*)\.</body>", shown(frame.as_uri(), tmp_path))
    assert found and int(found[1]) > 5 and not found[2]
