/* The operator's log: one line per event on stderr, structured key=value (logfmt).
 *
 * This is not the audit trail. It never holds values, keys, tokens or personal data.
 * Thread contract: any thread; a line is written by one write(2).
 *
 *   dom_log(DOM_LOG_INFO, "policy.loaded", "version=%lld rules=%zu", v, n);
 */
#ifndef DOM_BASE_LOG_H
#define DOM_BASE_LOG_H

#include "base/macros.h"

enum dom_log_level { DOM_LOG_DEBUG, DOM_LOG_INFO, DOM_LOG_WARN, DOM_LOG_ERROR };

/* Lines below this level are dropped. Start-up only; INFO until set. */
void dom_log_set_level(enum dom_log_level level);

/* `event` is dotted lower case, stable. `fmt` gives the key=value pairs; quote texts with "%s"
 * inside quotes, the logger escapes nothing. Lines are cut at 1,024 bytes. */
void dom_log(enum dom_log_level level, const char *event, const char *fmt, ...) DOM_PRINTF(3, 4);

#endif
