/* `domicile policy lsp`: the language server over standard input and output. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/command.h"
#include "tools/lsp.h"
#include "tools/policy_verbs.h"

#define READ_BYTES (64U << 10)

static const char s_help[] =
    "NAME\n"
    "    domicile policy lsp - serve policy files to an editor\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy lsp\n"
    "\n"
    "DESCRIPTION\n"
    "    A language server (LSP 3.17) over standard input and output: findings while typing,\n"
    "    what a name means under the cursor, and go to its declaration. An editor starts it\n"
    "    for *.cfg files of policies; docs/POLICY.md shows how for some.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 the editor said shutdown and exit; 1 the connection broke or made no sense;\n"
    "    3 usage.\n";

static bool write_all(struct dom_buffer *out)
{
    size_t done = 0;

    while (done < out->len) {
        ssize_t put = write(STDOUT_FILENO, out->data + done, out->len - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        done += (size_t)put;
    }
    dom_buffer_clear(out);
    return true;
}

/* Takes the whole messages at the beginning of `in` and leaves the rest. */
static enum dom_lsp_next take_messages(struct dom_lsp *lsp, struct dom_buffer *in,
                                       struct dom_buffer *out)
{
    enum dom_lsp_next next = DOM_LSP_GO_ON;
    size_t taken = 0;

    while (next == DOM_LSP_GO_ON) {
        struct dom_slice body;
        size_t size = 0;
        const char *why = "";
        enum dom_lsp_frame frame =
            dom_lsp_frame(dom_slice_of(in->data + taken, in->len - taken), &body, &size, &why);
        if (frame == DOM_LSP_MORE) {
            break;
        }
        if (frame == DOM_LSP_BAD) {
            (void)fprintf(stderr, "domicile policy lsp: %s\n", why);
            dom_lsp_put_fatal(why, out);
            next = DOM_LSP_EXIT_FAILED;
        } else {
            next = dom_lsp_take(lsp, body, dom_clock_wall_ms(dom_clock_system()), out);
            taken += size;
        }
    }
    if (taken > 0) {
        memmove(in->data, in->data + taken, in->len - taken);
        in->len -= taken;
    }
    return next;
}

static int serve(void)
{
    struct dom_lsp *lsp = dom_lsp_new();
    enum dom_lsp_next next = DOM_LSP_GO_ON;
    struct dom_buffer in;
    struct dom_buffer out;

    dom_buffer_init(&in, DOM_LSP_MESSAGE_BYTES_MAX + DOM_LSP_HEADER_BYTES_MAX + READ_BYTES);
    dom_buffer_init(&out, 0);
    while (next == DOM_LSP_GO_ON) {
        uint8_t bytes[READ_BYTES];
        ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            (void)fprintf(stderr, "domicile policy lsp: the editor went without a word\n");
            next = DOM_LSP_EXIT_FAILED;
            break;
        }
        dom_buffer_append(&in, bytes, (size_t)got);
        next = in.failed ? DOM_LSP_EXIT_FAILED : take_messages(lsp, &in, &out);
        if (!write_all(&out)) {
            next = DOM_LSP_EXIT_FAILED;
        }
    }
    dom_buffer_cleanup(&in);
    dom_buffer_cleanup(&out);
    dom_lsp_destroy(lsp);
    return next == DOM_LSP_EXIT_OK ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}

int dom_policy_lsp_verb(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(s_help, stdout);
        return DOM_EXIT_OK;
    }
    /* Editors like to say --stdio. */
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--stdio") != 0)) {
        return dom_policy_usage("lsp takes no arguments", "");
    }
    return serve();
}
