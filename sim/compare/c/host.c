/* The hardware rule for this machine's processor: whole batches, vectors of AVX-512 or AVX2.
 *
 * Takes the same macros as bep.h, and BATCH, the largest batch. Same rule and same order as model/step.py; counters of
 * up to 8 bits. What makes it fast:
 *   - forward and backward: a lane a neuron, 32 of its inputs at a time, XOR, popcount, add; weights lie so that the
 *     sums, packed to saturated bytes, come out in the order of the neurons, and one instruction takes their signs;
 *   - winners: the ranks' bits are masks of 64 neurons, so a group's least rank is found by four masks;
 *   - update: at the end of the batch, row by row, so that a row's counters are loaded once for all samples that
 *     update it; where none can saturate, no step is checked for it.
 */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <x86intrin.h>

#define WORDS(bits) (((bits) + 63) / 64 * 2)
#define PADDED(count) (((count) + 63) / 64 * 64)
#define HIGH ((1 << (PLANES - 1)) - 1)
#define LOW (-HIGH - 1)
#define INLINE static inline __attribute__((always_inline))

enum { FORWARD, BACKWARD, UPDATE, PHASES };

/* A row update that a sample has won: `wanted` is the bit that the neuron should have given. */
struct event {
    uint16_t sample, wanted;
};

struct layer {
    int8_t *counters;   /* [outputs][PADDED(inputs)] */
    uint32_t *weights;  /* [WORDS(inputs)][PADDED(outputs)]: word w of every neuron, in the order of `slot` */
    uint32_t *rows;     /* [outputs][WORDS(inputs)]: the same row by row */
    uint32_t *columns;  /* [WORDS(outputs)][PADDED(inputs)]: the same transposed */
    uint32_t *bits;     /* [BATCH][WORDS(outputs)]: activations */
    int8_t *sums;       /* [BATCH][PADDED(outputs)]: z, saturated */
    uint32_t *open;     /* [BATCH][WORDS(outputs)]: the gate */
    struct event *events; /* [outputs][BATCH] */
    uint16_t *event_counts;
};

#define LAYER(number, inputs, outputs, gate, group, shift) \
    static int8_t counters_##number[outputs][PADDED(inputs)] __attribute__((aligned(64))); \
    static uint32_t weights_##number[WORDS(inputs)][PADDED(outputs)] __attribute__((aligned(64))); \
    static uint32_t rows_##number[outputs][WORDS(inputs)] __attribute__((aligned(64))); \
    static uint32_t columns_##number[WORDS(outputs)][PADDED(inputs)] __attribute__((aligned(64))); \
    static uint32_t bits_##number[BATCH][WORDS(outputs)] __attribute__((aligned(64))); \
    static uint32_t open_##number[BATCH][WORDS(outputs)] __attribute__((aligned(64))); \
    static int8_t sums_##number[BATCH][PADDED(outputs)] __attribute__((aligned(64))); \
    static struct event events_##number[outputs][BATCH]; \
    static uint16_t event_counts_##number[outputs];
NETWORK(LAYER)
#undef LAYER

static struct layer layers[DEPTH] = {
#define LAYER(number, inputs, outputs, gate, group, shift) \
    {counters_##number[0], weights_##number[0], rows_##number[0], columns_##number[0], \
     bits_##number[0], sums_##number[0], open_##number[0], events_##number[0], event_counts_##number},
    NETWORK(LAYER)
#undef LAYER
};

static uint32_t classes[WORDS(OUTPUTS)][PADDED(CLASSES)] __attribute__((aligned(64)));
static uint32_t prototypes[CLASSES][WORDS(OUTPUTS)] __attribute__((aligned(64)));
static uint8_t triggered[BATCH];

static int64_t samples, margin, statistics[3]; /* triggered, row updates, saturations */
static uint64_t clocks[PHASES];

/* Where the counters `(outputs, stride)` of a layer lie. */
int8_t *counters_of(int layer) { return layers[layer].counters; }

/* Start at sample number `time`; `rows` is the classifier, `WORDS(OUTPUTS)` words a class. */
void begin(int64_t time, int64_t trigger_margin, const uint32_t *rows) {
    samples = time, margin = trigger_margin;
    memset(statistics, 0, sizeof statistics);
    memset(clocks, 0, sizeof clocks);
    memcpy(prototypes, rows, sizeof prototypes);
    for (int class = 0; class < CLASSES; class++)
        for (int word = 0; word < WORDS(OUTPUTS); word++)
            classes[word][class] = prototypes[class][word];
}

const int64_t *statistics_of(void) { return statistics; }
const uint64_t *clocks_of(void) { return clocks; }
uint64_t time_stamp(void) { unsigned core; return __rdtscp(&core); }

/* ---- AVX-512 ---------------------------------------------------------------------------------------------------- */

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,gfni,bmi,bmi2,popcnt,lzcnt")
#define NAME(name) name##_avx512
#define BLOCK 64
typedef __m512i v512;
#define V v512
#define M uint64_t
#define ADD32 _mm512_add_epi32
#define SUB32 _mm512_sub_epi32
#define SET32 _mm512_set1_epi32
#define SET8 _mm512_set1_epi8
#define LOAD(p) _mm512_load_si512((const void *)(p))
#define STORE(p, v) _mm512_store_si512((void *)(p), v)
#define XOR _mm512_xor_si512
#define COUNT32 _mm512_popcnt_epi32
#define AGREEING(a, b, mask) _mm512_ternarylogic_epi32(a, b, mask, 0x82) /* (a XNOR b) AND mask */
#define PACK32 _mm512_packs_epi32
#define PACK16 _mm512_packs_epi16
#define NEGATIVE _mm512_movepi8_mask
#define ZERO8(v) _mm512_testn_epi8_mask(v, v)
#define ABS8 _mm512_abs_epi8
#define ABS32 _mm512_abs_epi32
#define ABOVE8(a, b) _mm512_cmpgt_epi8_mask(a, b)
#define ABOVEU8(a, b) _mm512_cmpgt_epu8_mask(a, b)
#define EQUAL8(a, b) _mm512_cmpeq_epi8_mask(a, b)
#define SHIFT8(v, n) _mm512_and_si512(_mm512_srli_epi16(v, n), _mm512_set1_epi8((char)(0xff >> (n))))
#define MINU8 _mm512_min_epu8
#define MAX8 _mm512_max_epi8
#define MIN8 _mm512_min_epi8
#define TEST8(v, n) _mm512_movepi8_mask(_mm512_slli_epi16(v, 7 - (n)))
#define ADD8 _mm512_add_epi8
#define ADDS8 _mm512_adds_epi8
#define PICK8(mask, yes, no) _mm512_mask_blend_epi8(mask, no, yes)
#define ADD8_WHERE(mask, v, step) _mm512_mask_add_epi8(v, mask, v, step)
#define ADDS8_WHERE(mask, v, step) _mm512_mask_adds_epi8(v, mask, v, step)
/* 1 or -1 by the sign: an affine map of each byte's bits. */
#define AWAY8(v) _mm512_gf2p8affine_epi64_epi8(v, _mm512_set1_epi64(0x0080808080808080), 1)
#define ONLY8(mask, v) _mm512_maskz_mov_epi8(mask, v)
/* Bits of lane 4 L + e are bits 16 L + 4 n + e: see `slot`. */
#define SET_BIT(v, mask, n, bit) \
    _mm512_mask_or_epi32(_mm512_andnot_si512(bit, v), (__mmask16)_pext_u64(mask, 0x000f000f000f000full << (4 * (n))), \
                         _mm512_andnot_si512(bit, v), bit)
#define FIRST(mask) __builtin_ctzll(mask)
#define BITS(mask) __builtin_popcountll(mask)
#include "host_kernel.h"
#pragma GCC pop_options

/* ---- AVX2 ------------------------------------------------------------------------------------------------------- */

#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt,lzcnt")
#define NAME(name) name##_avx2
#define BLOCK 32
typedef __m256i v256;
#define V v256
#define M uint32_t
#define ADD32 _mm256_add_epi32
#define SUB32 _mm256_sub_epi32
#define SET32 _mm256_set1_epi32
#define SET8 _mm256_set1_epi8
#define LOAD(p) _mm256_load_si256((const void *)(p))
#define STORE(p, v) _mm256_store_si256((void *)(p), v)
#define XOR _mm256_xor_si256
INLINE v256 count32_avx2(v256 v) {
    const v256 table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const v256 low = _mm256_set1_epi8(15);
    v256 bytes = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, low)),
                                 _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}
INLINE v256 expand_avx2(uint32_t mask) {
    const v256 places = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                         2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const v256 bits = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    v256 bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), places);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bits), bits);
}
INLINE v256 set_bit_avx2(v256 v, uint32_t mask, v256 bit) {
    const v256 lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    v256 set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)mask), lanes), lanes);
    return _mm256_or_si256(_mm256_andnot_si256(bit, v), _mm256_and_si256(bit, set));
}
#define COUNT32 count32_avx2
#define AGREEING(a, b, mask) _mm256_andnot_si256(_mm256_xor_si256(a, b), mask)
#define PACK32 _mm256_packs_epi32
#define PACK16 _mm256_packs_epi16
#define NEGATIVE(v) ((uint32_t)_mm256_movemask_epi8(v))
#define ZERO8(v) NEGATIVE(_mm256_cmpeq_epi8(v, _mm256_setzero_si256()))
#define ABS8 _mm256_abs_epi8
#define ABS32 _mm256_abs_epi32
#define ABOVE8(a, b) NEGATIVE(_mm256_cmpgt_epi8(a, b))
#define ABOVEU8(a, b) (~NEGATIVE(_mm256_cmpeq_epi8(_mm256_min_epu8(a, b), a)))
#define EQUAL8(a, b) NEGATIVE(_mm256_cmpeq_epi8(a, b))
#define SHIFT8(v, n) _mm256_and_si256(_mm256_srli_epi16(v, n), _mm256_set1_epi8((char)(0xff >> (n))))
#define MINU8 _mm256_min_epu8
#define MAX8 _mm256_max_epi8
#define MIN8 _mm256_min_epi8
#define TEST8(v, n) NEGATIVE(_mm256_slli_epi16(v, 7 - (n)))
#define ADD8 _mm256_add_epi8
#define ADDS8 _mm256_adds_epi8
#define PICK8(mask, yes, no) _mm256_blendv_epi8(no, yes, expand_avx2(mask))
#define ADD8_WHERE(mask, v, step) _mm256_add_epi8(v, _mm256_and_si256(expand_avx2(mask), step))
#define ADDS8_WHERE(mask, v, step) _mm256_adds_epi8(v, _mm256_and_si256(expand_avx2(mask), step))
#define AWAY8(v) _mm256_or_si256(_mm256_cmpgt_epi8(_mm256_setzero_si256(), v), _mm256_set1_epi8(1))
#define ONLY8(mask, v) _mm256_and_si256(expand_avx2(mask), v)
#define SET_BIT(v, mask, n, bit) set_bit_avx2(v, _pext_u32(mask, 0x000f000fu << (4 * (n))), bit)
#define FIRST(mask) __builtin_ctz(mask)
#define BITS(mask) __builtin_popcount(mask)
#include "host_kernel.h"
#pragma GCC pop_options
