/* Trains on the samples that lie in memory, infers them, and halts: what every simulated core runs. */
#include "bep.h"

extern struct memory memory;

int main(void) {
    prepare(&memory);
    for (uint32_t first = 0; first < memory.train; first += memory.batch) {
        uint32_t rest = memory.train - first;
        train_batch(&memory, first, rest < memory.batch ? rest : memory.batch);
    }
    for (uint32_t sample = 0; sample < memory.infer; sample++) {
        MARK(INFER);
        memory.inferred_predictions[sample] = infer(&memory, sample);
    }
    MARK(IDLE);
    MARK(HALT);
    return 0;
}
