/* The hardware rule of Binary Error Propagation for 32-bit cores: what a network is, and where its state lies.
 *
 * A network is given by macros on the compiler's command line, so that every loop has a constant length:
 *
 *   NETWORK(X)     X(number, inputs, outputs, gate, group, shift) for each layer, numbers counted from 0
 *   WIDEST         largest width of a layer, its input included
 *   OUTPUTS        width of the last layer
 *   CLASSES        number of classes
 *   PLANES         bits of a counter
 *   REINFORCEMENT  period, 0 for none
 *   SAMPLES        samples held in memory
 *
 * All arrays are of 32-bit words, so that struct memory has no padding and is the same bytes on every core.
 * Bit i of word w is input 32 w + i; a 1 means +1; bits beyond the width are 0.
 */
#ifndef BEP_H
#define BEP_H

#include <stddef.h>
#include <stdint.h>

#define WORDS(bits) (((bits) + 31) / 32)
#define INPUT_WORDS WORDS(FIRST_INPUTS)

struct memory {
    /* How to run: samples a batch, samples to train on, samples to infer afterwards. */
    uint32_t batch, train, infer;
    /* The trigger's margin. */
    uint32_t margin;
    /* What it did: the rule's statistics. */
    uint32_t samples, triggered, row_updates, saturations;
    uint32_t inputs[SAMPLES][INPUT_WORDS];
    uint32_t labels[SAMPLES];
    uint32_t trained_predictions[SAMPLES];
    uint32_t inferred_predictions[SAMPLES];
    uint32_t classifier[CLASSES][WORDS(OUTPUTS)];
    /* Bit-sliced counters: plane p of word w of row j holds bit p of the 32 counters (j, 32 w …). */
#define COUNTERS(number, inputs, outputs, gate, group, shift) uint32_t counters_##number[outputs][WORDS(inputs)][PLANES];
    NETWORK(COUNTERS)
#undef COUNTERS
    /* Visible weights as held during a batch, row by row, and rows that nothing counts up to a multiple of eight.
     * Derived from the counters by `prepare`. */
#define HELD(number, inputs, outputs, gate, group, shift) uint32_t held_##number[((outputs) + 7) / 8 * 8][WORDS(inputs)];
    NETWORK(HELD)
#undef HELD
};

/* Derive the held weights; to be called once, before the first batch. */
void prepare(struct memory *memory);

/* Train on `count` samples, from number `first` on, as one batch. */
void train_batch(struct memory *memory, uint32_t first, uint32_t count);

/* Predict sample number `sample`. */
uint32_t infer(struct memory *memory, uint32_t sample);

/* Phases of a sample. MARK is told which one begins; the port decides what that does. */
enum phase { IDLE, FORWARD, BACKWARD, UPDATE, INFER, HALT = 255 };

#ifndef MARK
#define MARK(phase) ((void)0)
#endif

#endif
