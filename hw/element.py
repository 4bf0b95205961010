"""One processing element of the systolic chain: a 16 × 16 tile, or half of it, times the operands of a few samples.

             west                                   east
    i_tile ──────────┬──────► [tile] ────────────► o_tile
                     │ rows of 16 weights
       per lane:     ▼
    value, mask ──► rows × (masked XNOR, popcount, accumulator) ──► shift chain ──► total, one or two rows a cycle
                      popcount(mask) accumulator ───────────────────────────────► count

`z = 2·total - count` is the row's sum: `W a` forward, `W^T (g ⊙ a*)` backward with the gate as mask (Eq. 2–7).
"""

from amaranth import DomainRenamer, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import TILE, ArrayConfig
from .memory import registered
from .popcount import DotAccumulator
from .weights import tile_layout

__all__ = ["ProcessingElement"]


class ProcessingElement(wiring.Component):
    """16 or 8 rows for each of `config.lanes` samples.

    Members
    -------
    i_tile, o_tile : In, Out(tile_layout)
        The tile and, a cycle later, the same tile for the next element.
    value, mask : In, 16 bits a lane
        The operand of each sample, with `i_tile`. Value 1 is +1; positions with mask 0 do not count.
    compute, last : In(1)
        With the operand: it counts; it is the last of a sum.
    double, second_half : In(1)
        With `compute`: each half of the cycle has an operand, and the tile for it, that counts; else the second half's.
        The second half of a cycle. Only where `config.double_rate`; then operands and tiles come in the domain
        `double`, half a cycle before `compute`, the tile with its operand.
    shift : In(1)
        Take the next row out of the chain, or the next two.
    total : Out, `drain_rows` times `sum_width` bits a lane
        Equal bits under the mask: the first of the rows `config.element_latency` cycles after `last`, then others with
        each `shift`.
    count : Out, `sum_width` bits a lane
        Bits under the mask, held as long as the rows of the same sum come out.

    Between two sums there is at least one cycle without `compute`, and all rows of the former must have been
    shifted out before the latter's come in.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        per_lane = lambda width: data.ArrayLayout(width, config.lanes)  # noqa: E731
        super().__init__({
            "i_tile": In(tile_layout(config)),
            "o_tile": Out(tile_layout(config)),
            "value": In(per_lane(TILE)),
            "mask": In(per_lane(TILE)),
            "compute": In(1),
            "last": In(1),
            "shift": In(1),
            "total": Out(per_lane(data.ArrayLayout(config.sum_width, config.drain_rows))),
            "count": Out(per_lane(config.sum_width)),
        } | ({"double": In(1), "second_half": In(1)} if config.double_rate else {}))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows, drain_rows = config.rows, config.drain_rows
        m.d.sync += self.o_tile.eq(self.i_tile)

        compute, load = self.compute, self.compute & self.last
        for _ in range(config.element_latency - 2):
            next_compute, next_load = Signal(), Signal()
            m.d.sync += [next_compute.eq(compute), next_load.eq(load)]
            compute, load = next_compute, next_load
        clear = Signal()
        m.d.sync += clear.eq(load)
        load = clear
        if config.double_rate:
            # A sum is taken, and cleared, by the edge that both clocks have.
            clear_half = Signal()
            m.d.double += clear_half.eq(clear & ~self.second_half)
            compute, clear = compute & (self.second_half | registered(m, self.double)), clear_half

        def accumulator(name, weight, value, mask, late=False):
            unit = DotAccumulator(width=TILE, sum_width=config.sum_width, late=late,
                                  pipelined=config.pipelined or config.double_rate)
            m.submodules[name] = DomainRenamer("double")(unit) if config.double_rate else unit
            m.d.comb += [
                unit.weight.eq(weight), unit.value.eq(value), unit.mask.eq(mask),
                unit.compute.eq(compute), unit.clear.eq(clear)]
            return unit.total

        for lane in range(config.lanes):
            value, mask = self.value[lane], self.mask[lane]
            chain = [Signal(config.sum_width, name=f"chain_{lane}_{row}") for row in range(rows + drain_rows)]
            totals = [accumulator(f"dot_{lane}_{row}", self.i_tile[row], value, mask) for row in range(rows)]
            with m.If(load | self.shift):
                m.d.sync += [chain[row].eq(Mux(load, totals[row], chain[row + drain_rows])) for row in range(rows)]
            m.d.comb += [self.total[lane][row].eq(chain[row]) for row in range(drain_rows)]

            count = accumulator(f"fan_in_{lane}", 0, 0, mask, late=config.double_rate)
            with m.If(load):
                m.d.sync += self.count[lane].eq(count)
        return m
