#include "store/region/gate.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"

static const char *const s_words[] = {
#define X(name, word) word,
    DOM_GATE_REASONS(X)
#undef X
};

const char *dom_gate_word(enum dom_gate_reason reason)
{
    DOM_ASSERT((unsigned)reason < DOM_GATE_REASON_COUNT);
    return s_words[reason];
}

void dom_gate_init(struct dom_gate *gate, const char *region,
                   void (*changed)(void *context, bool open), void *context)
{
    memset(gate, 0, sizeof(*gate));
    gate->region = region;
    gate->changed = changed;
    gate->context = context;
    DOM_ASSERT(pthread_mutex_init(&gate->lock, NULL) == 0);
}

void dom_gate_cleanup(struct dom_gate *gate)
{
    (void)pthread_mutex_destroy(&gate->lock);
}

void dom_gate_listen(struct dom_gate *gate)
{
    DOM_ASSERT(pthread_mutex_lock(&gate->lock) == 0);
    gate->listening = true;
    if (dom_gate_closed(gate) != 0) {
        gate->changed(gate->context, false);
    }
    DOM_ASSERT(pthread_mutex_unlock(&gate->lock) == 0);
}

/* Under the lock, so that changes are told in the order in which they happen. */
static void set(struct dom_gate *gate, unsigned closed)
{
    unsigned before = atomic_exchange(&gate->closed, closed);

    if (gate->listening && (before == 0) != (closed == 0)) {
        gate->changed(gate->context, closed == 0);
    }
}

void dom_gate_close(struct dom_gate *gate, enum dom_gate_reason reason, const char *why)
{
    if (dom_gate_closed_for(gate, reason)) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&gate->lock) == 0);
    if (!dom_gate_closed_for(gate, reason)) {
        (void)snprintf(gate->why[reason], DOM_GATE_WHY_SIZE, "%s", why);
        dom_log(DOM_LOG_ERROR, "audit.closed", "region=%s reason=%s text=\"%s\"", gate->region,
                dom_gate_word(reason), why);
        set(gate, dom_gate_closed(gate) | 1U << reason);
    }
    DOM_ASSERT(pthread_mutex_unlock(&gate->lock) == 0);
}

void dom_gate_open(struct dom_gate *gate, enum dom_gate_reason reason)
{
    if (!dom_gate_closed_for(gate, reason)) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&gate->lock) == 0);
    if (dom_gate_closed_for(gate, reason)) {
        dom_log(DOM_LOG_INFO, "audit.lifted", "region=%s reason=%s", gate->region,
                dom_gate_word(reason));
        set(gate, dom_gate_closed(gate) & ~(1U << reason));
    }
    DOM_ASSERT(pthread_mutex_unlock(&gate->lock) == 0);
}

void dom_gate_why(struct dom_gate *gate, char out[DOM_GATE_WHY_SIZE])
{
    out[0] = '\0';
    DOM_ASSERT(pthread_mutex_lock(&gate->lock) == 0);
    for (unsigned i = 0; i < DOM_GATE_REASON_COUNT; i++) {
        if (dom_gate_closed_for(gate, (enum dom_gate_reason)i)) {
            memcpy(out, gate->why[i], DOM_GATE_WHY_SIZE);
            break;
        }
    }
    DOM_ASSERT(pthread_mutex_unlock(&gate->lock) == 0);
}
