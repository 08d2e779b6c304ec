/* Tokens of the libconfig syntax, with line and column, comments kept on request.
 *
 * libconfig 1.5 lets a number of mistakes through that would change what a policy means (it
 * joins adjacent strings, drops the rest of a file behind an unterminated comment, wraps
 * integers, keeps unknown escapes). This lexer reads the same language and refuses those, each
 * under its own code; docs/POLICY.md has the table. *Not* thread-safe; one lexer, one text.
 */
#ifndef DOM_POLICY_LEXER_H
#define DOM_POLICY_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/macros.h"
#include "base/slice.h"
#include "policy/finding_internal.h"

enum dom_token_kind {
    DOM_TOKEN_END = 0,
    DOM_TOKEN_NAME,
    DOM_TOKEN_STRING,
    DOM_TOKEN_INT,   /* fits 32 bits, no L */
    DOM_TOKEN_INT64, /* with L */
    DOM_TOKEN_FLOAT,
    DOM_TOKEN_BOOL,
    DOM_TOKEN_ASSIGN,    /* = or : */
    DOM_TOKEN_SEMICOLON,
    DOM_TOKEN_COMMA,
    DOM_TOKEN_GROUP_OPEN,
    DOM_TOKEN_GROUP_CLOSE,
    DOM_TOKEN_LIST_OPEN,
    DOM_TOKEN_LIST_CLOSE,
    DOM_TOKEN_ARRAY_OPEN,
    DOM_TOKEN_ARRAY_CLOSE,
    DOM_TOKEN_COMMENT /* only when comments are kept; raw covers its delimiters, not the newline */
};

struct dom_token {
    enum dom_token_kind kind;
    struct dom_place place;
    struct dom_slice raw;    /* the source bytes; borrowed from the text */
    struct dom_slice string; /* STRING: the value with escapes resolved; lives in the arena */
    int64_t integer;         /* INT, INT64 */
    double real;             /* FLOAT */
    bool boolean;            /* BOOL */
};

struct dom_lexer {
    struct dom_slice text;          /* borrowed */
    struct dom_findings *findings;  /* borrowed */
    struct dom_arena *arena;        /* borrowed; decoded strings live there */
    size_t at;                      /* next byte */
    size_t line_start;              /* offset of the current line's first byte */
    uint32_t line;
    bool keep_comments;
    bool after_string; /* the last token was a string: another one is the joining trap */
    bool truncated;    /* an unterminated comment or string swallowed the end */
};

void dom_lexer_init(struct dom_lexer *lexer, struct dom_slice text, struct dom_arena *arena,
                    struct dom_findings *findings);

/* The next token; END for ever at the end. Bytes that fit no token are reported and skipped, so
 * that one run finds them all. False only when the arena is exhausted. */
bool dom_lexer_next(struct dom_lexer *lexer, struct dom_token *token) DOM_MUST_USE;

/* What the token is, for messages: `string "x"`, `'='`, `end of file`. Writes to out. */
void dom_token_describe(const struct dom_token *token, char *out, size_t out_size);

/* The length of the well-formed UTF-8 sequence at data (1 to 4), or 0. */
size_t dom_utf8_step(const uint8_t *data, size_t len);

#endif
