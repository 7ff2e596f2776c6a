/* Learning-rate schedules: plain functions of the step, so that a resumed run needs no state of theirs. */
#include <math.h>

#include "base/base.h"
#include "tilewright/optim.h"

double tw_schedule_constant(int64_t step, int64_t warmup)
{
    return step < warmup ? (double)(step + 1) / (double)warmup : 1;
}

double tw_schedule_linear(int64_t step, int64_t warmup, int64_t total)
{
    if (step < warmup)
        return tw_schedule_constant(step, warmup);
    return step >= total ? 0 : (double)(total - step) / (double)TW_MAX(total - warmup, 1);
}

double tw_schedule_cosine(int64_t step, int64_t warmup, int64_t total, double least)
{
    if (step < warmup)
        return tw_schedule_constant(step, warmup);
    double done = TW_MIN((double)(step - warmup) / (double)TW_MAX(total - warmup, 1), 1.0);
    return least + (1 - least) * 0.5 * (1 + cos(3.14159265358979323846 * done));
}

double tw_schedule_inverse_sqrt(int64_t step, int64_t warmup)
{
    if (step < warmup)
        return tw_schedule_constant(step, warmup);
    return sqrt((double)TW_MAX(warmup, 1) / (double)(step + 1));
}

double tw_schedule_exponential(int64_t step, double factor)
{
    return pow(factor, (double)step);
}

double tw_schedule_steps(int64_t step, int64_t every, double factor)
{
    return pow(factor, (double)(step / TW_MAX(every, 1)));
}
