"""`synth.accelerator` and `synth.replay` over the simulated link: what they compare, and what they refuse.

Parameters: `array`, `link`, `network` (fields of their configurations).
"""

import cocotb
import numpy as np
from cocotb.task import bridge

from ..hw.link.config import LinkConfig
from ..hw.program import CapacityError
from ..model.config import NetworkConfig
from ..model.data import Dataset, Part
from ..model.learners import HardwareLearner
from ..model.step import infer, train_batch
from ..model.trainer import Training
from ..synth.accelerator import Accelerator
from ..synth.driver import Device
from ..synth.replay import Mismatch, replay
from .runner import bench_parameters
from .streams import reset, start_clock
from .transport import SimulatedTransport

PARAMETERS = bench_parameters()
NETWORK = NetworkConfig.from_dict(PARAMETERS["network"])
PERIOD = 10  # ns
BATCH = 8


def random_part(rng: np.random.Generator, count: int) -> Part:
    """Random samples."""
    return Part(rng.choice(np.array([-1, 1], dtype=np.int8), (count, NETWORK.layers[0])),
                rng.integers(0, NETWORK.classes, count))


def dataset() -> Dataset:
    """Random samples; the last batch of an epoch is short, inference takes two batches."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    names = tuple(str(c) for c in range(NETWORK.classes))
    return Dataset("random", random_part(rng, 5 * BATCH + 3), random_part(rng, 37), random_part(rng, 5), names)


class Scheduled(HardwareLearner):
    """Has another margin in every epoch."""

    def end_epoch(self, training_error: float, improved: bool) -> None:
        self.config = NetworkConfig.from_dict(self.config.to_dict() | {"margin": self.config.margin // 2})


def raises(work, kind: type) -> Exception:
    """The exception of that kind that `work` must raise."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} expected")


async def start(dut) -> SimulatedTransport:
    """Clock, reset, and a line."""
    start_clock(dut, PERIOD)
    await reset(dut)
    return SimulatedTransport(dut.rx, dut.tx, bit_time=LinkConfig(**PARAMETERS["link"]).divisor * PERIOD)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def replays(dut):
    """Epochs, a few batches more, with a margin that changes between epochs."""
    line = await start(dut)

    @bridge
    def session():
        training = Training(Scheduled(NETWORK, batch=BATCH))
        accelerator = Accelerator(Device(line), NETWORK, training.learner.state.classifier)
        seen = []
        result = replay(accelerator, training, dataset(), epochs=2, batches=3,
                        on_batch=lambda done, total: seen.append((done, total)))
        assert seen == [(done, 15) for done in range(1, 16)]
        assert result.epochs == 2 and [c.batches for c in result.comparisons] == [6, 6, 3]
        assert result.samples == 2 * 43 + 3 * BATCH == accelerator.samples
        assert training.epoch == 2 and training.batch == 3
        assert accelerator.network == training.learner.config != NETWORK
        fields = result.to_dict()
        assert fields["state_hash"] == fields["model_hash"] == training.learner.state.digest()
        assert sum(fields["cycles"].values()) == fields["cycles_per_sample"] > 0
        assert accelerator.device.repeats == 0

    await session()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def trains_and_infers(dut):
    """The methods by themselves: batches of any size, inference of any number, the state again and again."""
    line = await start(dut)

    @bridge
    def session():
        learner = HardwareLearner(NETWORK)
        state, rng = learner.state, np.random.default_rng(cocotb.RANDOM_SEED)
        accelerator = Accelerator(Device(line), NETWORK, state.classifier)
        for _ in range(2):
            accelerator.load(state)
            for count in (1, 32, 5):
                part = random_part(rng, count)
                got = accelerator.train_batch(part.inputs, part.labels)
                expected = train_batch(NETWORK, state, part.inputs, part.labels)
                assert (got.predictions == expected.predictions).all() and (got.triggered == expected.triggered).all()
                assert (got.row_updates, got.saturations) == (expected.row_updates, expected.saturations)
            assert accelerator.read_state().digest() == state.digest()
            for count in (0, 1, 33):
                inputs = random_part(rng, max(1, count)).inputs[:count]
                expected = infer(NETWORK, state, inputs) if count else np.zeros(0)
                assert (accelerator.infer(inputs) == expected).all()
            assert accelerator.read_state().digest() == state.digest()

    await session()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def tells_differences(dut):
    """One counter off by one, one weight seen otherwise, one trigger more: each is found and named."""
    line = await start(dut)

    @bridge
    def session():
        data = dataset()

        def attempt(spoil) -> str:
            training = Training(HardwareLearner(NETWORK, batch=BATCH))
            accelerator = Accelerator(Device(line), NETWORK, training.learner.state.classifier)
            return str(raises(lambda: replay(accelerator, training, data, epochs=1,
                                             on_batch=lambda done, _: spoil(training, accelerator, done)), Mismatch))

        def counter(training, accelerator, done):
            if done == 6:
                training.learner.state.counters[1][3, 5] ^= 1

        def device(training, accelerator, done):
            if done == 6:
                rows = accelerator.device.read_rows(accelerator.program.slots[0], 1, NETWORK.layers[0])
                rows[0, 2] ^= 1
                accelerator.device.write_rows(accelerator.program.slots[0], rows)

        def time(training, accelerator, done):
            accelerator.samples += done == 1

        message = attempt(counter)
        assert "after epoch 1, batch 6: counters of layer 2: 1 of" in message and "[3, 5]" in message, message
        message = attempt(device)
        assert "counters of layer 1: 1 of" in message and "[0, 2]" in message, message
        assert "epoch 1" in attempt(time)

    await session()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def refuses(dut):
    """What does not fit is refused before a character is sent."""
    line = await start(dut)

    @bridge
    def session():
        device = Device(line)
        learner = HardwareLearner(NETWORK)
        accelerator = Accelerator(device, NETWORK, learner.state.classifier)
        sent = line.sent
        fields = NETWORK.to_dict()
        wide = NetworkConfig(layers=(2000, 16), classes=NETWORK.classes, counter_bits=NETWORK.counter_bits)
        assert "fan_in" in str(raises(lambda: Accelerator(device, wide, np.ones((wide.classes, 16))), CapacityError))
        raises(lambda: Accelerator(device, NETWORK, learner.state.classifier[:, 1:]), ValueError)
        raises(lambda: Accelerator(device, NETWORK, 0 * learner.state.classifier), ValueError)
        other = learner.state.copy()
        other.classifier *= -1
        assert "classifier" in str(raises(lambda: accelerator.load(other), ValueError))
        other = learner.state.copy()
        other.counters[0][0, 0] = NETWORK.counter_max + 1
        assert "layer 1" in str(raises(lambda: accelerator.load(other), ValueError))
        other.counters.pop()
        raises(lambda: accelerator.load(other), ValueError)
        more = NetworkConfig.from_dict(fields | {"classes": NETWORK.classes + 1})
        assert "classes" in str(raises(lambda: accelerator.change(more), ValueError))
        inputs = np.ones((2, NETWORK.layers[0]), dtype=np.int8)
        raises(lambda: accelerator.train_batch(inputs, np.array([0, NETWORK.classes])), ValueError)
        raises(lambda: accelerator.train_batch(0 * inputs, np.array([0, 1])), ValueError)
        raises(lambda: accelerator.infer(inputs[:, 1:]), ValueError)
        assert line.sent == sent

    await session()
