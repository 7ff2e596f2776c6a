/* Stages that can be listened to. The library itself prints nothing: lines go to the program's callback. */
#include <stdatomic.h>

#include "base/os.h"

static const char *const stage_names[TW_LOG_STAGES] = {"graph", "decompose", "simplify", "fusion", "tile",  "llvm",
                                                       "asm",   "plan",      "guards",   "timing", "cache", "check"};
static _Atomic uint32_t stages_on; /* bit by stage */
static _Atomic bool initialised;
static tw_log_callback *callback;
static void *callback_user;

void tw_log_to(tw_log_callback *to, void *user)
{
    callback_user = user;
    callback = to;
}

tw_status tw_log_set(const char *stages)
{
    uint32_t on = 0;
    while (*stages) {
        size_t length = strcspn(stages, ",");
        bool known = length == 3 && !strncmp(stages, "all", 3);
        if (known)
            on = (1u << TW_LOG_STAGES) - 1;
        for (int i = 0; i < TW_LOG_STAGES && length; i++) {
            if (strlen(stage_names[i]) == length && !strncmp(stages, stage_names[i], length)) {
                on |= 1u << i;
                known = true;
            }
        }
        if (!known && length)
            return tw_error(TW_ERR_VALUE,
                            "log: unknown stage '%.*s'; expected graph, decompose, simplify, fusion, tile, "
                            "llvm, asm, plan, guards, timing, cache, check or all",
                            (int)length, stages);
        stages += length + (stages[length] == ',');
    }
    atomic_store(&stages_on, on);
    atomic_store(&initialised, true);
    return TW_OK;
}

bool tw_log_on(tw_log_stage stage)
{
    if (!atomic_load_explicit(&initialised, memory_order_relaxed)) {
        const char *wanted = tw_env("TW_LOG");
        if (!wanted || tw_log_set(wanted) != TW_OK)
            atomic_store(&initialised, true);
    }
    return atomic_load_explicit(&stages_on, memory_order_relaxed) >> stage & 1;
}

void tw_say(tw_log_stage stage, const char *format, ...)
{
    if (!tw_log_on(stage))
        return;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *message = length < 0 ? NULL : tw_alloc((size_t)length + 1);
    if (message) {
        vsnprintf(message, (size_t)length + 1, format, again);
        tw_os_speech_take(); /* kernels are compiled on several threads */
        if (callback)
            callback(callback_user, stage_names[stage], message);
        else
            fprintf(stderr, "%s: %s\n", stage_names[stage], message);
        tw_os_speech_release();
        tw_free(message);
    }
    va_end(again);
    va_end(arguments);
}
