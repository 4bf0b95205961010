"""What becomes of a sample's sums, one or two neurons a cycle: sign, gate, rank, winner, trigger.

    total, count ─► z ─► |z| ─► sign, gate, rank ─► words for the operand memory
                     │               └─► wrong? ─► WinnerSelect ─┐
                     └─► Trigger ───────────────────────────────┴─► o_verdict
    stage     0      1      2                3
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import MEMBER_BITS, TILE, ArrayConfig
from .memory import registered
from .trigger import Trigger
from .winners import VerdictLayout, WinnerSelect

__all__ = ["Lane", "PhaseLayout", "drain_layout"]


def drain_layout(config: ArrayConfig) -> data.StructLayout:
    """What goes with each neuron's sum, or with the sums of a pair.

    shift: the sums are here, and the next take their place. valid: of neurons, not of the padding of the layer's last
    block. counts: they are to be judged, as far as groups and classes go: both, or, while the pair stays for two
    cycles, one and then the other. first: of the block, for a cycle.
    group_first, group_last, member: place in the group (of the classes, where the sums are logits) of what counts; of
    the first, if both do.
    rank_address: of the rank memory, three cycles later if it is written; if it is read (votes), as late as
    `config.read_latency` allows.
    verdict_address: where the group's verdict goes, three cycles later.
    """
    return data.StructLayout({
        "shift": 1, "valid": config.drain_rows, "counts": config.drain_rows, "first": 1,
        "group_first": 1, "group_last": 1, "member": MEMBER_BITS,
        "rank_address": range(config.rank_words // config.drain_rows),
        "verdict_address": range(config.winner_words),
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
    """Works on one sum a cycle, or on a pair.

    Members
    -------
    total, count : In
        From the processing element; `z = 2·total - count`. `phase.gate` is the margin while `phase.classify`.
    drain : In
        What goes with the sums (`drain_layout`).
    phase : In
        `PhaseLayout`; to be still while sums are in work.
    aux_value, aux_gate : In(rows)
        For the block that begins with `drain.first`: its present activations if its sums are votes, else its
        targets; and its gates if they are votes. Read one cycle after `drain.first`.
    label : In
        True class; read with the first sum of a group.
    stored_rank : In
        The ranks kept by an earlier phase; two cycles after `drain`.
    o_value : Out(rows)
        Signs of a block, three cycles after the last `drain.shift`, for one cycle.
    o_gate : Out(rows)
        Gates (of votes: gate and not zero) of a block, four cycles after the last `drain.shift`, for one cycle.
    o_rank, o_verdict : Out
        Ranks and verdict, three cycles after `drain`; the verdict counts where that has `group_last`.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        ranks = data.ArrayLayout(config.rank_bits, config.drain_rows)
        super().__init__({
            "total": In(data.ArrayLayout(config.sum_width, config.drain_rows)),
            "count": In(config.sum_width),
            "drain": In(drain_layout(config)),
            "phase": In(PhaseLayout(config)),
            "aux_value": In(config.rows),
            "aux_gate": In(config.rows),
            "label": In(MEMBER_BITS),
            "stored_rank": In(ranks),
            "o_value": Out(config.rows),
            "o_gate": Out(config.rows),
            "o_rank": Out(ranks),
            "o_verdict": Out(VerdictLayout),
        })

    def elaborate(self, platform):
        m = Module()
        config, phase = self.config, self.phase
        together = range(config.drain_rows)
        flags = data.StructLayout({
            name: shape for name, shape in drain_layout(config).members.items() if not name.endswith("address")})
        stage = [Signal(flags, name=f"stage_{number}") for number in range(1, 4)]
        for name in flags.members:
            m.d.sync += stage[0][name].eq(self.drain[name])
            m.d.sync += stage[1][name].eq(stage[0][name])
            m.d.sync += stage[2][name].eq(stage[1][name])

        # Stage 1: the sums.
        z = [Signal(signed(config.sum_width + 1), name=f"z_{row}") for row in together]
        m.d.sync += [z[row].eq((self.total[row] << 1) - self.count) for row in together]

        counts = self.drain.counts.any()
        label, held_label = Signal(MEMBER_BITS), Signal(MEMBER_BITS)
        m.d.comb += label.eq(held_label)
        with m.If(counts & self.drain.first & self.drain.group_first):
            m.d.comb += label.eq(self.label)
        m.d.sync += held_label.eq(label)

        # Of which class a logit is, is known before the logit. Logits count one at a time.
        m.submodules.trigger = trigger = Trigger(config)
        is_true = self.drain.member == label
        m.d.sync += [trigger.true.eq(counts & is_true), trigger.other.eq(counts & ~is_true)]
        m.d.comb += [
            trigger.first.eq(stage[0].group_first),
            trigger.logit.eq(z[0] if config.drain_rows == 1 else Mux(stage[0].counts[1], z[1], z[0])),
            trigger.member.eq(stage[0].member),
            trigger.label.eq(held_label),
            trigger.margin.eq(phase.gate),
        ]

        # Auxiliary operands go by with the sums.
        aux_value, aux_gate = Signal(config.rows), Signal(config.rows)
        with m.If(stage[0].first):
            m.d.sync += [aux_value.eq(self.aux_value), aux_gate.eq(self.aux_gate)]
        with m.Elif(stage[1].shift):
            m.d.sync += [aux_value.eq(aux_value >> config.drain_rows), aux_gate.eq(aux_gate >> config.drain_rows)]

        # Stage 2: their sizes and signs; words, ranks, and which is to be updated, go on to stage 3. The gates run one
        # cycle behind the signs, for the one write port.
        signs, gates, ranks, wrongs, ups = [], [], [], [], []
        rank_top = 1 << config.rank_bits
        for row in together:
            magnitude = Signal(config.sum_width, name=f"magnitude_{row}")
            negative, zero, opinion, sign, gate, up, wrong = (
                Signal(name=f"{name}_{row}")
                for name in ("negative", "zero", "opinion", "sign", "gate", "up", "wrong"))
            shifted = Signal(config.sum_width, name=f"shifted_{row}")
            rank = Signal(config.rank_bits, name=f"rank_{row}")
            m.d.sync += [
                magnitude.eq(Mux(z[row] < 0, -z[row], z[row])), negative.eq(z[row] < 0), zero.eq(z[row] == 0)]
            # Not `magnitude <= gate`: `<` is carries only, while `<=` and `>` need an equality, a chain of LUTs, as
            # well.
            m.d.comb += [
                opinion.eq(~(phase.backward & zero)),
                sign.eq(~negative & opinion & stage[1].valid[row]),
                gate.eq(Mux(phase.backward, aux_gate[row] & opinion, ~(phase.gate < magnitude)) & stage[1].valid[row]),
                up.eq(Mux(phase.backward, sign, aux_value[row])),
                wrong.eq(phase.select & opinion & stage[1].counts[row] & (sign ^ aux_value[row])),
                shifted.eq(magnitude >> phase.rank_shift),
                rank.eq(Mux(phase.backward, self.stored_rank[row],
                            Mux(shifted >= rank_top, rank_top - 1, shifted))),
            ]
            m.d.sync += self.o_rank[row].eq(rank)
            signs, gates = [*signs, sign], [*gates, registered(m, gate)]
            ranks, wrongs, ups = [*ranks, rank], [*wrongs, wrong], [*ups, up]
        with m.If(stage[1].shift):
            m.d.sync += self.o_value.eq(Cat(self.o_value[config.drain_rows:], *signs))
        with m.If(stage[2].shift):
            m.d.sync += self.o_gate.eq(Cat(self.o_gate[config.drain_rows:], *gates))

        # Stage 3: the winner. Of a pair the second goes on if it is the easier one of those to correct.
        m.submodules.winner = winner = WinnerSelect(config)
        m.d.sync += winner.wrong.eq(Cat(wrongs).any())
        member, rank, up = Signal.like(stage[2].member), self.o_rank[0], registered(m, ups[0])
        m.d.comb += member.eq(stage[2].member)
        if config.drain_rows == 2:
            second = registered(m, wrongs[1] & (~wrongs[0] | (ranks[1] < ranks[0])))
            rank, up = Mux(second, self.o_rank[1], rank), Mux(second, registered(m, ups[1]), up)
            m.d.comb += member[0].eq(stage[2].member[0] | (second & stage[2].counts[0]))
        m.d.comb += [
            winner.valid.eq(stage[2].counts.any()),
            winner.first.eq(stage[2].group_first),
            winner.last.eq(stage[2].group_last),
            winner.up.eq(up),
            winner.rank.eq(rank),
            winner.member.eq(member),
            self.o_verdict.eq(Mux(phase.classify, trigger.o, winner.o)),
        ]
        return m
