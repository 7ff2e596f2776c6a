/* Optimisers. What changes from step to step (learning rate, bias corrections) are tensors, so that nothing is compiled
 * again. */
#ifndef TILEWRIGHT_OPTIM_H
#define TILEWRIGHT_OPTIM_H

#include "tilewright/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An optimiser works on the parameters that were there when it was made; they must live as long. Its fields may be set
 * after init and changed between steps (a schedule sets lr). A step changes each parameter that has a gradient; the
 * others, and their moments and count of steps, stay.
 * error: of memory, or of a gradient that carries one. */

/* AdamW (Loshchilov and Hutter, 2019): weight decay shrinks the parameter itself; coupled: Adam (Kingma and Ba, 2015),
 * weight decay is added to the gradient. With g the gradient and t the step, from 1:
 *     p = p (1 - lr weight_decay)                coupled: g = g + weight_decay p
 *     m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
 *     p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps) */
typedef struct tw_adamw {
    tw_parameters *parameters;
    double lr, beta1, beta2, eps, weight_decay;
    bool coupled;
    int64_t step;       /* taken so far; when moments are loaded, set it */
    int64_t *skipped;   /* by parameter: steps in which it had no gradient, which don't count for its t */
    tw_tensor **m, **v; /* moments, by parameter */
} tw_adamw;
TW_API tw_status tw_adamw_init(tw_adamw *o, tw_parameters *parameters,
                               double lr); /* betas 0.9, 0.95, eps 1e-8, weight decay 0.1 */
TW_API tw_status tw_adam_init(tw_adamw *o, tw_parameters *parameters,
                              double lr); /* coupled; betas 0.9, 0.999, eps 1e-8, no weight decay */
TW_API tw_status tw_adamw_step(tw_adamw *o);
TW_API void tw_adamw_free(tw_adamw *o);

/* Stochastic gradient descent, without dampening (torch.optim.SGD):
 *     g = g + weight_decay p,  v = momentum v + g,  p = p - lr v        nesterov: p = p - lr (g + momentum v) */
typedef struct tw_sgd {
    tw_parameters *parameters;
    double lr, momentum, weight_decay; /* weight_decay 0 and not nesterov after init */
    bool nesterov;
    tw_tensor **velocity;
} tw_sgd;
TW_API tw_status tw_sgd_init(tw_sgd *o, tw_parameters *parameters, double lr, double momentum);
TW_API tw_status tw_sgd_step(tw_sgd *o);
TW_API void tw_sgd_free(tw_sgd *o);

/* Scales all gradients so that their joint 2-norm is at most `limit`; returns the norm before (a tensor of rank 0).
 * torch.nn.utils.clip_grad_norm_: the factor is limit / (norm + 1e-6) where that is below 1. */
TW_API tw_tensor *tw_clip_grad_norm(tw_parameters *parameters, double limit);

/* Limits each element of each gradient to [-limit, limit]. */
TW_API tw_status tw_clip_grad_value(tw_parameters *parameters, double limit);

/* Learning-rate schedules: what to multiply the learning rate by at step `step`, counted from 0. The first `warmup`
 * steps grow linearly, 1/warmup to 1; step `total` and those after it have the last factor. */
TW_API double tw_schedule_constant(int64_t step, int64_t warmup);
TW_API double tw_schedule_linear(int64_t step, int64_t warmup, int64_t total);               /* from 1 to 0 */
TW_API double tw_schedule_cosine(int64_t step, int64_t warmup, int64_t total, double least); /* from 1 to least */
TW_API double tw_schedule_inverse_sqrt(int64_t step, int64_t warmup);        /* sqrt(warmup / (step + 1)) after it */
TW_API double tw_schedule_exponential(int64_t step, double factor);          /* factor^step */
TW_API double tw_schedule_steps(int64_t step, int64_t every, double factor); /* times factor every `every` steps */

#ifdef __cplusplus
}
#endif
#endif
