"""Cycles of batches that follow one another, counted on the compiled core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..hw.ports import STATISTICS
from ..hw.program import Program
from ..model.step import State, StepResult, infer
from .compiled import Batch, CompiledCore
from .runner import BenchError
from .trace import Trace

__all__ = ["WARM_UP", "count"]

WARM_UP = 2
"""Batches before the counting begins: the first finds nothing loaded. One more comes after those that count, to end
the last."""


def count(core: CompiledCore, program: Program, state: State,
          steps: Iterable[tuple[np.ndarray, np.ndarray, StepResult]], *, learn: bool) -> dict[str, Any]:
    """Run batches that `Workload.batches` has made, one behind the other, on a core that is loaded.

    state
        After all the batches, whose weights are to predict where nothing is learned.

    Returns `samples`, and over these the elapsed `cycles`, the `statistics` and the `trace`, from the beginning of one
    batch to that of another: all but the first `WARM_UP` and the last count. Raises BenchError where a prediction is
    not the model's.
    """
    batches, expected, time = [], [], 0
    for inputs, labels, step in steps:
        batches.append(Batch(samples=program.pack(inputs, labels), learn=learn, time=time))
        expected.append(step.predictions if learn else infer(program.network, state, inputs))
        time += len(labels)
    played = core.run_batches(batches, watch=True)
    if not np.array_equal(played.predictions, np.concatenate(expected)):
        raise BenchError("the core's predictions are not the golden model's")
    begin, end = (int(played.began[batch] - played.began[0]) for batch in (WARM_UP, -1))
    return {
        "samples": sum(len(batch.samples) for batch in batches[WARM_UP:-1]),
        "cycles": end - begin,
        "statistics": {name: int(played.statistics[name][-2] - played.statistics[name][WARM_UP])
                       for name in STATISTICS},
        "trace": Trace.seen(played.seen, begin, end),
    }
