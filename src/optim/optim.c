/* Optimisers, in the order of operations of PyTorch's. */
#include <math.h>

#include "base/base.h"
#include "tensor/record.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"

static tw_status moments(tw_parameters *p, tw_tensor ***list)
{
    *list = tw_alloc_zero((size_t)p->count + 1, sizeof **list);
    if (!*list)
        return TW_ERR_MEMORY;
    TW_SCOPE {
        for (int i = 0; i < p->count; i++) {
            const tw_tensor *v = p->item[i].value;
            (*list)[i] = tw_keep(tw_zeros(tw_rank(v), tw_shape(v), tw_tensor_dtype(v)));
        }
    }
    for (int i = 0; i < p->count; i++)
        TW_TRY(tw_tensor_status((*list)[i]));
    return TW_OK;
}

static void free_moments(const tw_parameters *p, tw_tensor **list)
{
    for (int i = 0; list && i < p->count; i++)
        tw_release(list[i]);
    tw_free(list);
}

tw_status tw_adamw_init(tw_adamw *o, tw_parameters *parameters, double lr)
{
    *o = (tw_adamw){.parameters = parameters, .lr = lr, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    tw_status status = moments(parameters, &o->m);
    if (status == TW_OK)
        status = moments(parameters, &o->v);
    if (status != TW_OK)
        tw_adamw_free(o);
    return status;
}

void tw_adamw_free(tw_adamw *o)
{
    free_moments(o->parameters, o->m);
    free_moments(o->parameters, o->v);
    o->m = o->v = NULL;
}

/* p = p (1 - lr wd);  m += (g - m)(1 - b1);  v = v b2 + g g (1 - b2);  p -= step_size * m / (sqrt(v) / sqrt(1 - b2^t) +
 * eps) */
static tw_status update(const tw_adamw *o, int i, tw_tensor *decay, tw_tensor *step_size, tw_tensor *correction)
{
    tw_tensor *p = o->parameters->item[i].value, *g = tw_grad_of(p), *m = o->m[i], *v = o->v[i];
    tw_dtype t = tw_tensor_dtype(p);
    tw_tensor *mean = tw_add(m, tw_mul(tw_sub(g, m), tw_scalar(1 - o->beta1, t)));
    tw_tensor *square = tw_add(tw_mul(v, tw_scalar(o->beta2, t)), tw_mul(tw_mul(g, g), tw_scalar(1 - o->beta2, t)));
    tw_tensor *below = tw_add(tw_div(tw_sqrt(square), correction), tw_scalar(o->eps, t));
    tw_tensor *moved = tw_sub(tw_mul(p, decay), tw_mul(step_size, tw_div(mean, below)));
    TW_TRY(tw_assign(m, mean));
    TW_TRY(tw_assign(v, square));
    return tw_assign(p, moved);
}

tw_status tw_adamw_step(tw_adamw *o)
{
    bool grad = tw_set_grad_enabled(false);
    tw_status status = TW_OK;
    o->step++;
    TW_SCOPE {
        double c1 = 1 - pow(o->beta1, (double)o->step), c2 = 1 - pow(o->beta2, (double)o->step);
        tw_tensor *decay = tw_scalar(1 - o->lr * o->weight_decay, TW_F32), *size = tw_scalar(o->lr / c1, TW_F32);
        tw_tensor *correction = tw_scalar(sqrt(c2), TW_F32);
        for (int i = 0; i < o->parameters->count && status == TW_OK; i++)
            if (tw_grad_of(o->parameters->item[i].value))
                status = update(o, i, decay, size, correction);
    }
    tw_set_grad_enabled(grad);
    return status;
}

/* ---- SGD ---- */

tw_status tw_sgd_init(tw_sgd *o, tw_parameters *parameters, double lr, double momentum)
{
    *o = (tw_sgd){.parameters = parameters, .lr = lr, .momentum = momentum};
    tw_status status = moments(parameters, &o->velocity);
    if (status != TW_OK)
        tw_sgd_free(o);
    return status;
}

void tw_sgd_free(tw_sgd *o)
{
    free_moments(o->parameters, o->velocity);
    o->velocity = NULL;
}

tw_status tw_sgd_step(tw_sgd *o)
{
    bool grad = tw_set_grad_enabled(false);
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *lr = tw_scalar(o->lr, TW_F32), *decay = tw_scalar(o->weight_decay, TW_F32),
                  *momentum = tw_scalar(o->momentum, TW_F32);
        for (int i = 0; i < o->parameters->count && status == TW_OK; i++) {
            tw_tensor *p = o->parameters->item[i].value, *g = tw_grad_of(p);
            if (!g)
                continue;
            g = tw_add(g, tw_mul(p, decay));
            tw_tensor *v = tw_add(tw_mul(o->velocity[i], momentum), g);
            status = tw_assign(o->velocity[i], v);
            if (status == TW_OK)
                status = tw_assign(p, tw_sub(p, tw_mul(v, lr)));
        }
    }
    tw_set_grad_enabled(grad);
    return status;
}

/* ---- clipping and schedules ---- */

tw_tensor *tw_clip_grad_norm(tw_parameters *p, double limit)
{
    bool grad = tw_set_grad_enabled(false);
    tw_tensor *sum = tw_scalar(0, TW_F32);
    for (int i = 0; i < p->count; i++) {
        tw_tensor *g = tw_grad_of(p->item[i].value);
        if (g)
            sum = tw_add(sum, tw_sum(tw_square(g), 0, NULL, false));
    }
    tw_tensor *norm = tw_sqrt(sum);
    tw_tensor *factor =
        tw_minimum(tw_div(tw_scalar(limit, TW_F32), tw_add(norm, tw_scalar(1e-6, TW_F32))), tw_scalar(1, TW_F32));
    for (int i = 0; i < p->count; i++) {
        tw_tensor *g = tw_grad_of(p->item[i].value);
        if (g && tw_mul_(g, factor) != TW_OK)
            norm = tw_tensor_failed(tw_error_code());
    }
    tw_set_grad_enabled(grad);
    return norm;
}

double tw_schedule_linear(int64_t step, int64_t warmup, int64_t total)
{
    if (step < warmup)
        return (double)(step + 1) / (double)warmup;
    return step >= total ? 0 : (double)(total - step) / (double)TW_MAX(total - warmup, 1);
}

double tw_schedule_cosine(int64_t step, int64_t warmup, int64_t total, double least)
{
    if (step < warmup)
        return (double)(step + 1) / (double)warmup;
    double done = TW_MIN((double)(step - warmup) / (double)TW_MAX(total - warmup, 1), 1.0);
    return least + (1 - least) * 0.5 * (1 + cos(3.14159265358979323846 * done));
}
