"""How the documentation site is built: `sphinx-build -W --keep-going docs build/site`, without a network."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # site_pages, beside this file
# the notebooks call `ebayes`, which is installed beside this Python; one thread, so that numbers do not depend on cores
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a debugger's warning in the pages

project = "ebayes"
author = "The ebayes developers"
copyright = author
version = release = installed("ebayes")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "site_pages",
]
exclude_patterns = ["site_pages"]

html_theme = "furo"
html_title = "ebayes"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_math_renderer = "mathml"  # of site_pages: MathJax would be loaded from another host
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
copybutton_prompt_text = r"^\$ "
copybutton_prompt_is_regexp = True

nb_execution_mode = "cache"  # a notebook is run again when its code changes
nb_execution_in_temp = True
nb_execution_timeout = -1
nb_execution_raise_on_error = True

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "model_config, model_post_init, slot, advice, undefined",
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
