/* Optimisers. What changes from step to step (learning rate, bias corrections) are tensors, so that nothing is compiled
 * again. */
#ifndef TILEWRIGHT_OPTIM_H
#define TILEWRIGHT_OPTIM_H

#include "tilewright/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tw_adamw {
    tw_parameters *parameters;
    double lr, beta1, beta2, eps, weight_decay; /* weight_decay 0 is Adam */
    int64_t step;
    tw_tensor **m, **v; /* moments, by parameter */
} tw_adamw;
TW_API tw_status tw_adamw_init(tw_adamw *o, tw_parameters *parameters,
                               double lr);   /* betas 0.9, 0.95, eps 1e-8, weight decay 0.1 */
TW_API tw_status tw_adamw_step(tw_adamw *o); /* parameters without gradient stay */
TW_API void tw_adamw_free(tw_adamw *o);

typedef struct tw_sgd {
    tw_parameters *parameters;
    double lr, momentum, weight_decay;
    tw_tensor **velocity;
} tw_sgd;
TW_API tw_status tw_sgd_init(tw_sgd *o, tw_parameters *parameters, double lr, double momentum);
TW_API tw_status tw_sgd_step(tw_sgd *o);
TW_API void tw_sgd_free(tw_sgd *o);

/* Scales all gradients so that their joint 2-norm is at most `limit`; returns the norm before (a tensor of rank 0). */
TW_API tw_tensor *tw_clip_grad_norm(tw_parameters *parameters, double limit);

/* Learning-rate schedules: the factor at step `step` of `total`, after `warmup` steps of linear growth. */
TW_API double tw_schedule_linear(int64_t step, int64_t warmup, int64_t total);
TW_API double tw_schedule_cosine(int64_t step, int64_t warmup, int64_t total, double least);

#ifdef __cplusplus
}
#endif
#endif
