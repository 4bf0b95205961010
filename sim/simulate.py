"""A network on the core of a board, in the cocotb bench: compared with the golden model bit for bit; its waveforms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..hw.config import ArrayConfig
from ..hw.core import Core
from ..hw.program import compile_network
from ..model.config import MAX_BATCH, NetworkConfig
from ..model.initial import initial_state
from .runner import array_cells, run_bench

__all__ = ["STALLS", "Simulation", "simulate"]

STALLS = {"i_sample": "half", "i_run": "half", "o_result": "bursts", "i_counter": "rarely", "o_counter": "alternate",
          "i_row": "half", "i_program": "rarely"}
"""Of each stream, when the bench does not offer or take: see `streams`."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What was simulated, and found equal.

    Members
    -------
    samples, triggered, row_updates, saturations
        In all batches.
    cycles
        In which the core was at work.
    log
        The bench's output.
    """

    samples: int
    triggered: int
    row_updates: int
    saturations: int
    cycles: int
    log: Path

    def to_dict(self) -> dict:
        """JSON-ready."""
        return asdict(self) | {"log": str(self.log)}


def simulate(array: ArrayConfig, network: NetworkConfig, batches: Sequence[int], *, stalls: bool = False,
             waves: Path | None = None, timeout: float = 7200) -> Simulation:
    """Run random batches of these sizes on the simulated core, one close behind the other, of each four the last
    without learning; compare predictions, triggers, statistics and counters with the golden model's.

    Parameters
    ----------
    stalls
        Keep the core waiting on every stream, now and then.
    waves
        Where all signals are recorded, as a VCD file.
    timeout
        Seconds that the simulation may take.

    Raises
    ------
    CapacityError
        The network does not fit the array.
    ValueError
        A batch has too many samples, or none.
    BenchError
        Something differed, or nothing could be compiled.
    """
    if not batches or not all(1 <= count <= MAX_BATCH for count in batches):
        raise ValueError(f"batches must be sizes from 1 to {MAX_BATCH}, not {','.join(map(str, batches)) or 'none'}")
    compile_network(network, initial_state(network).classifier, array)
    done = run_bench(
        Core(array), "bitprop.sim.bench_core", tests=1, name="simulate", sources=array_cells(array),
        waves=waves is not None, timeout=timeout, parameters={
            "array": array.to_dict(), "networks": [network.to_dict()], "batches": list(batches),
            "stalls": STALLS if stalls else {}, "check_every": len(batches)})
    if waves is not None:
        shutil.move(done.directory / "dump.vcd", waves)
    return Simulation(**json.loads((done.directory / "result.json").read_text()), log=done.directory / "bench.log")
