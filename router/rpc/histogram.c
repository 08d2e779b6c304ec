#include "base/assert.h"
#include "router/rpc/load.h"

#define SUB_BITS 6U
#define SUB (1U << SUB_BITS)

/* Values below SUB have a bucket each; above, SUB buckets per power of two. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < SUB) {
        return (unsigned)ns;
    }
    unsigned power = 63U - (unsigned)__builtin_clzll(ns); /* >= SUB_BITS */
    unsigned sub = (unsigned)(ns >> (power - SUB_BITS)) & (SUB - 1);
    unsigned bucket = (power - SUB_BITS + 1) * SUB + sub;
    return bucket < DOM_RPC_HISTOGRAM_BUCKETS ? bucket : DOM_RPC_HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static uint64_t top_of(unsigned bucket)
{
    if (bucket < SUB) {
        return bucket;
    }
    unsigned power = bucket / SUB + SUB_BITS - 1;
    uint64_t width = 1ULL << (power - SUB_BITS);
    return (1ULL << power) + (bucket % SUB + 1) * width - 1;
}

void dom_rpc_histogram_add(struct dom_rpc_histogram *histogram, uint64_t ns)
{
    histogram->counts[bucket_of(ns)]++;
    histogram->num++;
    histogram->sum_ns += ns;
    if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
}

uint64_t dom_rpc_histogram_quantile(const struct dom_rpc_histogram *histogram, unsigned per_mille)
{
    uint64_t seen = 0;

    DOM_ASSERT(per_mille <= 1000);
    /* The smallest rank that covers per_mille of all, at least one. */
    uint64_t rank =
        histogram->num / 1000 * per_mille + (histogram->num % 1000 * per_mille + 999) / 1000;
    rank = rank == 0 ? 1 : rank;
    for (unsigned i = 0; i < DOM_RPC_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (histogram->counts[i] > 0 && seen >= rank) {
            uint64_t top = top_of(i);
            return top < histogram->max_ns ? top : histogram->max_ns;
        }
    }
    return histogram->num == 0 ? 0 : histogram->max_ns;
}
