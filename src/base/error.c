/* The last error of each thread. Nothing is allocated, so that running out of memory can be reported too. */
#include "base/base.h"

static _Thread_local tw_error_state last;

tw_status tw_error(tw_status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last.message, sizeof last.message, format, arguments);
    va_end(arguments);
    last.code = code;
    last.located = false;
    return code;
}

void tw_error_at(const char *file, int line)
{
    size_t used = strlen(last.message);
    if (used && !last.located)
        snprintf(last.message + used, sizeof last.message - used, " (at %s:%d)", file, line);
    last.located = true;
}

const char *tw_error_message(void)
{
    return last.message;
}

tw_status tw_error_code(void)
{
    return last.code;
}

void tw_error_clear(void)
{
    last.code = TW_OK;
    last.message[0] = '\0';
}

void tw_error_save(tw_error_state *state)
{
    state->code = last.code;
    strcpy(state->message, last.message);
}

void tw_error_restore(const tw_error_state *state)
{
    last.code = state->code;
    strcpy(last.message, state->message);
}

const char *tw_status_name(tw_status code)
{
    static const char *const names[] = {
        "TW_OK",     "TW_ERR_MEMORY", "TW_ERR_SHAPE",       "TW_ERR_DTYPE",       "TW_ERR_AXIS",    "TW_ERR_VALUE",
        "TW_ERR_IO", "TW_ERR_FORMAT", "TW_ERR_UNSUPPORTED", "TW_ERR_INTERRUPTED", "TW_ERR_INTERNAL"};
    return (size_t)code < TW_COUNT(names) ? names[code] : "unknown status";
}
