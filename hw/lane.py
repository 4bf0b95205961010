"""What becomes of a sample's sums, one neuron a cycle: sign, gate, rank, winner, trigger.

    total, count ─► z ─► |z| ─► sign, gate, rank ─► 16-bit words for the operand memory
                     │               └─► wrong? ─► WinnerSelect ─┐
                     └─► Trigger ───────────────────────────────┴─► o_verdict
    stage     0      1      2                3
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import MEMBER_BITS, TILE, ArrayConfig
from .trigger import Trigger
from .winners import VerdictLayout, WinnerSelect

__all__ = ["Lane", "PhaseLayout", "drain_layout"]


def drain_layout(config: ArrayConfig) -> data.StructLayout:
    """What goes with each neuron's sum.

    shift, valid, first: a sum is here; of a neuron, not of the padding of the layer's last block; the first of its 16.
    group_first, group_last, member: place in the group (of the classes, where the sums are logits).
    rank_address: the neuron's word of the rank memory, three cycles later if it is written; if it is read (votes), as
    late as `config.read_latency` allows.
    verdict_address: where the group's verdict goes, three cycles later.
    """
    return data.StructLayout({
        "shift": 1, "valid": 1, "first": 1, "group_first": 1, "group_last": 1, "member": MEMBER_BITS,
        "rank_address": range(config.rank_words), "verdict_address": range(config.winner_words),
    })


def PhaseLayout(config: ArrayConfig) -> data.StructLayout:
    """What holds for a whole phase.

    backward, classify: the sums are votes, or logits; else they are a layer's z.
    select: look for winners. rank_write: keep the ranks.
    gate: θ, the largest |z| that passes errors back; with `classify`, the trigger's margin. rank_shift: see
    `NetworkConfig`.
    tail: mask of the last word of a sum.
    """
    return data.StructLayout({
        "backward": 1, "classify": 1, "select": 1, "rank_write": 1,
        "rank_shift": 2, "gate": config.sum_width, "tail": TILE,
    })


class Lane(wiring.Component):
    """Works on one sum a cycle.

    Members
    -------
    total, count : In
        From the processing element; `z = 2·total - count`. `phase.gate` is the margin while `phase.classify`.
    drain : In
        What goes with the sum (`drain_layout`).
    phase : In
        `PhaseLayout`; to be still while sums are in work.
    aux_value, aux_gate : In(16)
        For the 16 sums that begin with `drain.first`: their present activations if they are votes, else their
        targets; and their gates if they are votes. Read one cycle after `drain.first`.
    label : In
        True class; read with the first sum of a group.
    stored_rank : In
        The neuron's rank kept by an earlier phase; two cycles after `drain`.
    o_value : Out(16)
        Signs of 16 sums, three cycles after the last one's `drain`, for one cycle.
    o_gate : Out(16)
        Gates (of votes: gate and not zero) of 16 sums, four cycles after the last one's `drain`, for one cycle.
    o_rank, o_verdict : Out
        Rank and verdict, three cycles after `drain`; the verdict counts where that has `group_last`.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "total": In(config.sum_width),
            "count": In(config.sum_width),
            "drain": In(drain_layout(config)),
            "phase": In(PhaseLayout(config)),
            "aux_value": In(TILE),
            "aux_gate": In(TILE),
            "label": In(MEMBER_BITS),
            "stored_rank": In(config.rank_bits),
            "o_value": Out(TILE),
            "o_gate": Out(TILE),
            "o_rank": Out(config.rank_bits),
            "o_verdict": Out(VerdictLayout),
        })

    def elaborate(self, platform):
        m = Module()
        config, phase = self.config, self.phase
        flags = data.StructLayout({
            "shift": 1, "valid": 1, "first": 1, "group_first": 1, "group_last": 1, "member": MEMBER_BITS})
        stage = [Signal(flags, name=f"stage_{number}") for number in range(1, 4)]
        for name in flags.members:
            m.d.sync += stage[0][name].eq(self.drain[name])
            m.d.sync += stage[1][name].eq(stage[0][name])
            m.d.sync += stage[2][name].eq(stage[1][name])

        # Stage 1: the sum.
        z = Signal(signed(config.sum_width + 1))
        m.d.sync += z.eq((self.total << 1) - self.count)

        label, held_label = Signal(MEMBER_BITS), Signal(MEMBER_BITS)
        m.d.comb += label.eq(held_label)
        with m.If(self.drain.valid & self.drain.first & self.drain.group_first):
            m.d.comb += label.eq(self.label)
        m.d.sync += held_label.eq(label)

        # Of which class a logit is, is known before the logit.
        m.submodules.trigger = trigger = Trigger(config)
        is_true = self.drain.member == label
        m.d.sync += [trigger.true.eq(self.drain.valid & is_true), trigger.other.eq(self.drain.valid & ~is_true)]
        m.d.comb += [
            trigger.first.eq(stage[0].group_first),
            trigger.logit.eq(z),
            trigger.member.eq(stage[0].member),
            trigger.label.eq(held_label),
            trigger.margin.eq(phase.gate),
        ]

        # Stage 2: its size and sign.
        magnitude = Signal(config.sum_width)
        negative, zero = Signal(), Signal()
        aux_value, aux_gate = Signal(TILE), Signal(TILE)
        m.d.sync += [
            magnitude.eq(Mux(z < 0, -z, z)),
            negative.eq(z < 0),
            zero.eq(z == 0),
        ]
        with m.If(stage[0].shift & stage[0].first):
            m.d.sync += [aux_value.eq(self.aux_value), aux_gate.eq(self.aux_gate)]
        with m.Elif(stage[1].shift):
            m.d.sync += [aux_value.eq(aux_value >> 1), aux_gate.eq(aux_gate >> 1)]
        sign, opinion, gate, up, wrong = (Signal(name=name) for name in ("sign", "opinion", "gate", "up", "wrong"))
        # Not `magnitude <= gate`: `<` is carries only, while `<=` and `>` need an equality, a chain of LUTs, as well.
        m.d.comb += [
            opinion.eq(~(phase.backward & zero)),
            sign.eq(~negative & opinion & stage[1].valid),
            gate.eq(Mux(phase.backward, aux_gate[0] & opinion, ~(phase.gate < magnitude)) & stage[1].valid),
            up.eq(Mux(phase.backward, sign, aux_value[0])),
            wrong.eq(phase.select & opinion & stage[1].valid & (sign ^ aux_value[0])),
        ]
        rank_top = 1 << config.rank_bits
        shifted = Signal(config.sum_width)
        m.d.comb += shifted.eq(magnitude >> phase.rank_shift)

        # Stage 3: words, rank, winner. The gate word runs one cycle behind the value word, for the one write port.
        value_word, gate_word = Signal(TILE), Signal(TILE)
        late_gate = Signal()
        m.d.sync += late_gate.eq(gate)
        with m.If(stage[1].shift):
            m.d.sync += value_word.eq(Cat(value_word[1:], sign))
        with m.If(stage[2].shift):
            m.d.sync += gate_word.eq(Cat(gate_word[1:], late_gate))
        rank, chosen_wrong, chosen_up = Signal(config.rank_bits), Signal(), Signal()
        m.d.sync += [
            rank.eq(Mux(phase.backward, self.stored_rank, Mux(shifted >= rank_top, rank_top - 1, shifted))),
            chosen_wrong.eq(wrong),
            chosen_up.eq(up),
        ]
        m.submodules.winner = winner = WinnerSelect(config)
        m.d.comb += [
            winner.valid.eq(stage[2].valid),
            winner.first.eq(stage[2].group_first),
            winner.last.eq(stage[2].group_last),
            winner.wrong.eq(chosen_wrong),
            winner.up.eq(chosen_up),
            winner.rank.eq(rank),
            winner.member.eq(stage[2].member),
            self.o_value.eq(value_word),
            self.o_gate.eq(gate_word),
            self.o_rank.eq(rank),
            self.o_verdict.eq(Mux(phase.classify, trigger.o, winner.o)),
        ]
        return m
