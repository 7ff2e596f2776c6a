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

static tw_status make_moments(tw_adamw *o)
{
    o->skipped = tw_alloc_zero((size_t)o->parameters->count + 1, sizeof *o->skipped);
    tw_status status = o->skipped ? moments(o->parameters, &o->m) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = moments(o->parameters, &o->v);
    if (status != TW_OK)
        tw_adamw_free(o);
    return status;
}

tw_status tw_adamw_init(tw_adamw *o, tw_parameters *parameters, double lr)
{
    *o = (tw_adamw){.parameters = parameters, .lr = lr, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    return make_moments(o);
}

tw_status tw_adam_init(tw_adamw *o, tw_parameters *parameters, double lr)
{
    *o = (tw_adamw){.parameters = parameters, .lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .coupled = true};
    return make_moments(o);
}

void tw_adamw_free(tw_adamw *o)
{
    free_moments(o->parameters, o->m);
    free_moments(o->parameters, o->v);
    tw_free(o->skipped);
    o->m = o->v = NULL;
    o->skipped = NULL;
}

/* What depends on how many steps a parameter has taken: the same tensors for all that have taken as many. */
typedef struct factors {
    int64_t taken;
    tw_tensor *size, *correction;
} factors;

static void factors_at(const tw_adamw *o, int64_t taken, factors *f)
{
    if (f->taken == taken)
        return;
    double c1 = 1 - pow(o->beta1, (double)taken), c2 = 1 - pow(o->beta2, (double)taken);
    *f = (factors){taken, tw_scalar(o->lr / c1, TW_F32), tw_scalar(sqrt(c2), TW_F32)};
}

static tw_status update(const tw_adamw *o, int i, tw_tensor *decay, const factors *f)
{
    tw_tensor *p = o->parameters->item[i].value, *g = tw_grad_of(p), *m = o->m[i], *v = o->v[i];
    tw_dtype t = tw_tensor_dtype(p);
    if (o->coupled && decay)
        g = tw_add(g, tw_mul(p, decay));
    tw_tensor *mean = tw_add(m, tw_mul(tw_sub(g, m), tw_scalar(1 - o->beta1, t)));
    tw_tensor *square = tw_add(tw_mul(v, tw_scalar(o->beta2, t)), tw_mul(tw_mul(g, g), tw_scalar(1 - o->beta2, t)));
    tw_tensor *below = tw_add(tw_div(tw_sqrt(square), f->correction), tw_scalar(o->eps, t));
    tw_tensor *from = o->coupled ? p : tw_mul(p, decay);
    tw_tensor *moved = tw_sub(from, tw_mul(f->size, tw_div(mean, below)));
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
        factors f = {0};
        tw_tensor *decay = !o->coupled            ? tw_scalar(1 - o->lr * o->weight_decay, TW_F32)
                           : o->weight_decay != 0 ? tw_scalar(o->weight_decay, TW_F32)
                                                  : NULL;
        for (int i = 0; i < o->parameters->count && status == TW_OK; i++) {
            if (!tw_grad_of(o->parameters->item[i].value)) {
                o->skipped[i]++;
                continue;
            }
            factors_at(o, o->step - o->skipped[i], &f);
            status = update(o, i, decay, &f);
        }
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

static tw_status descend(const tw_sgd *o, int i, tw_tensor *lr, tw_tensor *decay, tw_tensor *momentum)
{
    tw_tensor *p = o->parameters->item[i].value, *g = tw_add(tw_grad_of(p), tw_mul(p, decay));
    tw_tensor *v = tw_add(tw_mul(o->velocity[i], momentum), g);
    tw_tensor *along = o->nesterov ? tw_add(g, tw_mul(v, momentum)) : v;
    TW_TRY(tw_assign(o->velocity[i], v));
    return tw_assign(p, tw_sub(p, tw_mul(along, lr)));
}

tw_status tw_sgd_step(tw_sgd *o)
{
    bool grad = tw_set_grad_enabled(false);
    tw_status status = TW_OK;
    TW_SCOPE {
        tw_tensor *lr = tw_scalar(o->lr, TW_F32), *decay = tw_scalar(o->weight_decay, TW_F32),
                  *momentum = tw_scalar(o->momentum, TW_F32);
        for (int i = 0; i < o->parameters->count && status == TW_OK; i++)
            if (tw_grad_of(o->parameters->item[i].value))
                status = descend(o, i, lr, decay, momentum);
    }
    tw_set_grad_enabled(grad);
    return status;
}

/* ---- clipping ---- */

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

tw_status tw_clip_grad_value(tw_parameters *p, double limit)
{
    tw_status status = TW_OK;
    bool grad = tw_set_grad_enabled(false);
    for (int i = 0; i < p->count && status == TW_OK; i++) {
        tw_tensor *g = tw_grad_of(p->item[i].value);
        status = g ? tw_clamp_(g, -limit, limit) : TW_OK;
    }
    tw_set_grad_enabled(grad);
    return status;
}
