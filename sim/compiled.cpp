// The host's side of a core, in C++: one script of items, each offered until it is taken, the next in the cycle after.
//
// An item is a source's number in bits 56 and up, and its payload. Sinks take whatever comes. All is set while the clock
// is low, and what is valid and ready then is transferred by the next rising edge: as `streams.py` has it.
#include "Vtop.h"
#include "verilated.h"

// SOURCES(X), SINKS(X): X(number, name) for each stream; STATISTICS, STATISTIC_WIDTH; RUN, the source whose items begin
// batches; WATCHED(X): X(name) for streams whose transfers are seen.
#include "ports.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr unsigned SETTLED = 3;  // Idle cycles after which statistics show everything.

#define VALID(name) name##___05Fvalid
#define READY(name) name##___05Fready
#define PAYLOAD(name) name##___05Fpayload

struct Sink {
    uint64_t *items;
    uint64_t room, count;
};

struct Core {
    VerilatedContext context;
    Vtop top{&context};
    uint64_t cycle = 0;
    bool watched = false;
    std::vector<uint32_t> seen;  // For each cycle that was watched.
    uint64_t before[STATISTICS] = {};

    void edge(bool clock) {
        top.clk = clock;
#ifdef DOUBLE_RATE
        top.double_clk = 1;
#endif
        top.eval();
#ifdef DOUBLE_RATE
        top.double_clk = 0;
        top.eval();
#endif
    }

    void fall() { edge(false); }

    void rise() {
        edge(true);
        cycle++;
    }

    void offer(uint64_t item) {
        const uint64_t payload = item & (~0ull >> 8);
        switch (item >> 56) {
#define OFFER(number, name) case number: top.VALID(name) = 1; top.PAYLOAD(name) = payload; break;
            SOURCES(OFFER)
        }
    }

    bool taken(uint64_t item) const {
        switch (item >> 56) {
#define TAKEN(number, name) case number: return top.READY(name);
            SOURCES(TAKEN)
        }
        return false;
    }

    void withdraw() {
#define WITHDRAW(number, name) top.VALID(name) = 0;
        SOURCES(WITHDRAW)
    }

    void statistics(uint64_t *values) const {
        uint32_t words[STATISTICS + 1] = {};
        memcpy(words, &top.statistics, sizeof top.statistics);
        for (unsigned number = 0; number < STATISTICS; number++) {
            const unsigned first = number * STATISTIC_WIDTH;
            const uint64_t bits = words[first / 32] | (uint64_t)words[first / 32 + 1] << 32;
            values[number] = bits >> first % 32 & ((1ull << STATISTIC_WIDTH) - 1);
        }
    }

    // The cycle and the statistics.
    void mark(uint64_t *row) const {
        row[0] = cycle;
        statistics(row + 1);
    }

    // Which statistics are other than a cycle ago, and which streams transfer in this one.
    void watch() {
        uint64_t now[STATISTICS];
        statistics(now);
        uint32_t bits = 0, bit = 1;
        for (unsigned number = 0; number < STATISTICS; number++, bit <<= 1)
            bits |= now[number] != before[number] ? bit : 0;
#define SEEN(name) \
        bits |= top.VALID(name) && top.READY(name) ? bit : 0; \
        bit <<= 1;
        WATCHED(SEEN)
        memcpy(before, now, sizeof now);
        seen.push_back(bits);
    }
};

}  // namespace

extern "C" Core *core_new() { return new Core; }

extern "C" void core_delete(Core *core) { delete core; }

extern "C" void core_reset(Core *core) {
#define OPEN(number, name) core->top.READY(name) = 1;
    SINKS(OPEN)
    core->withdraw();
    core->top.rst = 1;
    for (int cycle = 0; cycle < 2; cycle++) {
        core->fall();
        core->rise();
    }
    core->top.rst = 0;
}

// Begins to watch, from nothing, or ends it.
extern "C" void core_watch(Core *core, int watched) {
    core->watched = watched;
    core->seen.clear();
    core->statistics(core->before);
}

// What was seen in the last `count` cycles.
extern "C" const uint32_t *core_seen(Core *core, uint64_t count) { return core->seen.data() + core->seen.size() - count; }

// Plays the script, fills the sinks, and returns once the core is idle. `marks` gets a row after each item of RUN, and
// one at the end. 0, or 1 after `patience` cycles in which nothing moved, 2 when more came than there is room for.
extern "C" int core_play(Core *core, const uint64_t *items, uint64_t count, Sink *sinks, uint64_t *marks,
                         uint64_t patience) {
    Vtop &top = core->top;
    uint64_t next = 0, wanted = 0;
    unsigned idle = 0;
    bool offered = false;
#define ROOM(number, name) wanted += sinks[number].room;
    SINKS(ROOM)
    for (uint64_t moved = core->cycle; core->cycle - moved < patience;) {
        if (!offered) {
            core->withdraw();
            if (next < count)
                core->offer(items[next]);
            offered = true;
        }
        core->fall();
        if (core->watched)
            core->watch();
        const bool taken = next < count && core->taken(items[next]);
#define TAKE(number, name) \
        if (top.VALID(name)) { \
            Sink &sink = sinks[number]; \
            if (sink.count == sink.room) \
                return 2; \
            sink.items[sink.count++] = top.PAYLOAD(name); \
            wanted--; \
            moved = core->cycle; \
        }
        SINKS(TAKE)
        idle = top.idle && next == count && !wanted ? idle + 1 : 0;
        core->rise();
        if (taken) {
            if (items[next] >> 56 == RUN) {
                core->mark(marks);
                marks += 1 + STATISTICS;
            }
            next++;
            offered = false;
            moved = core->cycle;
        }
        if (idle == SETTLED) {
            core->mark(marks);
            return 0;
        }
    }
    return 1;
}
