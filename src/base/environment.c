/* Settings: what the program set, else what the environment says. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/os.h"
#include "tilewright/control.h"

enum { RECOMPILE_LIMIT = 8, MOST_THREADS = 1024 };

static _Atomic int64_t memory_budget, recompile_limit = -1;
static _Atomic int threads;
static _Atomic tw_tier tier;

const char *tw_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool tw_env_on(const char *name)
{
    const char *value = tw_env(name);
    return value && strcmp(value, "0") != 0;
}

int64_t tw_env_int(const char *name, int64_t otherwise)
{
    const char *value = tw_env(name);
    char *end = NULL;
    long long number = value ? strtoll(value, &end, 10) : 0;
    return value && end != value && *end == '\0' ? number : otherwise;
}

void tw_set_tier(tw_tier wanted)
{
    atomic_store(&tier, wanted);
}

tw_tier tw_chosen_tier(void)
{
    return atomic_load_explicit(&tier, memory_order_relaxed);
}

tw_tier tw_get_tier(void)
{
    return tw_env_on("TW_EAGER") ? TW_TIER_EAGER : tw_chosen_tier();
}

void tw_set_memory_budget(int64_t bytes)
{
    atomic_store(&memory_budget, bytes);
}

int64_t tw_memory_budget(void)
{
    int64_t set = atomic_load(&memory_budget);
    return set > 0 ? set : tw_env_int("TW_MEMORY_BUDGET", 0);
}

void tw_set_recompile_limit(int64_t limit)
{
    atomic_store(&recompile_limit, limit);
}

int64_t tw_recompile_limit(void)
{
    int64_t set = atomic_load(&recompile_limit);
    return set >= 0 ? set : tw_env_int("TW_RECOMPILE_LIMIT", RECOMPILE_LIMIT);
}

void tw_set_num_threads(int wanted)
{
    atomic_store(&threads, wanted);
}

int tw_num_threads(void)
{
    int set = atomic_load(&threads);
    int64_t n = set > 0 ? set : tw_env_int("TW_THREADS", tw_os_cores());
    return (int)TW_MAX(TW_MIN(n, MOST_THREADS), 1);
}

const char *tw_library_version(void)
{
    return TW_VERSION;
}
