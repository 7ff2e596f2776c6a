/* The library's one door to malloc: checks sizes, and while a test watches it counts, and fails on request, so that
 * tests can walk every error path and see what is left behind. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/blocks.h"
#include "base/os.h"
#include "tilewright/control.h"

static _Atomic bool watched; /* from the first use of the functions at the end on: programs don't pay for counting */
static _Atomic int64_t allocations, alive;
static _Atomic size_t largest;
static _Atomic int64_t fail_at = -1; /* value of `allocations` at which one fails; -1: never */

static bool watching(void)
{
    return atomic_load_explicit(&watched, memory_order_relaxed);
}

static bool refused(size_t bytes)
{
    if (!watching())
        return false;
    int64_t mine = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    size_t most = atomic_load_explicit(&largest, memory_order_relaxed);
    while (bytes > most && !atomic_compare_exchange_weak(&largest, &most, bytes))
        ;
    if (mine != atomic_load_explicit(&fail_at, memory_order_relaxed))
        return false;
    atomic_store(&fail_at, -1);
    tw_error(TW_ERR_MEMORY, "out of memory: %zu bytes were asked for (injected fault)", bytes);
    return true;
}

static void *checked(void *pointer, size_t bytes)
{
    if (!pointer)
        tw_error(TW_ERR_MEMORY, "out of memory: %zu bytes were asked for", bytes);
    else if (watching())
        atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    return pointer;
}

void *tw_alloc(size_t bytes)
{
    return refused(bytes) ? NULL : checked(malloc(bytes ? bytes : 1), bytes);
}

void *tw_alloc_zero(size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all)) {
        tw_error(TW_ERR_MEMORY, "out of memory: %zu times %zu bytes were asked for", count, bytes);
        return NULL;
    }
    if (refused(all))
        return NULL;
    return checked(calloc(count ? count : 1, bytes ? bytes : 1), all);
}

void *tw_realloc(void *pointer, size_t bytes)
{
    if (!pointer)
        return tw_alloc(bytes);
    void *moved = refused(bytes) ? NULL : realloc(pointer, bytes ? bytes : 1);
    if (!moved)
        tw_error(TW_ERR_MEMORY, "out of memory: %zu bytes were asked for", bytes);
    return moved;
}

void *tw_alloc_aligned(size_t bytes, size_t alignment)
{
    void *pointer = NULL;
    if (refused(bytes))
        return NULL;
    if (bytes >= LARGE_BLOCK && (pointer = tw_block_take(bytes, alignment)))
        return checked(pointer, bytes);
    for (int try = 0; try < 2; try++) {
        if (posix_memalign(&pointer, alignment, bytes ? bytes : 1) == 0) {
            tw_os_prefer_huge_pages(pointer, bytes);
            return checked(pointer, bytes);
        }
        tw_memory_trim();
    }
    return checked(NULL, bytes);
}

void tw_free(void *pointer)
{
    if (pointer && watching())
        atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    size_t bytes = tw_os_block_bytes(pointer);
    if (bytes < LARGE_BLOCK || !tw_block_keep(pointer, bytes))
        free(pointer);
}

char *tw_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tw_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

/* ---- for tests ---- */

void tw_memory_watch(void)
{
    atomic_store(&watched, true);
}

void tw_memory_fail_at(int64_t nth)
{
    tw_memory_watch();
    atomic_store(&fail_at, nth < 0 ? -1 : atomic_load(&allocations) + nth);
}

int64_t tw_memory_allocations(void)
{
    tw_memory_watch();
    return atomic_load(&allocations);
}

size_t tw_memory_largest(void)
{
    tw_memory_watch();
    return atomic_exchange(&largest, 0);
}

int64_t tw_memory_alive(void)
{
    tw_memory_watch();
    return atomic_load(&alive);
}
