"""The slot `analysis`: a figure, and the numbers behind it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ebayes_core.contract.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from ebayes_core.contract.claim import Claim
    from ebayes_core.results.reader import Run


class Analysis(Plugin):
    """A figure and the numbers behind it, computed from a results file alone."""

    slot: ClassVar[str] = "analysis"
    claims: ClassVar[tuple[Claim, ...]] = ()  #: what `ebayes claims` tests on the arrays that measure() returned

    @abstractmethod
    def measure(self, run: Run) -> dict[str, np.ndarray]:
        """The numbers behind the figure as named arrays; stored under /analyses/<kind>."""

    def statistics(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Statistics for `ebayes show --statistics` and the page: columns of equal length, by heading.

        Units are given in the heading, in brackets. Return an empty dict for a figure without statistics.
        """
        return {}

    def headline(self, arrays: dict[str, np.ndarray]) -> str:
        """The result in one sentence with its numbers, printed first after a run; empty if there is nothing to say."""
        return ""

    @abstractmethod
    def draw(self, arrays: dict[str, np.ndarray], figure: Figure) -> None:
        """Draw the arrays that measure() returned, and nothing else, into an empty figure."""
