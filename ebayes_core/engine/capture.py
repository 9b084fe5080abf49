"""A step on a GPU as one CUDA graph: its hundred kernels are launched together, and the processor waits for none.

Everything that a step reads and writes lies in the same memory each time, so that it can be replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ebayes_core.engine.cohort import State

log = logging.getLogger("ebayes")

#: steps before the recording: the first of them compile kernels and choose algorithms
REHEARSALS = 3

Body = Callable[[], None]


def captured(body: Body, state: State) -> Body:
    """A step that replays the body, on a GPU; the body itself elsewhere, or with a warning if it cannot be recorded.

    The state is left as it was.
    """
    if state.xi.device.type != "cuda":
        return body
    try:
        return _recorded(body, state)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[0]
        log.warning(
            "the step cannot be recorded as a CUDA graph (%s); it is slower without, and computes the same", why
        )
        return body


def _recorded(body: Body, state: State) -> Body:
    stream = torch.cuda.Stream(state.xi.device)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), unchanged(state):
        for _ in range(REHEARSALS):
            body()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(state.roots)
    with unchanged(state), torch.cuda.graph(graph):
        body()
    replay: Body = graph.replay
    return replay


@contextmanager
def unchanged(state: State) -> Iterator[None]:
    """A block after which all tensors of the state and its generator are what they were."""
    tensors = [*state.parameters.tensors(), *state.weights, state.xi, state.alive, state.loss, state.correct]
    before, roots = [t.clone() for t in tensors], state.roots.get_state()
    try:
        yield
    finally:
        for t, old in zip(tensors, before, strict=True):
            t.copy_(old)
        state.roots.set_state(roots)
