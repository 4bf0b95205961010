/* The hardware rule, sample by sample, written for speed on a 32-bit core without a popcount instruction.
 *
 * Same rule and same order as model/step.py. What makes it fast:
 *   - forward: differing bits of a row are added up by full adders on whole words, and only then counted;
 *   - backward: votes for 32 neurons at once, in bit-sliced sums over the rows as they lie;
 *   - update: 32 bit-sliced saturating counters at once, all planes of a word in registers;
 *   - the weights that the passes see are a separate copy of the counters' signs, so holding them for a batch is free.
 */
#include "bep.h"

#define INLINE static inline __attribute__((always_inline))
/* Code that is used twice is there once: a core's instruction cache is small. */
#define NOINLINE __attribute__((noinline))
/* A number that the compiler must not know, lest it unroll the loop around an unrolled one. */
#define OPAQUE(number) ({ int opaque_ = (number); __asm__("" : "+r"(opaque_)); opaque_; })

/* Words of activations, from a_1 on; twice the number of inputs in which each row differs, that is inputs - z; and which
 * rows the batch has updated. */
struct pass {
#define PASS(number, inputs, outputs, gate, group, shift) \
    uint32_t activations_##number[WORDS(outputs)], dirty_##number[WORDS(outputs)]; \
    uint16_t doubled_##number[outputs];
    NETWORK(PASS)
#undef PASS
};

static struct pass pass;

/* What a layer is to give: the classifier's row on top, below it the votes of the layer above; `valid` is 0 where there
 * is no opinion. */
struct wish {
    uint32_t desired[WORDS(WIDEST)], valid[WORDS(WIDEST)];
};

static struct wish wishes[DEPTH];

/* A layer's numbers, for code that is shared by all. `last` has the used bits of a row's last word. */
static const struct layer {
    uint32_t counters, last;
    int inputs, words, outputs, group, shift;
} layers[DEPTH] = {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    {offsetof(struct memory, counters_##number) / 4, ~0u >> (-(inputs) & 31), inputs, WORDS(inputs), outputs, group, shift},
    NETWORK(LAYER)
#undef LAYER
};

/* ---- counting bits ---------------------------------------------------------------------------------------------- */

/* A full adder on 32 columns; returns the carries. */
INLINE uint32_t add3(uint32_t *sum, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t half = a ^ b;
    *sum = half ^ c;
    return a ^ (half & (a ^ c));
}

INLINE uint32_t pairs(uint32_t x) { return x - ((x >> 1) & 0x55555555u); }
INLINE uint32_t nibbles(uint32_t x) { x = pairs(x); return (x & 0x33333333u) + ((x >> 2) & 0x33333333u); }
INLINE uint32_t wide_bytes(uint32_t x) { return (x & 0x0f0f0f0fu) + ((x >> 4) & 0x0f0f0f0fu); }
INLINE uint32_t bytes(uint32_t x) { x = nibbles(x); return (x + (x >> 4)) & 0x0f0f0f0fu; }

/* Full adders over the bits in which 3, 7 or 15 words differ: returns the column sums' lowest bits, and leaves the
 * higher ones. */
INLINE uint32_t tree3(const uint32_t *w, const uint32_t *a, uint32_t *twos) {
    uint32_t ones;
    *twos = add3(&ones, w[0] ^ a[0], w[1] ^ a[1], w[2] ^ a[2]);
    return ones;
}

INLINE uint32_t tree7(const uint32_t *w, const uint32_t *a, uint32_t *twos, uint32_t *fours) {
    uint32_t ones, two[2], carry, low = tree3(w, a, &two[0]), high = tree3(w + 3, a + 3, &two[1]);
    carry = add3(&ones, low, high, w[6] ^ a[6]);
    *fours = add3(twos, two[0], two[1], carry);
    return ones;
}

INLINE uint32_t tree15(const uint32_t *w, const uint32_t *a, uint32_t *twos, uint32_t *fours, uint32_t *eights) {
    uint32_t ones, two[2], four[2], carry;
    uint32_t low = tree7(w, a, &two[0], &four[0]), high = tree7(w + 7, a + 7, &two[1], &four[1]);
    carry = add3(&ones, low, high, w[14] ^ a[14]);
    carry = add3(twos, two[0], two[1], carry);
    *eights = add3(fours, four[0], four[1], carry);
    return ones;
}

INLINE uint32_t sum_of_bytes(uint32_t x) { return (x * 0x01010101u) >> 24; }
INLINE uint32_t count_bits(uint32_t x) { return sum_of_bytes(bytes(x)); }
INLINE uint32_t sum_of_large_bytes(uint32_t x) {
    x = (x & 0x00ff00ffu) + ((x >> 8) & 0x00ff00ffu);
    return (x + (x >> 16)) & 0xffffu;
}

/* Bits in which 31 words differ. At most 31 · 8 = 248 a byte. */
INLINE uint32_t differing31(const uint32_t *w, const uint32_t *a) {
    uint32_t ones, twos, fours, eights, sixteens, two[2], four[2], eight[2], carry;
    uint32_t low = tree15(w, a, &two[0], &four[0], &eight[0]);
    uint32_t high = tree15(w + 15, a + 15, &two[1], &four[1], &eight[1]);
    carry = add3(&ones, low, high, w[30] ^ a[30]);
    carry = add3(&twos, two[0], two[1], carry);
    carry = add3(&fours, four[0], four[1], carry);
    sixteens = add3(&eights, eight[0], eight[1], carry);
    return sum_of_large_bytes(wide_bytes(nibbles(ones) + 2 * nibbles(twos))
                              + 4 * wide_bytes(nibbles(fours) + 2 * nibbles(eights)) + 16 * bytes(sixteens));
}

/* Bits in which `count` words differ. `count` is a constant wherever this is called. */
INLINE uint32_t differing(const uint32_t *w, const uint32_t *a, int count) {
    uint32_t ones, twos, fours, eights, sum = 0, total = 0;
    const int most = count;
#pragma GCC unroll 32
    for (; count >= 31; count -= 31, w += 31, a += 31)
        total += differing31(w, a);
    if (count >= 15) {
        ones = tree15(w, a, &twos, &fours, &eights);
        sum += wide_bytes(nibbles(ones) + 2 * nibbles(twos)) + 4 * wide_bytes(nibbles(fours) + 2 * nibbles(eights));
        count -= 15, w += 15, a += 15;
    }
#pragma GCC unroll 2
    for (; count >= 7; count -= 7, w += 7, a += 7) {
        ones = tree7(w, a, &twos, &fours);
        sum += wide_bytes(nibbles(ones) + 2 * nibbles(twos)) + 4 * bytes(fours);
    }
#pragma GCC unroll 2
    for (; count >= 3; count -= 3, w += 3, a += 3) {
        ones = tree3(w, a, &twos);
        sum += wide_bytes(nibbles(ones) + 2 * nibbles(twos));
    }
    if (count == 2)
        sum += wide_bytes(nibbles(w[0] ^ a[0]) + nibbles(w[1] ^ a[1]));
    if (count == 1)
        sum += bytes(w[0] ^ a[0]);
    return total + (most < 8 || (most > 31 && most % 31 < 8) ? sum_of_bytes(sum) : sum_of_large_bytes(sum));
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

/* z = inputs - 2 · differing: the sign bits, packed, and what is subtracted. */
INLINE void forward_layer(const uint32_t *held, const uint32_t *a, uint32_t *activations, uint16_t *doubled, int inputs,
                          int outputs) {
    const int words = WORDS(inputs), all = OPAQUE(outputs);
#pragma GCC unroll 1
    for (int j = 0; j < all; j += 32) {
        const int rest = all - j < 32 ? all - j : 32;
        uint32_t signs = 0;
#pragma GCC unroll 1
        for (int i = 0; i < rest; i++, held += words) {
            uint32_t count = differing(held, a, words);
            count *= 2;
            *doubled++ = (uint16_t)count;
            signs = (signs >> 1) | (~((uint32_t)inputs - count) & 0x80000000u);
        }
        *activations++ = signs >> (32 - rest);
    }
}

/* The predicted class; where `label` names one, whether its margin triggers. */
static NOINLINE uint32_t classify(const struct memory *memory, const uint32_t *top, uint32_t label, int *triggers) {
    uint32_t least = ~0u, others = ~0u, own = 0, prediction = 0;
#pragma GCC unroll 1
    for (uint32_t class = 0; class < CLASSES; class++) {
        uint32_t count = differing(memory->classifier[class], top, WORDS(OUTPUTS));
        if (count < least)
            least = count, prediction = class;
        if (class == label)
            own = count;
        else if (count < others)
            others = count;
    }
    *triggers = 2 * (int)(others - own) < (int)memory->margin;
    return prediction;
}

static NOINLINE const uint32_t *forward(struct memory *memory, const uint32_t *a) {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    forward_layer(memory->held_##number[0], a, pass.activations_##number, pass.doubled_##number, inputs, outputs); \
    a = pass.activations_##number;
    NETWORK(LAYER)
#undef LAYER
    return a;
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

#define BLOCK 64

/* All bits the one at `place`. */
INLINE uint32_t spread(uint32_t word, int place) { return (uint32_t)((int32_t)(word << (31 - place)) >> 31); }

/* a*_l = sign(W_{l+1}^T (g ⊙ a*_{l+1})): what layer l is to give, `columns` wide, from what layer l + 1 is to give,
 * `outputs` wide. `sure` says that no row of that layer is without opinion. */
INLINE void backward_layer(const uint32_t *held, const uint16_t *doubled, const struct wish *above, struct wish *wish,
                           int columns, int outputs, int gate, int sure) {
    const int words = OPAQUE(WORDS(columns)), all = OPAQUE(outputs), planes = 32 - __builtin_clz(outputs);
    const int every = sure && gate >= columns && outputs % 8 == 0;
    uint32_t usable[WORDS(WIDEST)], rows = 0;
#pragma GCC unroll 1
    for (int j = 0; j < all; j += 32) {
        usable[j / 32] = above->valid[j / 32];
        if (gate < columns) {
            const int rest = all - j < 32 ? all - j : 32;
            uint32_t open = 0;
#pragma GCC unroll 1
            for (int i = 0; i < rest; i++)
                open = (open >> 1)
                    | ((uint32_t)(columns + gate - *doubled++) <= (uint32_t)(2 * gate) ? 0x80000000u : 0);
            usable[j / 32] &= open >> (32 - rest);
        }
        rows += count_bits(usable[j / 32]);
    }
    if (every)
        rows = outputs;
    /* Rows in blocks that a small cache holds while their words are taken one after another. */
    uint32_t agreeing[WORDS(WIDEST)][16];
    const int block = OPAQUE(BLOCK);
    for (int first = 0; first < all; first += BLOCK) {
        const int last = all < first + block ? all : first + block;
#pragma GCC unroll 1
        for (int word = 0; word < words; word++) {
            const uint32_t *row = held + first * WORDS(columns) + word;
            uint32_t sums[16];
#pragma GCC unroll 16
            for (int plane = 0; plane < planes; plane++)
                sums[plane] = first ? agreeing[word][plane] : 0;
#pragma GCC unroll 1
            for (int j = first; j < last; j += 8, row += 8 * WORDS(columns)) {
                const uint32_t against = ~above->desired[j / 32] >> (j % 32), counted = usable[j / 32] >> (j % 32);
                uint32_t a, b, c, d, carry;
#define ROW(i) ((row[i * WORDS(columns)] ^ spread(against, i)) & (every ? ~0u : spread(counted, i)))
                a = add3(&sums[0], ROW(0), ROW(1), sums[0]);
                b = add3(&sums[0], ROW(2), ROW(3), sums[0]);
                c = add3(&sums[1], a, b, sums[1]);
                a = add3(&sums[0], ROW(4), ROW(5), sums[0]);
                b = add3(&sums[0], ROW(6), ROW(7), sums[0]);
                d = add3(&sums[1], a, b, sums[1]);
                carry = add3(&sums[2], c, d, sums[2]);
#undef ROW
#pragma GCC unroll 16
                for (int plane = 3; plane < planes; plane++) {
                    uint32_t sum = sums[plane];
                    sums[plane] = sum ^ carry;
                    carry &= sum;
                }
            }
#pragma GCC unroll 16
            for (int plane = 0; plane < planes; plane++)
                agreeing[word][plane] = sums[plane];
        }
    }
    /* A column's vote is 2 · agreeing - rows. */
    const uint32_t half = rows / 2, odd = rows & 1 ? ~0u : 0;
#pragma GCC unroll 1
    for (int word = 0; word < words; word++) {
        uint32_t more = 0, equal = ~0u;
#pragma GCC unroll 16
        for (int plane = planes - 1; plane >= 0; plane--) {
            uint32_t bit = 0 - ((half >> plane) & 1), sum = agreeing[word][plane];
            more |= equal & sum & ~bit;
            equal &= ~(sum ^ bit);
        }
        wish->desired[word] = more;
        wish->valid[word] = odd | ~equal;
    }
    if (columns % 32)
        wish->valid[WORDS(columns) - 1] &= (1u << (columns % 32)) - 1;
}

/* ---- update ----------------------------------------------------------------------------------------------------- */

/* One row's counters take their step, and every R-th of them one more away from zero. Returns how many lost one. */
INLINE uint32_t update_row(uint32_t *counters, const uint32_t *a, uint32_t wanted, uint32_t phase,
                           const struct layer *layer) {
    const int words = layer->words;
    const uint32_t down_if = wanted ? 0 : ~0u;
    uint32_t lost_count = 0;
#if REINFORCEMENT
    uint32_t spread = 0;
    for (int bit = 0; bit < 32; bit += REINFORCEMENT)
        spread |= 1u << bit;
    const uint32_t place = (0 - phase) & (REINFORCEMENT - 1);
    const uint32_t lanes = spread << (place & 31);
#endif
#pragma GCC unroll 1
    for (int word = 0; word < words; word++, counters += PLANES) {
        uint32_t planes[PLANES], down = ~(a[word] ^ down_if), lost, carry;
        const uint32_t used = word == words - 1 ? layer->last : ~0u;
#pragma GCC unroll 16
        for (int plane = 0; plane < PLANES; plane++)
            planes[plane] = counters[plane];
        /* The step goes on from plane to plane through ones where it counts up, through zeros where it counts down. */
        carry = used;
#pragma GCC unroll 16
        for (int plane = 0; plane < PLANES - 1; plane++) {
            uint32_t before = planes[plane];
            planes[plane] = before ^ carry;
            carry &= before ^ down;
        }
        /* What would change the sign of an outermost counter is taken back. */
        lost = carry & ~(planes[PLANES - 1] ^ down);
        planes[PLANES - 1] ^= carry;
        if (lost)
#pragma GCC unroll 16
            for (int plane = 0; plane < PLANES; plane++)
                planes[plane] ^= lost;
#if REINFORCEMENT
        if (REINFORCEMENT <= 32 || (word & (REINFORCEMENT / 32 - 1)) == (int)(place >> 5)) {
            uint32_t picked = lanes & used, sign = planes[PLANES - 1];
            /* One counter in a word, mostly: the step rarely goes beyond the second plane. */
            carry = picked;
#pragma GCC unroll 16
            for (int plane = 0; plane < PLANES - 1; plane++) {
                uint32_t before = planes[plane];
                planes[plane] = before ^ carry;
                carry &= before ^ sign;
                if (!carry)
                    break;
            }
            if (carry) {
                lost |= carry;
#pragma GCC unroll 16
                for (int plane = 0; plane < PLANES - 1; plane++)
                    planes[plane] ^= carry;
            }
        }
#endif
#pragma GCC unroll 16
        for (int plane = 0; plane < PLANES; plane++)
            counters[plane] = planes[plane];
        if (lost)
            lost_count += count_bits(lost);
    }
    return lost_count;
}

/* Winner takes update: in each group the wrong neuron of least rank, min(|z| >> shift, 15), the first of equals. */
static NOINLINE void update_layer(struct memory *memory, const struct layer *layer, const uint32_t *a,
                                  const uint32_t *activations, const struct wish *wish, const uint16_t *doubled,
                                  uint32_t *dirty, uint32_t time) {
#pragma GCC unroll 1
    for (int start = 0, end; start < layer->outputs; start = end) {
        /* A rank less than the best so far is -below < z < below, which is one comparison of z moved by below - 1. */
        uint32_t moved = layer->inputs + 0xffff, bound = 0x1ffff;
        int winner = -1;
        end = start + layer->group < layer->outputs ? start + layer->group : layer->outputs;
#pragma GCC unroll 1
        for (int j = start; j < end;) {
            const int word = j / 32, rest = (word + 1) * 32 < end ? (word + 1) * 32 - j : end - j;
            uint32_t wrong = (wish->valid[word] & (wish->desired[word] ^ activations[word])) >> (j % 32);
            const uint16_t *place = doubled + j;
            wrong &= ~0u >> (32 - rest);
#pragma GCC unroll 1
            for (; wrong; wrong >>= 1, place++) {
                if ((wrong & 1) && moved - *place < bound) {
                    int z = layer->inputs - *place;
                    uint32_t rank = (uint32_t)(z < 0 ? -z : z) >> layer->shift, below;
                    below = (rank < 15 ? rank : 15) << layer->shift;
                    moved = layer->inputs + below - 1;
                    bound = below ? 2 * below - 1 : 0;
                    winner = place - doubled;
                }
            }
            j += rest;
        }
        if (winner >= 0) {
            uint32_t wanted = (wish->desired[winner / 32] >> (winner % 32)) & 1;
            memory->row_updates++;
            dirty[winner / 32] |= 1u << (winner % 32);
            memory->saturations += update_row((uint32_t *)memory + layer->counters + winner * layer->words * PLANES, a,
                                              wanted, (uint32_t)winner + time, layer);
        }
    }
}

/* ---- batches ---------------------------------------------------------------------------------------------------- */

/* The held weights of a row follow its counters' signs. */
INLINE void hold_row(uint32_t *held, const uint32_t *counters, int inputs) {
    const int words = WORDS(inputs);
#pragma GCC unroll 4
    for (int word = 0; word < words; word++)
        held[word] = ~counters[word * PLANES + PLANES - 1];
    if (inputs % 32)
        held[words - 1] &= (1u << (inputs % 32)) - 1;
}

INLINE void hold_layer(uint32_t *held, const uint32_t *counters, uint32_t *dirty, int inputs, int outputs) {
    const int words = WORDS(inputs), all = OPAQUE(outputs);
#pragma GCC unroll 1
    for (int j = 0; j < all; j += 32) {
        uint32_t rows = dirty[j / 32];
        dirty[j / 32] = 0;
#pragma GCC unroll 1
        for (int row = j; rows; row++, rows >>= 1)
            if (rows & 1)
                hold_row(held + row * words, counters + row * words * PLANES, inputs);
    }
}

void prepare(struct memory *memory) {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    for (int row = 0, rows = OPAQUE(outputs); row < rows; row++) \
        hold_row(memory->held_##number[row], memory->counters_##number[row][0], inputs);
    NETWORK(LAYER)
#undef LAYER
}

uint32_t infer(struct memory *memory, uint32_t sample) {
    int triggers;
    return classify(memory, forward(memory, memory->inputs[sample]), CLASSES, &triggers);
}

INLINE void learn(struct memory *memory, const uint32_t *input, uint32_t label, uint32_t time) {
    MARK(BACKWARD);
    struct wish *top = &wishes[DEPTH - 1];
    for (int word = 0; word < WORDS(OUTPUTS); word++) {
        top->desired[word] = memory->classifier[label][word];
        top->valid[word] = ~0u;
    }
    if (OUTPUTS % 32)
        top->valid[WORDS(OUTPUTS) - 1] = (1u << (OUTPUTS % 32)) - 1;
    /* The macro lists layers from the input on; the error goes the other way. */
    for (int layer = DEPTH - 1; layer > 0; layer--) {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    if (layer == number) \
        backward_layer(memory->held_##number[0], pass.doubled_##number, &wishes[number], &wishes[number ? number - 1 : 0], \
                       inputs, outputs, gate, number == DEPTH - 1);
        NETWORK(LAYER)
#undef LAYER
    }
    MARK(UPDATE);
#define LAYER(number, inputs, outputs, gate, group, shift) \
    update_layer(memory, &layers[number], input, pass.activations_##number, &wishes[number], pass.doubled_##number, \
                 pass.dirty_##number, time); \
    input = pass.activations_##number;
    NETWORK(LAYER)
#undef LAYER
}

void train_batch(struct memory *memory, uint32_t first, uint32_t count) {
    for (uint32_t sample = first; sample < first + count; sample++) {
        int triggers;
        MARK(FORWARD);
        const uint32_t *input = memory->inputs[sample], *top = forward(memory, input);
        uint32_t label = memory->labels[sample];
        memory->trained_predictions[sample] = classify(memory, top, label, &triggers);
        if (triggers) {
            memory->triggered++;
            learn(memory, input, label, memory->samples + (sample - first));
        }
    }
    memory->samples += count;
    MARK(UPDATE);
#define LAYER(number, inputs, outputs, gate, group, shift) \
    hold_layer(memory->held_##number[0], memory->counters_##number[0][0], pass.dirty_##number, inputs, outputs);
    NETWORK(LAYER)
#undef LAYER
    MARK(IDLE);
}
