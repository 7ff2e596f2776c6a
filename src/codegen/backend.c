/* Which back ends there are, which one is meant, and who has a kernel. To add one: its table in codegen.h, a line
 * here. */
#include "codegen/codegen.h"

static const tw_backend *const backends[] = {&tw_host_backend, &tw_interpreter_backend};

void tw_backend_names(tw_text *out)
{
    for (size_t i = 0; i < TW_COUNT(backends); i++)
        tw_text_add(out, "%s%s", i ? ", " : "", backends[i]->name);
}

tw_status tw_backend_chosen(const tw_backend **backend)
{
    const char *wanted = tw_env("TW_BACKEND");
    tw_text names = {0};
    for (size_t i = 0; i < TW_COUNT(backends); i++) {
        if (!wanted || !strcmp(wanted, backends[i]->name)) {
            *backend = backends[i];
            return TW_OK;
        }
    }
    tw_backend_names(&names);
    tw_error(TW_ERR_VALUE, "TW_BACKEND is '%.60s'; expected one of: %s", wanted, tw_text_string(&names));
    tw_text_free(&names);
    return TW_ERR_VALUE;
}

/* ---- kernels ---- */

void tw_kernel_init(tw_kernel *kernel, const tw_backend *backend, tw_kernel_fn *run, tw_kernel_scratch_fn *scratch)
{
    kernel->backend = backend;
    kernel->run = run;
    kernel->scratch = scratch;
    atomic_init(&kernel->references, 1);
}

void tw_kernel_retain(tw_kernel *kernel)
{
    atomic_fetch_add(&kernel->references, 1);
}

bool tw_kernel_shared(const tw_kernel *kernel)
{
    return atomic_load(&kernel->references) > 1;
}

void tw_kernel_release(tw_kernel *kernel)
{
    if (kernel && atomic_fetch_sub(&kernel->references, 1) == 1)
        kernel->backend->unload(kernel);
}
