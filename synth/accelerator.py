"""A network on an accelerator: the golden model's operations, done by a device behind the host link.

    with SerialTransport("/dev/ttyUSB1") as line:
        accelerator = Accelerator(Device(line), network, state.classifier)
        accelerator.load(state)
        result = accelerator.train_batch(inputs, labels)
        predictions = accelerator.infer(more_inputs)
        state = accelerator.read_state()

On a board and in simulation alike: only the device's transport differs.
"""

from __future__ import annotations

import numpy as np

from ..hw.program import Program, compile_network
from ..model.config import MAX_BATCH, NetworkConfig
from ..model.step import State, StepResult, check_batch
from .driver import Device

__all__ = ["Accelerator"]


class Accelerator:
    """A network on a device.

    Parameters
    ----------
    device
        The device, or a simulated core with its methods (`sim.compiled`). Nobody else may use it meanwhile.
    network
        What it is to train.
    classifier
        ±1 `(C, K_L)`.

    Members
    -------
    program : Program
        The network, compiled for the device's array.
    samples : int
        Samples trained so far.

    Raises CapacityError when the network does not fit the device, before anything is sent, and ValueError for a
    classifier of another shape. All methods raise LinkError and DeviceError as the device does.
    """

    program: Program

    def __init__(self, device: Device, network: NetworkConfig, classifier: np.ndarray):
        shape = (network.classes, network.layers[-1])
        if np.shape(classifier) != shape or not np.isin(classifier, (-1, 1)).all():
            raise ValueError(f"classifier must be ±1 {shape}, not {np.shape(classifier)}")
        self.device, self.samples = device, 0
        # As they stood after the last batch that was trained: only such batches move what is told of each.
        self._statistics: dict[str, int] | None = None
        self._classifier = np.array(classifier, dtype=np.int8)
        self.program = compile_network(network, self._classifier, device.config)

    @property
    def network(self) -> NetworkConfig:
        """What is trained."""
        return self.program.network

    def load(self, state: State) -> None:
        """Reset the device, and load program, counters and classifier; the statistics begin at zero.

        Raises ValueError when the state is not one of this network and classifier, before anything is sent.
        """
        shapes = [counters.shape for counters in state.counters]
        if shapes != self.network.shapes:
            raise ValueError(f"counters must be {self.network.shapes}, not {shapes}")
        if not np.array_equal(state.classifier, self._classifier):
            raise ValueError("classifier must be the one that this accelerator was made with")
        low, high = self.network.counter_min, self.network.counter_max
        for layer, counters in enumerate(state.counters, 1):
            if counters.min() < low or counters.max() > high:
                raise ValueError(f"counters of layer {layer} must be from {low} to {high}")
        self.device.reset()
        self.device.write_program(self.program.words)
        for slot, counters in zip(self.program.slots[:-1], state.counters, strict=True):
            self.device.write_rows(slot, counters)
        # The classifier lies in the weight memory like a layer, so its signs are written as counters.
        self.device.write_rows(self.program.slots[-1], np.where(self._classifier > 0, 0, -1))
        self.samples, self._statistics = state.samples, None

    def change(self, network: NetworkConfig) -> None:
        """Go on by other settings; counters and classifier stay.

        Raises ValueError when layers, classes or counter bits differ, and CapacityError when the device has no
        room for the settings, before anything is sent.
        """
        for name in ("layers", "classes", "counter_bits"):
            now, then = getattr(self.network, name), getattr(network, name)
            if now != then:
                raise ValueError(f"{name} must stay {now}, not become {then}")
        self.program = compile_network(network, self._classifier, self.device.config)
        self.device.write_program(self.program.words)

    def train_batch(self, inputs: np.ndarray, labels: np.ndarray) -> StepResult:
        """What `model.step.train_batch` does, on the device; ValueError as there."""
        inputs, labels = check_batch(self.network, inputs, labels)
        before, self._statistics = self._statistics or self.device.statistics(), None
        self.device.load_samples(self.program.pack(inputs, labels))
        predictions, triggered = self.device.run(len(labels), learn=True, time=self.samples)
        self.samples += len(labels)
        after = self._statistics = self.device.statistics()
        return StepResult(predictions, triggered, *(after[name] - before[name]
                                                    for name in ("row_updates", "saturations")))

    def infer(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted classes, int64 `(n,)`, of ±1 `inputs` `(n, K_0)`."""
        predictions = []
        for start in range(0, len(inputs), MAX_BATCH):
            piece = inputs[start:start + MAX_BATCH]
            piece, labels = check_batch(self.network, piece, np.zeros(len(piece), dtype=np.int64))
            self.device.load_samples(self.program.pack(piece, labels))
            predictions.append(self.device.run(len(piece), learn=False, time=0)[0])
        return np.concatenate(predictions) if predictions else np.zeros(0, dtype=np.int64)

    def read_state(self) -> State:
        """The counters as they are in the device, with the classifier and the number of samples trained."""
        counters = [self.device.read_rows(slot, *shape)
                    for slot, shape in zip(self.program.slots[:-1], self.network.shapes, strict=True)]
        return State(counters, self._classifier.copy(), self.samples)

    def statistics(self) -> dict[str, int]:
        """Totals since `load`, by the names in `STATISTICS`; see `Device.statistics` about counters that wrap."""
        return self.device.statistics()
