/* Whether a region's log takes entries now, and why not. While it is closed the region refuses what
 * needs an entry at once, without a try; each reason is lifted by whoever gave it. */
#ifndef DOM_STORE_REGION_GATE_H
#define DOM_STORE_REGION_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(NAME, "word"): the word is a metric's label and stands in entries and log lines. */
#define DOM_GATE_REASONS(X)                                                     \
    X(WRITE, "write")     /* a write failed; lifted when the database writes */ \
    X(STALL, "stall")     /* a write or sync does not return */                 \
    X(FILES, "files")     /* the database's folder has gone */                  \
    X(PUBLISH, "publish") /* checkpoints or tiles cannot be written */          \
    X(TILES, "tiles")     /* published files have gone; lifted when all are back */ \
    X(HANG, "hang")       /* a call on published files or keys does not return */ \
    X(KEYS, "keys")       /* the key file cannot be read */                     \
    X(SINKS, "sinks")     /* a sink that the policy requires is away */

enum dom_gate_reason {
#define X(name, word) DOM_GATE_##name,
    DOM_GATE_REASONS(X)
#undef X
        DOM_GATE_REASON_COUNT
};

#define DOM_GATE_WHY_SIZE 160U

struct dom_gate {
    const char *region; /* its name */
    pthread_mutex_t lock;
    atomic_uint closed; /* a bit for each reason */
    bool listening;     /* changes are told; not before the region can be named */
    char why[DOM_GATE_REASON_COUNT][DOM_GATE_WHY_SIZE];
    /* Told, in order, when it closes and when it opens. Must not block. */
    void (*changed)(void *context, bool open);
    void *context;
};

void dom_gate_init(struct dom_gate *gate, const char *region,
                   void (*changed)(void *context, bool open), void *context);
void dom_gate_cleanup(struct dom_gate *gate);
/* From here on changes are told; that it is closed already, at once. */
void dom_gate_listen(struct dom_gate *gate);

/* Gives or lifts a reason; nothing happens when it is so already. Any thread. */
void dom_gate_close(struct dom_gate *gate, enum dom_gate_reason reason, const char *why);
void dom_gate_open(struct dom_gate *gate, enum dom_gate_reason reason);

static inline unsigned dom_gate_closed(const struct dom_gate *gate)
{
    return atomic_load(&gate->closed);
}

static inline bool dom_gate_closed_for(const struct dom_gate *gate, enum dom_gate_reason reason)
{
    return ((dom_gate_closed(gate) >> reason) & 1U) != 0;
}

/* The first reason's text, "" when it is open. Any thread. */
void dom_gate_why(struct dom_gate *gate, char out[DOM_GATE_WHY_SIZE]);
/* Static. */
const char *dom_gate_word(enum dom_gate_reason reason);

#endif
