/* Energy of a step: every operation, every byte of memory, every bit over a link, and what runs whether or not there is
 * work. The sum is capped by the chips' design power. */
#include <math.h>

#include "machine/internal.h"

static double or (double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

double tw_idle_energy(const tw_planner *p, double time, double devices, double overhead)
{
    double tdp = or (p->machine->chip->tdp, 500);
    return devices * time * (tdp * p->device.fit->idle_power + overhead);
}

double tw_step_energy(const tw_planner *p, const tw_step *step, double devices, double overhead)
{
    const tw_chip *c = p->machine->chip;
    double tdp = or (c->tdp, 500);
    double per_byte = 8 * (c->memory ? or (c->memory->energy, 4e-12) : 4e-12);
    double busy = TW_MIN(1.0, (step->gemm + step->attention) / TW_MAX(step->time, 1e-12));
    /* What the matrix engine draws at full rate is what the data sheet's power leaves for it. */
    double engine =
        TW_MAX(0.0, tdp * (1 - p->device.fit->idle_power) - p->device.stream * per_byte * 0.5) * busy * step->time;
    double memory = step->memory_bytes * per_byte, links = 0;
    for (int t = 0; t < p->machine->tiers; t++)
        links += step->link_bytes[t] * 8 *
                 (p->machine->tier[t].link ? or (p->machine->tier[t].link->energy, 10e-12) : 10e-12);
    double chip = TW_MIN(tdp * step->time, engine + memory + links + tdp * p->device.fit->idle_power * step->time);
    return devices * (chip + overhead * step->time);
}
