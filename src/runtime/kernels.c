/* Loaded kernels by program: plans share them. A kernel stays loaded until tw_kernels_forget, so that a plan that comes
 * again finds it. */
#include "base/os.h"
#include "runtime/runtime.h"

static tw_os_lock *lock; /* made at start-up */
static tw_map *kernels;

__attribute__((constructor)) static void start(void)
{
    if (tw_os_lock_create(&lock) != TW_OK)
        lock = NULL;
}

static tw_kernel *find(tw_hash key)
{
    tw_os_lock_take(lock);
    tw_kernel *k = kernels ? tw_map_get(kernels, key) : NULL;
    if (k)
        tw_kernel_retain(k);
    tw_os_lock_release(lock);
    return k;
}

/* If another thread was faster, its kernel is the one that counts. */
static void publish(tw_hash key, tw_kernel **kernel)
{
    tw_error_state before;
    tw_error_save(&before);
    tw_os_lock_take(lock);
    if (!kernels)
        kernels = tw_map_create();
    tw_kernel *known = kernels ? tw_map_get(kernels, key) : NULL;
    if (known) {
        tw_kernel_retain(known);
        tw_kernel_release(*kernel);
        *kernel = known;
    } else if (kernels && tw_map_put(kernels, key, *kernel)) {
        tw_kernel_retain(*kernel);
    }
    tw_error_restore(&before); /* without memory for the table it is only not shared */
    tw_os_lock_release(lock);
}

tw_status tw_kernel_get(const tw_graph *program, bool may_compile, tw_kernel **kernel, tw_kernel_origin *origin)
{
    const tw_backend *backend;
    TW_TRY(tw_backend_chosen(&backend));
    tw_hash key;
    if (!lock)
        return tw_error(TW_ERR_MEMORY, "kernels: out of memory at start-up");
    TW_TRY(tw_graph_hash(program, &key));
    key = tw_hash_u64(key, tw_env_on("TW_EXACT")); /* which changes the code */
    key = tw_hash_bytes(key, backend->name, strlen(backend->name));
    *origin = TW_KERNEL_SHARED;
    if ((*kernel = find(key)))
        return TW_OK;
    uint64_t start = tw_os_now_ns();
    if (!may_compile && !backend->load)
        return tw_error(TW_ERR_UNSUPPORTED, "%s: no kernels are kept", backend->name);
    TW_TRY(may_compile ? backend->compile(program, kernel) : backend->load(program, kernel));
    *origin = (*kernel)->from_cache ? TW_KERNEL_FROM_DISK : TW_KERNEL_COMPILED;
    tw_say(TW_LOG_TIMING, "%s in %.1f ms: %s", *origin == TW_KERNEL_COMPILED ? "compiled" : "loaded",
           (double)(tw_os_now_ns() - start) * 1e-6, program->name);
    publish(key, kernel);
    return TW_OK;
}

int64_t tw_kernels_loaded(void)
{
    if (!lock)
        return 0;
    tw_os_lock_take(lock);
    int64_t count = kernels ? (int64_t)tw_map_count(kernels) : 0;
    tw_os_lock_release(lock);
    return count;
}

/* A new table takes what stays. If there is no memory for it, nothing does. */
static void keep(bool used_only, tw_map *kept)
{
    size_t cursor = 0;
    tw_hash key;
    void *kernel;
    while (kernels && tw_map_next(kernels, &cursor, &key, &kernel))
        if (!used_only || !kept || !tw_kernel_shared(kernel) || !tw_map_put(kept, key, kernel))
            tw_kernel_release(kernel);
    tw_map_destroy(kernels);
    kernels = kept;
}

void tw_kernels_forget(void)
{
    if (!lock)
        return;
    tw_os_lock_take(lock);
    keep(false, NULL);
    tw_os_lock_release(lock);
}

void tw_kernels_forget_unused(void)
{
    if (!lock)
        return;
    tw_error_state before;
    tw_error_save(&before);
    tw_os_lock_take(lock);
    keep(true, tw_map_create());
    tw_error_restore(&before);
    tw_os_lock_release(lock);
}
