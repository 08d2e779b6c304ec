/* A language server for policy files: what an editor is told of a text. LSP 3.17 over JSON-RPC 2.0.
 *
 * Bytes in, bytes out: no I/O, no clock. Diagnostics while typing, hover, go to definition.
 * Documents are sent whole at each change. Files named *_test.cfg are taken and left alone.
 *
 * Thread contract: one owner. Limits: below; what is over them ends the connection or is said.
 */
#ifndef DOM_TOOLS_LSP_H
#define DOM_TOOLS_LSP_H

#include "base/buffer.h"
#include "base/limits.h"
#include "base/slice.h"

#define DOM_LSP_HEADER_BYTES_MAX  4096U
/* The largest policy with each byte escaped as JSON does at worst, and what is around it. */
#define DOM_LSP_MESSAGE_BYTES_MAX (6U * DOM_POLICY_FILE_BYTES_MAX + (64U << 10))
#define DOM_LSP_DOCUMENTS_MAX     64U

enum dom_lsp_frame { DOM_LSP_MORE, DOM_LSP_READY, DOM_LSP_BAD };
/* Looks for one message at the beginning of `bytes`: MORE: not all of it is there; READY: its body
 * is *body, and the message takes *size bytes; BAD: this is no message, *why tells. */
enum dom_lsp_frame dom_lsp_frame(struct dom_slice bytes, struct dom_slice *body, size_t *size,
                                 const char **why);

struct dom_lsp;
struct dom_lsp *dom_lsp_new(void);
void dom_lsp_destroy(struct dom_lsp *lsp);

enum dom_lsp_next { DOM_LSP_GO_ON, DOM_LSP_EXIT_OK, DOM_LSP_EXIT_FAILED };
/* Takes one message's body; appends the messages that answer it, framed, to `out`. `now_ms` is for
 * findings about dates. */
enum dom_lsp_next dom_lsp_take(struct dom_lsp *lsp, struct dom_slice body, int64_t now_ms,
                               struct dom_buffer *out);
/* Appends the error that a peer is told before the connection ends because of bad framing. */
void dom_lsp_put_fatal(const char *why, struct dom_buffer *out);

#endif
