/* An editor that sends anything: framing and messages, several in a row. What comes out must be
 * framed as what goes in. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tools/lsp.h"

#define NOW INT64_C(1795341600000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every answer is whole messages. */
static void check_out(const struct dom_buffer *out)
{
    struct dom_slice rest = dom_buffer_slice(out);
    struct dom_slice body;
    const char *why = "";
    size_t len = 0;

    while (rest.len > 0) {
        DOM_ASSERT(dom_lsp_frame(rest, &body, &len, &why) == DOM_LSP_READY);
        rest = dom_slice_of(rest.data + len, rest.len - len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_lsp *lsp = dom_lsp_new();
    struct dom_slice rest = dom_slice_of(data, size);
    enum dom_lsp_next next = DOM_LSP_GO_ON;
    struct dom_buffer out;

    dom_buffer_init(&out, 0);
    while (next == DOM_LSP_GO_ON) {
        struct dom_slice body;
        const char *why = "";
        size_t len = 0;
        enum dom_lsp_frame frame = dom_lsp_frame(rest, &body, &len, &why);
        if (frame != DOM_LSP_READY) {
            /* Bytes without a frame are given as a message all the same. */
            (void)dom_lsp_take(lsp, rest, NOW, &out);
            break;
        }
        DOM_ASSERT(len <= rest.len);
        next = dom_lsp_take(lsp, body, NOW, &out);
        rest = dom_slice_of(rest.data + len, rest.len - len);
    }
    check_out(&out);
    dom_buffer_cleanup(&out);
    dom_lsp_destroy(lsp);
    return 0;
}
