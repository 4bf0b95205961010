"""A whole training at the pins of the system's UART, compared with the golden model (`synth.replay`).

Parameters: `array`, `link`, `network` (fields of their configurations), `data`, `batch`, `epochs`, `batches`,
`progress` (a file that gets one JSON object a line while it runs), `trained` (null, or an `.npz` of a trained state
whose predictions for the test part are compared and counted). The result is left as `result.json`.
"""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge

from ..hw.link.config import LinkConfig
from ..model.config import NetworkConfig
from ..model.data import load_dataset
from ..model.learners import HardwareLearner, state_from_arrays
from ..model.step import infer
from ..model.trainer import Training, accuracy
from ..synth.accelerator import Accelerator
from ..synth.driver import Device
from ..synth.replay import Comparison, Mismatch, replay
from .runner import bench_parameters
from .streams import reset, start_clock
from .transport import SimulatedTransport

PERIOD = 10  # ns
BATCHES_A_REPORT = 4


@cocotb.test()
async def trains(dut):
    """Every prediction, trigger, statistic, counter and weight of the training as the model has it."""
    parameters = bench_parameters()
    network = NetworkConfig.from_dict(parameters["network"])
    dataset = load_dataset(parameters["data"])
    training = Training(HardwareLearner(network, batch=parameters["batch"]))
    start_clock(dut, PERIOD)
    await reset(dut)
    line = SimulatedTransport(dut.rx, dut.tx, bit_time=LinkConfig(**parameters["link"]).divisor * PERIOD)
    progress = Path(parameters["progress"])

    def tell(**event):
        with open(progress, "a") as file:
            file.write(json.dumps(event) + "\n")

    def tell_batch(done: int, total: int):
        if done % BATCHES_A_REPORT == 0 or done == total:
            tell(done=done, total=total)

    def tell_comparison(comparison: Comparison):
        tell(epoch=comparison.epoch, samples=comparison.samples, validation=comparison.validation,
             state_hash=comparison.state_hash, model_hash=comparison.model_hash)

    @bridge
    def session() -> dict:
        device = Device(line)
        accelerator = Accelerator(device, network, training.learner.state.classifier)
        try:
            result = replay(
                accelerator, training, dataset, epochs=parameters["epochs"], batches=parameters["batches"],
                on_batch=tell_batch, on_comparison=tell_comparison).to_dict()
            result["rtl_test_accuracy"] = None
            if parameters["trained"]:
                with np.load(parameters["trained"], allow_pickle=False) as arrays:
                    state = state_from_arrays(network, arrays)
                accelerator.load(state)
                predictions = accelerator.infer(dataset.test.inputs)
                differing = int(np.count_nonzero(predictions != infer(network, state, dataset.test.inputs)))
                if differing:
                    raise Mismatch(f"{differing} predictions for the test part differ from the model's")
                result["rtl_test_accuracy"] = accuracy(predictions, dataset.test.labels)
        except Mismatch as mismatch:
            tell(mismatch=str(mismatch))
            raise
        return result | {"repeats": device.repeats}

    result = await session()
    assert result["repeats"] == 0, f"{result['repeats']} requests had to be repeated on a clean line"
    result["characters"] = {"sent": line.sent, "received": line.received}
    Path("result.json").write_text(json.dumps(result))
