/* The two clocks of this machine's processor: its time-stamp counter, and a chain of multiplications, which take three core
 * cycles each on every processor that has AVX2. */
#include <stdint.h>
#include <x86intrin.h>

uint64_t time_stamp(void) {
    unsigned core;
    return __rdtscp(&core);
}

void chain(int64_t steps) {
    for (uint64_t x = 3; steps > 0; steps -= 16)
        __asm__ volatile(".rept 16\n\timul %0, %0\n\t.endr" : "+r"(x));
}
