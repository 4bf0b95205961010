/* The kernels of host.c for one kind of vector: BLOCK bytes V, a mask M with a bit a byte. Included once for each. */

#define LANES (BLOCK / 4)
#define BLOCKS(count) (((count) + BLOCK - 1) / BLOCK)
#define ALL ((M)~(M)0)

/* Where neuron n lies among the 32-bit lanes of its four vectors, so that packing them to bytes restores the order. */
INLINE int NAME(slot)(int n) {
    int place = n % BLOCK;
    return n - place + place % 16 / 4 * LANES + place / 16 * 4 + place % 4;
}

INLINE V NAME(pack)(const V *v) { return PACK16(PACK32(v[0], v[1]), PACK32(v[2], v[3])); }

/* Used bits of block number `block` of `count`. */
INLINE M NAME(used)(int block, int count) {
    int rest = count - block * BLOCK;
    return rest >= BLOCK ? ALL : ((M)1 << rest) - 1;
}

INLINE void NAME(forward_layer)(const uint32_t *weights, const uint32_t *input, uint32_t *bits, int8_t *sums,
                                uint32_t *open, int inputs, int outputs, int gate) {
    const int words = (inputs + 31) / 32;
    for (int block = 0; block < BLOCKS(outputs); block++) {
        const uint32_t *place = weights + block * BLOCK;
        V count[4], moved[4], z;
        for (int i = 0; i < 4; i++)
            count[i] = SET32(0);
#pragma GCC unroll 4
        for (int word = 0; word < words; word++, place += PADDED(outputs)) {
            const V a = SET32((int)input[word]);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                count[i] = ADD32(count[i], COUNT32(XOR(a, LOAD(place + i * LANES))));
        }
        for (int i = 0; i < 4; i++)
            count[i] = SUB32(SET32(inputs), ADD32(count[i], count[i]));
        z = NAME(pack)(count);
        ((M *)bits)[block] = ~NEGATIVE(z) & NAME(used)(block, outputs);
        STORE(sums + block * BLOCK, z);
        if (gate >= inputs)
            ((M *)open)[block] = ALL;
        else if (gate < 127)
            ((M *)open)[block] = ~ABOVEU8(ABS8(z), SET8((char)gate));
        else {
            for (int i = 0; i < 4; i++)
                moved[i] = SUB32(ABS32(count[i]), SET32(gate));
            ((M *)open)[block] = ~ABOVE8(NAME(pack)(moved), SET8(0));
        }
    }
}

/* The predicted class; `triggers` is left alone where `label` is none. */
INLINE int NAME(classify)(const uint32_t *top, int label, uint8_t *triggers) {
    uint32_t keys[PADDED(CLASSES)] __attribute__((aligned(64)));
    for (int first = 0; first < CLASSES; first += LANES) {
        V count = SET32(0);
        for (int word = 0; word < (OUTPUTS + 31) / 32; word++)
            count = ADD32(count, COUNT32(XOR(SET32((int)top[word]), LOAD(&classes[word][first]))));
        STORE(keys + first, count);
    }
    /* The least difference, the lowest class of equals. */
    uint32_t others = ~0u, own = label < CLASSES ? keys[label] << 12 | label : ~0u;
    for (int class = 0; class < CLASSES; class++) {
        uint32_t key = class == label ? ~0u : keys[class] << 12 | class;
        others = key < others ? key : others;
    }
    *triggers = 2 * ((int64_t)(others >> 12) - (int64_t)(own >> 12)) < margin;
    return (others < own ? others : own) & 0xfff;
}

/* What the layer below is to give, from what this one is to give where `usable`. */
INLINE void NAME(backward_layer)(const uint32_t *columns, const uint32_t *desired, const uint32_t *usable,
                                 uint32_t *below, uint32_t *valid, int inputs, int outputs) {
    int rows = 0;
    for (int word = 0; word < (outputs + 31) / 32; word++)
        rows += __builtin_popcount(usable[word]);
    for (int block = 0; block < BLOCKS(inputs); block++) {
        const uint32_t *place = columns + block * BLOCK;
        V count[4], votes;
        for (int i = 0; i < 4; i++)
            count[i] = SET32(0);
        for (int word = 0; word < (outputs + 31) / 32; word++, place += PADDED(inputs)) {
            const V wanted = SET32((int)desired[word]), mask = SET32((int)usable[word]);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                count[i] = ADD32(count[i], COUNT32(AGREEING(LOAD(place + i * LANES), wanted, mask)));
        }
        for (int i = 0; i < 4; i++)
            count[i] = SUB32(ADD32(count[i], count[i]), SET32(rows));
        votes = NAME(pack)(count);
        ((M *)below)[block] = ~NEGATIVE(votes);
        ((M *)valid)[block] = ~ZERO8(votes) & NAME(used)(block, inputs);
    }
}

/* Winner takes update: a row update is noted for each group that has a wrong neuron. */
INLINE int NAME(pick_layer)(const struct layer *layer, int sample, const uint32_t *bits, const int8_t *sums,
                            const uint32_t *desired, const uint32_t *valid, int outputs, int group, int shift) {
    M wrong[BLOCKS(WIDEST) + 1], ranks[4][BLOCKS(WIDEST) + 1];
    int picked = 0;
    for (int block = 0; block < BLOCKS(outputs); block++) {
        const V rank = MINU8(SHIFT8(ABS8(LOAD(sums + block * BLOCK)), shift), SET8(15));
        wrong[block] = ((M *)valid)[block] & (((M *)desired)[block] ^ ((M *)bits)[block]);
        for (int bit = 0; bit < 4; bit++)
            ranks[bit][block] = TEST8(rank, bit);
    }
#pragma GCC unroll 16
    for (int start = 0; start < outputs; start += group) {
        const int end = start + group < outputs ? start + group : outputs;
        int best = 16, winner = 0;
        for (int block = start / BLOCK; block * BLOCK < end; block++) {
            M left = wrong[block];
            if (start > block * BLOCK)
                left &= ALL << (start - block * BLOCK);
            if (end - block * BLOCK < BLOCK)
                left &= ((M)1 << (end - block * BLOCK)) - 1;
            if (!left)
                continue;
            int rank = 0;
            for (int bit = 3; bit >= 0; bit--) {
                M less = left & ~ranks[bit][block];
                rank |= less ? 0 : 1 << bit;
                left = less ? less : left;
            }
            if (rank < best)
                best = rank, winner = block * BLOCK + FIRST(left);
        }
        if (best < 16) {
            layer->events[winner * BATCH + layer->event_counts[winner]++] = (struct event){
                (uint16_t)sample, (uint16_t)(desired[winner / 32] >> (winner % 32) & 1)};
            picked++;
        }
    }
    return picked;
}

/* Lanes of block number `block` that a row update reinforces. */
INLINE M NAME(reinforced)(int block, int row, int64_t time) {
#if REINFORCEMENT
    const int place = (int)((0 - (row + time)) & (REINFORCEMENT - 1));
    M spread = 0;
    for (int bit = 0; bit < BLOCK; bit += REINFORCEMENT)
        spread |= (M)1 << bit;
    if (REINFORCEMENT <= BLOCK)
        return spread << place;
    return block % (REINFORCEMENT / BLOCK ? REINFORCEMENT / BLOCK : 1) == place / BLOCK ? (M)1 << place % BLOCK : 0;
#else
    return 0;
#endif
}

/* All updates of one row, and its weights, which follow its counters; the number of counters that lost a step.
 * `input` are the activations below, `stride` words a sample. */
INLINE int NAME(update_row)(const struct layer *layer, int row, const uint32_t *input, int stride, int inputs,
                            int outputs) {
    int8_t *counters = layer->counters + row * PADDED(inputs);
    M *signs = (M *)(layer->rows + row * WORDS(inputs));
    uint32_t *weights = layer->weights + NAME(slot)(row);
    const struct event *events = layer->events + row * BATCH;
    const int count = layer->event_counts[row];
    const V one = SET8(1), minus = SET8(-1);
    const V upper = SET8((char)(HIGH - 2 * count)), lower = SET8((char)(LOW + 2 * count));
    int lost_count = 0;
#define STEPS(ADD, ADD_WHERE, EXTRA) \
    for (int event = 0; event < count; event++) { \
        const M *bits = (const M *)(input + events[event].sample * stride) + first, flip = (M)events[event].wanted - 1; \
        _Pragma("GCC unroll 8") \
        for (int i = 0; i < some; i++) { \
            EXTRA(V before = k[i]; M lost;) \
            k[i] = ADD(k[i], PICK8(bits[i] ^ flip, one, minus)); \
            EXTRA(k[i] = MAX8(MIN8(k[i], SET8(HIGH)), SET8(LOW)); lost = EQUAL8(k[i], before); before = k[i];) \
            if (REINFORCEMENT) { \
                const M lanes = NAME(reinforced)(first + i, row, samples + events[event].sample); \
                k[i] = ADD_WHERE(lanes, k[i], AWAY8(k[i])); \
                EXTRA(k[i] = MAX8(MIN8(k[i], SET8(HIGH)), SET8(LOW)); lost |= EQUAL8(k[i], before) & lanes;) \
            } \
            EXTRA(lost_count += BITS(lost & NAME(used)(first + i, inputs));) \
        } \
    }
#define KEEP(...) __VA_ARGS__
#define DROP(...)
#define CHUNK(size) \
    for (; first + size <= BLOCKS(inputs); first += size) { \
        const int some = size; \
        V k[size]; \
        M near = 0; \
        _Pragma("GCC unroll 8") \
        for (int i = 0; i < some; i++) { \
            k[i] = LOAD(counters + (first + i) * BLOCK); \
            near |= ABOVE8(k[i], upper) | ABOVE8(lower, k[i]); \
        } \
        if (near || 2 * count > HIGH) { \
            STEPS(ADDS8, ADDS8_WHERE, KEEP) \
        } else { \
            STEPS(ADD8, ADD8_WHERE, DROP) \
        } \
        if (inputs % BLOCK && first + size == BLOCKS(inputs)) \
            k[size - 1] = ONLY8(NAME(used)(first + size - 1, inputs), k[size - 1]); \
        _Pragma("GCC unroll 8") \
        for (int i = 0; i < some; i++) { \
            const M sign = ~NEGATIVE(k[i]) & NAME(used)(first + i, inputs); \
            STORE(counters + (first + i) * BLOCK, k[i]); \
            signs[first + i] = sign; \
            for (int word = 0; word < BLOCK / 32; word++) \
                weights[((first + i) * BLOCK / 32 + word) * PADDED(outputs)] = (uint32_t)((uint64_t)sign >> (32 * word)); \
        } \
    }
    int first = 0;
    CHUNK(8)
    CHUNK(4)
    CHUNK(2)
    CHUNK(1)
#undef CHUNK
#undef STEPS
    return lost_count;
}

/* The transposed weights follow, and the events are done with. */
INLINE void NAME(hold_layer)(const struct layer *layer, int inputs, int outputs, int transposed) {
    for (int first = 0; transposed && first < outputs; first += 32) {
        int rows[32], count = 0;
        for (int row = first; row < first + 32 && row < outputs; row++) {
            rows[count] = row;
            count += layer->event_counts[row] > 0;
        }
        for (int block = 0; block < BLOCKS(inputs) && count; block++) {
            uint32_t *place = layer->columns + first / 32 * PADDED(inputs) + block * BLOCK;
            V column[4];
            for (int n = 0; n < 4; n++)
                column[n] = LOAD(place + n * LANES);
            for (int i = 0; i < count; i++) {
                const V bit = SET32(1 << (rows[i] - first));
                const M signs = ((const M *)(layer->rows + rows[i] * WORDS(inputs)))[block];
#pragma GCC unroll 4
                for (int n = 0; n < 4; n++)
                    column[n] = SET_BIT(column[n], signs, n, bit);
            }
            for (int n = 0; n < 4; n++)
                STORE(place + n * LANES, column[n]);
        }
    }
    memset(layer->event_counts, 0, sizeof *layer->event_counts * outputs);
}

INLINE void NAME(forward)(const uint32_t *input, int sample) {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    NAME(forward_layer)(weights_##number[0], input, bits_##number[sample], sums_##number[sample], open_##number[sample], \
                        inputs, outputs, number ? gate : inputs); \
    input = bits_##number[sample];
    NETWORK(LAYER)
#undef LAYER
}

static uint32_t NAME(desired)[DEPTH][BATCH][WORDS(WIDEST)] __attribute__((aligned(64)));
static uint32_t NAME(valid)[DEPTH][BATCH][WORDS(WIDEST)] __attribute__((aligned(64)));

static void NAME(train_batch)(const uint32_t *input, const uint16_t *labels, int count, uint16_t *predictions, int timed) {
    const uint32_t *top;
    uint64_t began = timed ? __rdtsc() : 0, now;
    const uint32_t *first = input;
    for (int sample = 0; sample < count; sample++) {
        NAME(forward)(input + sample * WORDS(FIRST_INPUTS), sample);
#define LAYER(number, inputs, outputs, gate, group, shift) top = bits_##number[sample];
        NETWORK(LAYER)
#undef LAYER
        predictions[sample] = (uint16_t)NAME(classify)(top, labels[sample], &triggered[sample]);
    }
    if (timed)
        now = __rdtsc(), clocks[FORWARD] += now - began, began = now;
    for (int sample = 0; sample < count; sample++) {
        if (!triggered[sample])
            continue;
        statistics[0]++;
        uint32_t *wanted = NAME(desired)[DEPTH - 1][sample], *known = NAME(valid)[DEPTH - 1][sample];
        for (int word = 0; word < WORDS(OUTPUTS); word++)
            wanted[word] = prototypes[labels[sample]][word];
        for (int block = 0; block < BLOCKS(OUTPUTS); block++)
            ((M *)known)[block] = NAME(used)(block, OUTPUTS);
#pragma GCC unroll 16
        for (int layer = DEPTH - 1; layer > 0; layer--) {
            uint32_t usable[WORDS(WIDEST)] __attribute__((aligned(64)));
#define LAYER(number, inputs, outputs, gate, group, shift) \
            if (layer == number && number) { \
                for (int word = 0; word < WORDS(outputs); word++) \
                    usable[word] = NAME(valid)[number][sample][word] & open_##number[sample][word]; \
                NAME(backward_layer)(columns_##number[0], NAME(desired)[number][sample], usable, \
                                     NAME(desired)[number ? number - 1 : 0][sample], \
                                     NAME(valid)[number ? number - 1 : 0][sample], inputs, outputs); \
            }
            NETWORK(LAYER)
#undef LAYER
        }
    }
    if (timed)
        now = __rdtsc(), clocks[BACKWARD] += now - began, began = now;
    for (int sample = 0; sample < count; sample++) {
        if (!triggered[sample])
            continue;
#define LAYER(number, inputs, outputs, gate, group, shift) \
        statistics[1] += NAME(pick_layer)(&layers[number], sample, bits_##number[sample], sums_##number[sample], \
                                          NAME(desired)[number][sample], NAME(valid)[number][sample], outputs, group, shift);
        NETWORK(LAYER)
#undef LAYER
    }
    int stride = WORDS(FIRST_INPUTS);
#define LAYER(number, inputs, outputs, gate, group, shift) \
    for (int row = 0; row < outputs; row++) \
        if (event_counts_##number[row]) \
            statistics[2] += NAME(update_row)(&layers[number], row, first, stride, inputs, outputs); \
    NAME(hold_layer)(&layers[number], inputs, outputs, number > 0); \
    first = bits_##number[0], stride = WORDS(outputs);
    NETWORK(LAYER)
#undef LAYER
    samples += count;
    if (timed)
        clocks[UPDATE] += __rdtsc() - began;
}

/* Derive the weights from the counters. */
void NAME(prepare)(void) {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    for (int row = 0; row < outputs; row++) { \
        layers[number].event_counts[row] = 0; \
        NAME(update_row)(&layers[number], row, NULL, 0, inputs, outputs); \
        layers[number].event_counts[row] = 1; \
    } \
    NAME(hold_layer)(&layers[number], inputs, outputs, number > 0);
    NETWORK(LAYER)
#undef LAYER
}

/* Train on `count` samples of WORDS(FIRST_INPUTS) words; returns the time-stamp cycles that it took. */
uint64_t NAME(train)(const uint32_t *input, const uint16_t *labels, int count, int batch, uint16_t *predictions,
                     int timed) {
    const uint64_t began = time_stamp();
    for (int first = 0; first < count; first += batch)
        NAME(train_batch)(input + (size_t)first * WORDS(FIRST_INPUTS), labels + first,
                          count - first < batch ? count - first : batch, predictions + first, timed);
    return time_stamp() - began;
}

/* Predict. */
uint64_t NAME(infer)(const uint32_t *input, int count, uint16_t *predictions) {
    const uint64_t began = time_stamp();
    for (int sample = 0; sample < count; sample++) {
        const uint32_t *top;
        uint8_t triggers;
        NAME(forward)(input + (size_t)sample * WORDS(FIRST_INPUTS), 0);
#define LAYER(number, inputs, outputs, gate, group, shift) top = bits_##number[0];
        NETWORK(LAYER)
#undef LAYER
        predictions[sample] = (uint16_t)NAME(classify)(top, CLASSES, &triggers);
    }
    return time_stamp() - began;
}

#undef NAME
#undef BLOCK
#undef V
#undef M
#undef ADD32
#undef SUB32
#undef SET32
#undef SET8
#undef LOAD
#undef STORE
#undef XOR
#undef COUNT32
#undef AGREEING
#undef PACK32
#undef PACK16
#undef NEGATIVE
#undef ZERO8
#undef ABS8
#undef ABS32
#undef ABOVE8
#undef ABOVEU8
#undef EQUAL8
#undef SHIFT8
#undef MINU8
#undef MAX8
#undef MIN8
#undef TEST8
#undef ADD8
#undef ADDS8
#undef PICK8
#undef ADD8_WHERE
#undef ADDS8_WHERE
#undef AWAY8
#undef ONLY8
#undef SET_BIT
#undef FIRST
#undef BITS
#undef LANES
#undef BLOCKS
#undef ALL
#undef KEEP
#undef DROP
