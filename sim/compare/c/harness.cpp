// Clocks a `soc` until it halts, and adds up the cycles between marks by the phase that each mark begins.
//
//   soc LIMIT +load=IMAGE +save=IMAGE      prints "cycles PHASE COUNT" lines; status 1 after LIMIT cycles
#include "Vsoc.h"
#include "verilated.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    const uint64_t limit = argc > 1 ? strtoull(argv[1], nullptr, 10) : 0;
    Vsoc soc;
    uint64_t cycles[256] = {}, began = 0;
    uint8_t phase = 0;
    soc.reset = 1;
    for (uint64_t cycle = 0; cycle < limit; cycle++) {
        if (cycle == 16)
            soc.reset = 0;
        soc.clk = 0;
        soc.eval();
        const bool marked = soc.mark_valid && !soc.reset;
        const uint8_t next = soc.mark;
        soc.clk = 1;
        soc.eval();
        if (!marked)
            continue;
        cycles[phase] += cycle - began;
        began = cycle;
        phase = next;
        if (phase == 0xff) {
            for (int number = 0; number < 255; number++)
                if (cycles[number])
                    printf("cycles %d %llu\n", number, (unsigned long long)cycles[number]);
            soc.final();
            return 0;
        }
    }
    fprintf(stderr, "no end after %llu cycles\n", (unsigned long long)limit);
    return 1;
}
