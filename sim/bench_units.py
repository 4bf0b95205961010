"""Benches of the units, one test each, to be chosen by `testcase`; all compare with the model or with plain numpy.

Every cycle, inputs change at the falling edge and outputs are read just after.
"""

import itertools
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from ..hw.config import TILE, ArrayConfig
from ..hw.group_scan import GroupScan
from ..hw.program import LAYER, LOADER, PHASE, encode
from ..hw.records import RecordReader
from ..hw.replay import ReplayMemory
from ..hw.results import Results
from ..hw.samples import LinkLayout, SampleLayout
from ..hw.scan import RowScan
from ..hw.winners import VerdictLayout
from ..model.config import MAX_BATCH, NetworkConfig
from ..model.step import trigger, update_rows, winners
from .runner import bench_parameters
from .streams import PATTERNS, StreamSink, flatten, reset, start_clock, unflatten

PARAMETERS = bench_parameters()
CONFIG = ArrayConfig(**PARAMETERS.get("array", {}))
RECORDS = {"loader": LOADER, "layer": LAYER, "phase": PHASE}


async def cycle(dut, **inputs) -> None:
    """Go on by a cycle with these inputs, to where its outputs can be read."""
    await FallingEdge(dut.clk)
    for name, value in inputs.items():
        getattr(dut, name).value = int(value)
    await ReadOnly()


def pack(bits) -> int:
    """An integer of 0/1 `bits`, the first in bit 0."""
    return sum(int(bit) << place for place, bit in enumerate(np.ravel(bits)))


@cocotb.test(timeout_time=500, timeout_unit="us")
async def counter_step(dut):
    """Every counter, either way, picked and not."""
    bits = CONFIG.counter_bits
    seen = 0
    for reinforcement in (0, 1):
        network = NetworkConfig(layers=(1, 1), classes=2, counter_bits=bits, reinforcement=reinforcement)
        for k in range(network.counter_min, network.counter_max + 1):
            for step in (-1, 1):
                dut.k.value, dut.up.value, dut.pick.value = k, int(step > 0), reinforcement
                await Timer(1, "ns")
                after, lost = update_rows(network, np.array([[k]], np.int16), np.array([0]),
                                          np.array([[step]], np.int8), np.array([0]))
                got = dut.o.value.to_signed(), int(dut.lost.value)
                assert got == (after[0, 0], lost), (k, step, reinforcement, got, after, lost)
                seen += 1
    assert seen == 4 << bits


@cocotb.test(timeout_time=500, timeout_unit="us")
async def element(dut):
    """Sums of 1 to 20 words, the next beginning while the rows of the last come out; some cycles without a word."""
    rng = np.random.default_rng(1)
    lanes, rows, width, together = CONFIG.lanes, CONFIG.rows, CONFIG.sum_width, CONFIG.drain_rows
    start_clock(dut)
    await reset(dut)
    expected, came_in = [], []
    arrivals = {}
    time, last_time = 0, -100

    async def step(tile, operand):
        nonlocal time
        shift = any(begin <= time < begin + rows // together for begin in arrivals)
        before = came_in[-1] if came_in else None
        await cycle(dut, i_tile=pack(tile), shift=shift, **operand)
        for begin, sums in arrivals.items():
            if begin <= time < begin + rows // together:
                total, count = (int(getattr(dut, name).value) for name in ("total", "count"))
                for lane, place in itertools.product(range(lanes), range(together)):
                    row = together * (time - begin) + place
                    got = [total >> (together * lane + place) * width, count >> lane * width]
                    got = [word % (1 << width) for word in got]
                    assert got == [sums[0][lane, row], sums[1][lane]], (begin, lane, row, got, sums)
                    expected.append(got)
        if before is not None:
            assert int(dut.o_tile.value) == before
        came_in.append(pack(tile))
        time += 1

    nothing = {"value": 0, "mask": 0, "compute": 0, "last": 0}
    for _ in range(60):
        words = int(rng.integers(1, 21))
        totals, counts = np.zeros((lanes, rows), int), np.zeros(lanes, int)
        for word in range(words):
            while rng.random() < 0.1:
                await step(rng.integers(0, 2, (rows, TILE)), dict.fromkeys(nothing, 0))
            tile = rng.integers(0, 2, (rows, TILE))
            value, mask = rng.integers(0, 2, (lanes, TILE)), rng.integers(0, 2, (lanes, TILE))
            mask |= rng.random() < 0.3
            last = word == words - 1
            while last and time < last_time + rows // together + 1:
                await step(tile, nothing)
            if last:
                last_time = time
            totals += np.einsum("lb,lrb->lr", mask, tile[None] == value[:, None])
            counts += mask.sum(axis=1)
            if last:
                arrivals = {begin: sums for begin, sums in arrivals.items() if begin + rows // together > time}
                arrivals[last_time + CONFIG.element_latency] = totals, counts
            await step(tile, {"value": pack(value), "mask": pack(mask), "compute": 1, "last": last})
        await step(rng.integers(0, 2, (rows, TILE)), nothing)
    for _ in range(CONFIG.element_latency + rows):
        await step(np.zeros((rows, TILE)), nothing)
    assert len(expected) == 60 * rows * lanes


@cocotb.test(timeout_time=500, timeout_unit="us")
async def weights(dut):
    """Writes at every row and word, reads as it lies and transposed, both at once."""
    rng = random.Random(1)
    lanes, words, latency = CONFIG.update_lanes, CONFIG.update_words, CONFIG.tile_latency
    copied = CONFIG.copied
    distance = CONFIG.tiles // 2 if copied else 0
    start_clock(dut)
    await reset(dut)
    stored = np.zeros((CONFIG.tiles, TILE, TILE), int)
    places = [(tile, row, half) for tile in range(0, CONFIG.tiles - distance, words) for row in range(TILE)
              for half in range(2 if lanes < TILE else 1)]
    reads = [(tile, transpose, block) for tile in range(CONFIG.tiles) for transpose in range(1 if copied else 2)
             for block in range(CONFIG.tile_blocks)]
    asked = []
    checked = 0

    async def step(read, **inputs):
        nonlocal checked
        address, transpose, block = read or (0, 0, 0)
        seen = stored[address].T if transpose else stored[address]
        asked.append(seen[block * CONFIG.rows:][:CONFIG.rows].copy() if read else None)
        await cycle(dut, i_address=address, i_transpose=transpose, i_block=block, **inputs)
        if len(asked) > latency and asked[-1 - latency] is not None:
            assert int(dut.o_tile.value) == pack(asked[-1 - latency]), (read, len(asked))
            checked += 1

    for turn in range(3):
        rng.shuffle(places)
        for tile, row, half in places:
            signs = [rng.randrange(2) for _ in range(lanes)]
            free = [number for number in range(CONFIG.tiles)
                    if number // words != tile // words and not (copied and number == tile + distance)]

            def read(free=free, turn=turn):
                if turn:
                    return rng.choice(free), 0 if copied else rng.randrange(2), rng.randrange(CONFIG.tile_blocks)

            # The copy is one cycle late, and its reads wait a cycle for their address: no tile that is in work is read.
            inputs = {"tile": tile, "row": row, "half": half, "signs": pack(signs), "copy": distance}
            await step(read(), write=1, **inputs)
            if copied:
                await step(read(), write=0, **inputs | {"signs": rng.randrange(1 << lanes)})
            if lanes < TILE:
                stored[tile, row, lanes * half:lanes * half + lanes] = signs
            else:
                stored[tile:tile + words, row] = np.reshape(signs, (words, TILE))
            if copied:
                stored[tile + distance] = stored[tile].T
            await step(None, write=0)
        rng.shuffle(reads)
        for read in reads:
            await step(read, write=0)
    for _ in range(latency):
        await step(None, write=0)
    assert checked == 3 * len(reads) + 2 * len(places) * (2 if copied else 1)


@cocotb.test(timeout_time=500, timeout_unit="us")
async def winner(dut):
    """Groups of 1 to 64 neurons, with and without wrong ones, many of equal rank."""
    rng = np.random.default_rng(1)
    start_clock(dut)
    await reset(dut)
    won = 0
    for number in range(300):
        size = int(rng.choice([1, 2, 3, 16, 64]))
        ranks = rng.integers(0, rng.choice([2, 16]), size)
        wrong, up = rng.random(size) < rng.choice([0.1, 0.5, 1]), rng.integers(0, 2, size)
        mask = winners(ranks[None].astype(np.int32), wrong[None], size)[0]
        for member in range(size):
            while rng.random() < 0.1:
                await cycle(dut, valid=0, first=rng.integers(2), wrong=1, rank=0, member=0)
            await cycle(dut, valid=1, first=member == 0, last=member == size - 1, wrong=wrong[member],
                        up=up[member], rank=ranks[member], member=member)
        verdict = unflatten(VerdictLayout, int(dut.o.value))
        assert verdict["valid"] == mask.any(), number
        if mask.any():
            assert (verdict["member"], verdict["up"]) == (mask.argmax(), up[mask.argmax()]), (number, ranks, wrong)
            won += 1
    assert 200 < won < 300


@cocotb.test(timeout_time=500, timeout_unit="us")
async def triggers(dut):
    """2 to 64 classes with close logits; margins about the lead, 0, and always."""
    rng = np.random.default_rng(1)
    start_clock(dut)
    await reset(dut)
    fired = 0
    for number in range(300):
        classes = int(rng.choice([2, 3, 10, 64]))
        reach = int(rng.choice([1, 4, CONFIG.fan_in]))
        logits = rng.integers(-reach, reach + 1, classes)
        label = int(rng.choice([0, classes - 1, rng.integers(classes), logits.argmax()]))
        others = np.delete(logits, label).max()
        margin = int(np.clip(rng.choice([0, logits[label] - others, logits[label] - others + 1, 2 * CONFIG.fan_in]),
                             0, 2 * CONFIG.fan_in + 1))
        for member in range(classes):
            while rng.random() < 0.1:
                await cycle(dut, true=0, other=0, first=rng.integers(2), logit=CONFIG.fan_in)
            await cycle(dut, true=member == label, other=member != label, first=member == 0, logit=logits[member],
                        member=member, label=label, margin=margin)
        for _ in range(2):
            await cycle(dut, true=0, other=0)
        got = unflatten(VerdictLayout, int(dut.o.value))
        fires = trigger(margin, logits[None].astype(np.int32), np.array([label]))[0]
        assert got == {"member": logits.argmax(), "up": fires, "valid": 1}, (number, got, logits, label, margin)
        fired += fires
    assert 50 < fired < 250


@cocotb.test(timeout_time=500, timeout_unit="us")
async def program_memory(dut):
    """Three clients at once: the first that asks is granted, alone, and has its word in the next cycle."""
    rng = np.random.default_rng(1)
    depth = CONFIG.program_words
    start_clock(dut)
    await reset(dut)
    stored = rng.integers(0, 1 << 16, depth)
    for address in rng.permutation(depth):
        await cycle(dut, write=1, address=address, data=stored[address])
    await cycle(dut, write=0)
    due = None
    granted = [0] * 3
    for _ in range(1000):
        requests, addresses = rng.integers(0, 2, 3), rng.integers(0, depth, 3)
        await cycle(dut, **{f"port_{n}__request": requests[n] for n in range(3)},
                    **{f"port_{n}__address": addresses[n] for n in range(3)})
        if due is not None:
            for client in range(3):
                assert int(getattr(dut, f"port_{client}__data").value) == due
        due = None
        for client in range(3):
            first = requests[client] and not requests[:client].any()
            assert int(getattr(dut, f"port_{client}__grant").value) == first
            if first:
                due = stored[addresses[client]]
                granted[client] += 1
    assert min(granted) > 80


@cocotb.test(timeout_time=500, timeout_unit="us")
async def records(dut):
    """Records of random fields at random places, on even and odd batches, with grants that come when they come."""
    rng = np.random.default_rng(1)
    layout = RECORDS[PARAMETERS["record"]]
    reader = RecordReader(CONFIG, layout)
    steps_shape = reader.signature.members["steps"].shape
    start_clock(dut)
    await reset(dut)
    for turn in range(60):
        steps = {name: int(rng.integers(0, 100)) for name in reader.buffers}
        fields, expected = {}, {}
        odd = turn % 2
        for name, field in layout.items():
            if field.buffer:
                offset, flag = int(rng.integers(0, (1 << field.width) - 200)), int(rng.integers(2))
                fields[name] = offset | flag << 15
                expected[name] = offset + (steps.get(field.buffer, 1) if flag and odd else 0)
            else:
                fields[name] = expected[name] = int(rng.integers(0, 1 << field.width))
        words, base = encode(layout, **fields), int(rng.integers(0, 100))
        await cycle(dut, start=1, base=base, parity=odd, steps=flatten(steps_shape, steps), program__grant=0)
        due, taken = 0xDEAD, 0
        for _ in range(1000):
            await cycle(dut, start=0, program__data=due)
            if not dut.busy.value:
                break
            # The grant answers the request within the cycle; then it is the next.
            await FallingEdge(dut.clk)
            grant = int(dut.program__request.value) and rng.integers(2)
            due = rng.integers(1 << 16)
            if grant:
                due = words[int(dut.program__address.value) - base]
                taken += 1
            dut.program__data.value = 0xBEEF
            dut.program__grant.value = int(grant)
            await FallingEdge(dut.clk)
            dut.program__grant.value = 0
            dut.program__data.value = int(due)
            await ReadOnly()
        assert taken == len(words)
        assert unflatten(reader.fields, int(dut.o.value)) == expected


@cocotb.test(timeout_time=500, timeout_unit="us")
async def replay(dut):
    """Signs of all columns for all passes, beyond the batch too; words of the loader; all of it read back."""
    rng = np.random.default_rng(1)
    lanes, words, parts = CONFIG.lanes, CONFIG.replay_words // MAX_BATCH, CONFIG.update_words
    copy_shape = ReplayMemory(CONFIG).signature.members["i_copy"].shape
    start_clock(dut)
    await reset(dut)
    stored = rng.integers(0, 1 << TILE, (words, MAX_BATCH, parts))
    written = [(word, sample, part) for word in range(words) for sample in range(MAX_BATCH) for part in range(parts)]
    for word, sample, part in (written[i] for i in rng.permutation(len(written))):
        await cycle(dut, write=1, word=word, part=part, sample=sample, data=stored[word, sample, part])
        assert dut.ready.value
    await cycle(dut, write=0)
    refused = 0
    for word in range(0, words, 2):
        for part in range(parts):
            for first in range(0, CONFIG.passes * CONFIG.samples, CONFIG.samples):
                await cycle(dut, copy=1, i_copy=flatten(copy_shape, {"word": word, "part": part, "sample": first}))
                await cycle(dut, copy=0)
                for column in range(CONFIG.columns):
                    signs = rng.integers(0, 1 << TILE, lanes)
                    packed = sum(int(sign) << TILE * lane for lane, sign in enumerate(signs))
                    for late in range(max(2, lanes)):
                        # The loader wants to write all the time; while it may, it writes what is there already.
                        await cycle(dut, arrive=late == 0, signs=packed if late == 0 else 0, write=1, word=words - 1,
                                    part=0, sample=0, data=stored[-1, 0, 0])
                        assert dut.ready.value == (late >= lanes)
                        refused += late < lanes
                    for lane, sign in enumerate(signs):
                        sample = first + column * lanes + lane
                        if sample < MAX_BATCH:
                            stored[word, sample, part] = sign
                await cycle(dut, arrive=0, write=0)
    assert refused > 0
    due = None
    halves = 2 if CONFIG.update_lanes < TILE else 1
    for index in [*rng.permutation(words * MAX_BATCH * halves), 0]:
        word, sample, half = int(index) // halves // MAX_BATCH, int(index) // halves % MAX_BATCH, int(index) % halves
        await cycle(dut, read_word=word, read_sample=sample, read_half=half)
        if due is not None:
            assert int(dut.o.value) == due
        due = sum(int(value) << TILE * part for part, value in enumerate(stored[word, sample]))
        if halves == 2:
            due = due >> 8 * half & 0xFF


class Columns:
    """Answers queries as the columns do: `verdicts` by address and sample of the pass."""

    def __init__(self, dut, shape, address: str):
        self.dut, self.shape, self.address = dut, shape, address
        rng = np.random.default_rng(7)
        size = (CONFIG.winner_words, CONFIG.samples)
        self.member, self.up = rng.integers(0, 64, size), rng.integers(0, 2, size)
        self.valid = rng.integers(0, 2, size)
        cocotb.start_soon(self._answer())

    async def _answer(self):
        asked = []
        while True:
            await FallingEdge(self.dut.clk)
            await ReadOnly()
            asked.append([int(getattr(self.dut, name).value) if hasattr(self.dut, name) else 0
                          for name in (self.address, "member", "query_column")])
            if len(asked) >= CONFIG.reply_latency:
                address, member, column = asked.pop(0)
                here = slice(column * CONFIG.lanes, (column + 1) * CONFIG.lanes)
                reply = flatten(self.shape, {
                    "match": pack((self.member[address] == member) & self.valid[address]),
                    "up": pack(self.up[address]),
                    "verdicts": [{"member": member, "up": up, "valid": valid} for member, up, valid in zip(
                        self.member[address, here], self.up[address, here], self.valid[address, here], strict=True)]})
                cocotb.start_soon(self._show(reply))

    async def _show(self, reply):
        await FallingEdge(self.dut.clk)
        self.dut.reply.value = reply


@cocotb.test(timeout_time=500, timeout_unit="us")
async def results(dut):
    """Batches of every kind of size, read out under back-pressure; the triggers beyond the batch are zero."""
    rng = random.Random(1)
    unit = Results(CONFIG)
    members = unit.signature.members
    start_clock(dut)
    await reset(dut)
    columns = Columns(dut, members["reply"].shape, "query_address")
    sink = StreamSink(dut, "o", members["o"].signature.members["payload"].shape)
    for count, stalls in itertools.product((1, MAX_BATCH, 5, 31, 2, 17), ("never", "half", "bursts")):
        sink.stall = PATTERNS[stalls]()
        offset = rng.randrange(CONFIG.verdict_offsets)
        await cycle(dut, start=1, count=count, offset=offset)
        await cycle(dut, start=0, count=0, offset=0)
        assert dut.busy.value
        places = [(offset << CONFIG.pass_width | sample // CONFIG.samples, sample % CONFIG.samples)
                  for sample in range(count)]
        items = await sink.receive(count)
        assert items == [{"prediction": columns.member[place], "triggered": columns.up[place]} for place in places]
        while dut.busy.value:
            await cycle(dut)
        assert int(dut.triggered.value) == pack([columns.up[place] for place in places])
        await cycle(dut)
        assert dut.some.value == any(columns.up[place] for place in places)
    sink.check_empty()


class Chains:
    """What `GroupScan` writes to the chains of samples, and the chain of each row as it is taken."""

    def __init__(self, dut, shape):
        self.dut, self.shape = dut, shape
        self.links = {}
        self.rows = []
        self.triggered = 0
        cocotb.start_soon(self._watch())

    def update(self, triggered: int) -> int:
        """Let these samples update: whether the one whose turn it is does; the last one's comes first."""
        self.triggered = triggered
        return triggered >> MAX_BATCH - 1

    async def _watch(self):
        dut = self.dut
        while True:
            await FallingEdge(dut.clk)
            await ReadOnly()
            await Timer(1, "ns")  # what depends on the sink's `ready` has settled
            await ReadOnly()
            if dut.o__valid.value and dut.o__ready.value:
                self.rows.append(self._follow(unflatten(self.shape, int(dut.o__payload.value))["samples"]))
            if dut.link.value:
                self.links[int(dut.link_place.value)] = (
                    unflatten(LinkLayout, int(dut.link_to.value)), int(dut.link_up.value))
            if dut.rotate.value:
                cocotb.start_soon(self._rotate())

    def _follow(self, samples: dict) -> list[tuple[int, int]]:
        """Numbers of a row's samples, and whether they step up."""
        link, found = samples["first"], []
        while True:
            sample = link["sample"]
            following, up = self.links[samples["half"] * MAX_BATCH + sample]
            found.append((sample, up))
            if link["last"]:
                return found
            link = following

    async def _rotate(self):
        await FallingEdge(self.dut.clk)
        self.dut.triggered.value = self.update(
            self.triggered << 1 & (1 << MAX_BATCH) - 1 | self.triggered >> MAX_BATCH - 1)


def masked(samples: dict) -> list[tuple[int, int]]:
    """Numbers of a row's samples and whether they step up, from `SampleLayout` with masks."""
    first, rest = samples["first"], samples["rest"]
    assert first.bit_count() == 1 and rest % (2 * first) == 0
    return [(sample, samples["up"] >> sample & 1) for sample in range(MAX_BATCH) if (first | rest) >> sample & 1]


@cocotb.test(timeout_time=500, timeout_unit="us")
async def samples(dut):
    """Rows of one to 32 samples, each given a few times over, with and without pauses, the next row at once or not."""
    rng = np.random.default_rng(1)
    start_clock(dut)
    await reset(dut)
    half = given = 0
    waiting, before = None, []

    async def step(**inputs):
        nonlocal waiting, given
        await cycle(dut, **inputs)
        if waiting is not None:
            assert (int(dut.sample.value), int(dut.up.value), int(dut.turn.value)) == waiting
            given += 1

    for number in range(120):
        count = int(rng.choice([1, 2, 3, MAX_BATCH]))
        chosen = sorted(int(sample) for sample in rng.choice(MAX_BATCH, count, replace=False))
        phase = int(rng.integers(256))
        row = [(sample, int(rng.integers(2)), (phase - sample) % 256) for sample in chosen]
        if CONFIG.chained:
            half ^= 1
            # Behind the last one is anything.
            links = [{"sample": sample, "last": place == count - 1} for place, sample in enumerate(chosen)]
            links.append({"sample": int(rng.integers(MAX_BATCH)), "last": int(rng.integers(2))})
            for (sample, up, _), link in list(zip(row, links[1:], strict=True))[::-1]:
                await step(next=0, link=1, link_place=half * MAX_BATCH + sample, link_to=flatten(LinkLayout, link),
                           link_up=up)
            inputs = {"link": 0}
            payload = {"first": links[0], "half": half}
        else:
            inputs = {"phase": phase}
            payload = {"first": 1 << row[0][0], "rest": sum(1 << sample for sample, *_ in row[1:]),
                       "up": sum(up << sample for sample, up, _ in row)}
        payload = flatten(SampleLayout(CONFIG), payload)
        if number == 0 or rng.integers(2):
            await step(next=0, take=1, i=payload, **inputs)
        else:  # with the last sample of the row before
            await step(next=1, take=1, i=payload, **inputs)
            assert dut.last.value == (len(before) == 1)
            waiting = before[0]
        for place, sample in enumerate(row * int(rng.integers(1, 4))):
            while rng.random() < 0.3:
                await step(next=0, take=0, phase=phase)
            await step(next=1, take=0, phase=phase)
            assert dut.last.value == (place % count == count - 1)
            waiting = sample
        before = row
    assert given > 1000


@cocotb.test(timeout_time=500, timeout_unit="us")
async def scan(dut):
    """Layers of odd sizes in groups of every size, triggered samples few and many; winners that come block by block."""
    rng = np.random.default_rng(1)
    unit = (GroupScan if CONFIG.chained else RowScan)(CONFIG)
    members = unit.signature.members
    start_clock(dut)
    await reset(dut)
    columns = Columns(dut, members["reply"].shape, "address")
    shape = members["o"].signature.members["payload"].shape
    sink = StreamSink(dut, "o", shape)
    chains = Chains(dut, shape) if CONFIG.chained else None
    found = 0
    layers = (1, 1), (40, 7), (33, 33), (20, 1), (50, 16), (63, 63)
    for (rows, group), stalls in itertools.product(layers, ("never", "mostly", "bursts")):
        sink.stall = PATTERNS[stalls]()
        groups = -(-rows // group)
        verdict = int(rng.integers(0, 10))
        counter, words = int(rng.integers(0, 100)), int(rng.integers(0, min(4, CONFIG.row_words)))
        tile, step = int(rng.integers(0, 10)), int(rng.integers(1, 10))
        triggered = rng.integers(0, 2, MAX_BATCH) | rng.integers(0, 2)
        columns.member = rng.integers(0, group, columns.member.shape)
        # The last group may be cut off, and only who is there wins.
        begin = verdict + groups - 1 << CONFIG.pass_width
        columns.member[begin:begin + CONFIG.passes] %= rows - (groups - 1) * group
        await cycle(dut, start=1, rows=rows - 1, group=group - 1, verdict=verdict, counter=counter,
                    words=words, tile=tile, tile_block_step=step, voting=group == TILE, voted=0,
                    triggered=chains.update(pack(triggered)) if chains else pack(triggered))
        await cycle(dut, start=0)
        assert dut.busy.value
        expected = []
        for row in range(rows):
            address = [verdict + row // group << CONFIG.pass_width | sample // CONFIG.samples
                       for sample in range(MAX_BATCH)]
            lane = np.arange(MAX_BATCH) % CONFIG.samples
            mask = ((columns.member[address, lane] == row % group) & columns.valid[address, lane]
                    & triggered).astype(bool)
            if mask.any():
                expected.append({"row": row, "counter": counter + row * (words + 1), "tile": tile + row // TILE * step,
                                 "samples": [(sample, columns.up[address[sample], lane[sample]])
                                             for sample in np.flatnonzero(mask)]})
        if group == TILE:
            # Nobody has won before the votes are in; some queries have to wait for others'.
            winners, columns.valid = columns.valid, np.zeros_like(columns.valid)
            for block in range(groups + 1):
                await cycle(dut, voting=block < groups, voted=block * CONFIG.tile_blocks, pause=0)
                for _ in range(int(rng.integers(1, 600))):
                    await cycle(dut, pause=int(rng.integers(2)))
                begin = verdict + block << CONFIG.pass_width
                columns.valid[begin:begin + CONFIG.passes] = winners[begin:begin + CONFIG.passes]
            columns.valid = winners
            await cycle(dut, pause=0)
        while dut.busy.value:
            await cycle(dut)
        got = await sink.receive(len(expected))
        for number, item in enumerate(got):
            got[number] = item["place"] | {
                "samples": chains.rows[number] if chains else masked(item["samples"])}
        if chains:
            assert chains.triggered == pack(triggered)
            del chains.rows[:]
        assert got == expected, (rows, group)
        found += len(got)
    sink.check_empty()
    assert found > 180
