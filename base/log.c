#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static _Atomic int s_level = DOM_LOG_INFO;

void dom_log_set_level(enum dom_log_level level)
{
    atomic_store_explicit(&s_level, (int)level, memory_order_relaxed);
}

void dom_log(enum dom_log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[1024];
    char when[DOM_RFC3339_SIZE];
    va_list args;

    if ((int)level < atomic_load_explicit(&s_level, memory_order_relaxed)) {
        return;
    }
    dom_time_format(when, dom_clock_wall_ms(dom_clock_system()), true);
    int at = snprintf(line, sizeof(line), "time=%s level=%s event=%s ", when, names[level], event);
    va_start(args, fmt);
    int more = vsnprintf(line + at, sizeof(line) - (size_t)at - 1, fmt, args);
    va_end(args);
    size_t len = (size_t)at + (more < 0 ? 0 : (size_t)more);
    if (len > sizeof(line) - 2) {
        len = sizeof(line) - 2;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) {
            line[i] = ' '; /* one event, one line: no forged second line */
        }
    }
    line[len] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, len + 1);
    (void)ignored;
}
