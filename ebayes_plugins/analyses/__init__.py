"""The built-in analyses, one module each."""

from __future__ import annotations

from ebayes_core.slots import Analysis

ALL: list[type[Analysis]] = []
