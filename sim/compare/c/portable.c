/* bep.c on this machine's processor, its phases timed by the time-stamp counter. */
#include <x86intrin.h>

unsigned long long cycles[256];

static void mark(unsigned next) {
    static unsigned long long began;
    static unsigned phase;
    unsigned long long now = __rdtsc();
    cycles[phase] += now - began;
    began = now, phase = next;
}

#define MARK(phase) mark(phase)
#define main run
#include "bep.c"
#include "main.c"

struct memory memory;
