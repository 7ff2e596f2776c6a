/* Settings from the environment. */
#include <stdlib.h>

#include "base/base.h"

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
