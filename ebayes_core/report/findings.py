"""The findings of a run in a few sentences: what its analyses found, and whether its networks are at their optimum."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ebayes_core.contract.attribution import asking, blamed
from ebayes_core.contract.registry import Registry
from ebayes_core.report import figures, optimality, signature
from ebayes_core.results.reader import Run

RECORD = "This file is a record, which has no synapses: figures can be drawn again, but no others can be measured."
HEADLINES = 3  #: analyses whose headline is shown, one of each kind


def findings(run: Run, registry: Registry) -> tuple[list[str], list[str]]:
    """The findings: headlines of the analyses, or a sentence on the synapses; then whether this is the optimum, and
    whether the file has synapses.

    Also messages about analyses that failed.
    """
    said, problems = headlines(run.path, registry)
    found = optimality.judged(run)
    if not said and run.has_synapses:
        said = [signature.sentence(run, np.flatnonzero(found.noisy))]
    return [*filter(None, said), optimality.optimum(run, found), *([] if run.has_synapses else [RECORD])], problems


def headlines(path: Path, registry: Registry) -> tuple[list[str], list[str]]:
    """The headlines of the analyses of a file, one of each kind; and messages about those that failed."""
    said: dict[str, str] = {}
    problems = []
    for name, (analysis, arrays) in figures.stored(path, registry)[0].items():
        if analysis.kind not in said:
            try:
                with asking(analysis, "what headline returned"):
                    said[analysis.kind] = str(analysis.headline(arrays))
            except Exception as error:  # of a third-party analysis: the report goes on
                problems.append(f"{name}: no headline: {blamed(error, registry)}")
    return list(filter(None, said.values()))[:HEADLINES], problems
