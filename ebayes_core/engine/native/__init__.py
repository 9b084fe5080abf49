"""The step of a cohort in C: recorded once, cut into short loops that stay in the first cache, and compiled.

A step is a chain of some hundred dependent operations for each synapse. As one loop it waits for itself, since the
processor sees only a few iterations ahead. As several short loops over a few hundred synapses, whose intermediate
results stay in the first cache, many iterations overlap.
"""

from ebayes_core.engine.native.build import NoCompiler
from ebayes_core.engine.native.noise import fill
from ebayes_core.engine.native.recording import Unsupported
from ebayes_core.engine.native.run import native

__all__ = ["NoCompiler", "Unsupported", "fill", "native"]
