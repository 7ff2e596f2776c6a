/* Dies to wafers, wafers to dollars: the cost of a chip by its parts, and of a device by its price, its life and its
 * power. */
#include "machine/money.h"

#include <math.h>

double tw_dies_per_wafer(double area, double diameter)
{
    double r = diameter / 2;
    return TW_MAX(0.0, M_PI * r * r / area - M_PI * diameter / sqrt(2 * area));
}

double tw_die_yield(double area, double defects, double clustering)
{
    return pow(1 + area / 100 * defects / clustering, -clustering);
}

/* P(n defects) x P(all of them where they can be switched off), summed over the n that the spare units allow. */
double tw_die_yield_spare(double area, double defects, double clustering, double spare, double repairable)
{
    double mean = area / 100 * defects / clustering, probability = tw_die_yield(area, defects, clustering), sum = 0;
    for (double n = 0; n <= spare && probability > 1e-12; n++) {
        sum += probability * pow(repairable, n);
        probability *= (n + clustering) / (n + 1) * mean / (1 + mean);
    }
    return sum;
}

const tw_economy *tw_library_economy(const tw_library *l)
{
    const tw_description *item = tw_library_find(l, TW_KIND_ECONOMY, "default");
    return (const tw_economy *)(const void *)item;
}

static double known(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

static bool stacked_memory(const tw_chip *c)
{
    return c->memory_stacks > 0 && c->memory && !isnan(c->memory->footprint);
}

const tw_package *tw_chip_carrier(const tw_library *l, const tw_chip *c)
{
    const tw_package *best = NULL;
    bool interposer = stacked_memory(c), wafer = c->die_area > 10 * TW_RETICLE;
    if (c->package)
        return c->package;
    for (int i = 0; i < tw_library_count(l, TW_KIND_PACKAGE); i++) {
        const tw_package *p = (const tw_package *)(const void *)tw_library_at(l, TW_KIND_PACKAGE, i);
        int wanted = wafer ? TW_PACKAGE_WAFER : interposer ? TW_PACKAGE_INTERPOSER : TW_PACKAGE_ORGANIC;
        if (p->kind != wanted || p->item.status == TW_STATUS_HYPOTHESIS)
            continue;
        if (!best || fabs(p->year - c->year) < fabs(best->year - c->year))
            best = p;
    }
    return best;
}

double tw_package_limit(const tw_library *l, double year, bool forecasts)
{
    double most = 0;
    for (int i = 0; i < tw_library_count(l, TW_KIND_PACKAGE); i++) {
        const tw_package *p = (const tw_package *)(const void *)tw_library_at(l, TW_KIND_PACKAGE, i);
        bool counts = forecasts || p->item.status != TW_STATUS_HYPOTHESIS;
        if (p->kind == TW_PACKAGE_INTERPOSER && p->year <= year && counts)
            most = TW_MAX(most, p->limit);
    }
    return most;
}

double tw_package_area(const tw_library *l, const tw_chip *c, double *low, double *high)
{
    const tw_package *p = tw_chip_carrier(l, c);
    double spread = p ? known(p->spread, 1) : 1, dies = known(c->dies, 1) * c->die_area;
    double io = known(c->io_dies, 0) * known(c->io_die_area, 0);
    double stacks = stacked_memory(c) ? c->memory_stacks : 0;
    double footprint = stacks > 0 ? c->memory->footprint : 0;
    double from = stacks > 0 ? c->memory->footprint_low : 0, to = stacks > 0 ? c->memory->footprint_high : 0;
    if (c->layout == TW_LAYOUT_IO_DIE_APART) /* in a package of its own */
        io = 0;
    if (low)
        *low = (dies + io + stacks * from) * spread;
    if (high)
        *high = (dies + io + stacks * to) * spread;
    return (dies + io + stacks * footprint) * spread;
}

static double die_cost(const tw_process *p, double area, double yield)
{
    double side = sqrt(area) + known(p->scribe, 0);
    return p->wafer_price / (tw_dies_per_wafer(side * side, known(p->wafer_diameter, 300)) * yield);
}

static void cost_of_dies(const tw_chip *c, tw_chip_cost *cost)
{
    const tw_process *p = c->process;
    double defects = known(c->defects, p->defects), clustering = known(p->clustering, 3);
    double spare = known((c->units_made - c->units) / known(c->dies, 1), 0),
           side = sqrt(c->die_area) + known(p->scribe, 0);
    cost->die_yield = tw_die_yield_spare(c->die_area, defects, clustering, spare, known(c->repairable, 0.7));
    cost->dies_per_wafer = tw_dies_per_wafer(side * side, known(p->wafer_diameter, 300));
    if (c->die_area > 10 * TW_RETICLE) { /* a wafer is one die, its spare units absorb all defects */
        cost->die_yield = 1;
        cost->dies_per_wafer = 1;
    }
    cost->dies = known(c->dies, 1) * p->wafer_price / (cost->dies_per_wafer * cost->die_yield);
    if (c->io_dies > 0 && !isnan(c->io_die_area))
        cost->io_dies = c->io_dies * die_cost(p, c->io_die_area, tw_die_yield(c->io_die_area, defects, clustering));
}

static void cost_of_package(const tw_library *l, const tw_chip *c, tw_chip_cost *cost)
{
    const tw_package *p = cost->carrier;
    double area = tw_package_area(l, c, NULL, NULL), lost = known(p->defects, 0), sockets = known(c->sockets, 1);
    cost->package_area = area;
    double one = area / sockets;
    cost->package = sockets * (one * known(p->price_area, 0) / tw_die_yield(one, lost, known(p->clustering, 3)) +
                               one * known(p->substrate_price, 0) + known(p->base_price, 0));
}

/* Two dies that meet at one edge are the same mask only when the die mirrors, or is turned by half a circle. */
static double mask_sets(const tw_chip *c)
{
    bool pair = c->layout == TW_LAYOUT_IO_EDGE && c->dies >= 2;
    return (pair && c->mirrored == 0 ? 2 : 1) + (c->io_dies > 0 ? 1 : 0);
}

tw_chip_cost tw_chip_cost_of(const tw_library *l, const tw_chip *c)
{
    const tw_economy *e = tw_library_economy(l);
    tw_chip_cost cost = {.dies = NAN, .die_yield = NAN, .dies_per_wafer = NAN, .carrier = tw_chip_carrier(l, c)};
    if (c->process && !isnan(c->process->wafer_price) && !isnan(c->die_area))
        cost_of_dies(c, &cost);
    cost.memory = c->memory ? c->memory_bytes * c->memory->price : NAN;
    cost.package = NAN;
    if (cost.carrier)
        cost_of_package(l, c, &cost);
    double parts = cost.dies + cost.io_dies + cost.memory + cost.package;
    double joined = known(c->dies, 1) + known(c->io_dies, 0) + (stacked_memory(c) ? c->memory_stacks : 0);
    double yield = e ? known(e->assembly_yield, 1) : 1;
    if (cost.carrier)
        yield *= pow(known(cost.carrier->bond_yield, 1), joined);
    cost.assembly = parts * (1 / yield - 1);
    cost.nre = e ? known(e->nre / e->volume, 0) * mask_sets(c) : 0;
    cost.parts = parts + cost.assembly + cost.nre;
    cost.published = !isnan(c->price);
    cost.price = cost.published ? c->price : e ? cost.parts / (1 - known(e->margin, 0)) : cost.parts;
    return cost;
}

tw_machine_cost tw_machine_cost_of(const tw_library *l, const tw_machine *m)
{
    const tw_economy *e = tw_library_economy(l);
    tw_machine_cost c = {.chip = tw_chip_cost_of(l, m->chip).price, .node = known(m->node_price, 0)};
    if (m->host && !isnan(m->host->price))
        c.host = m->host->price / known(m->chips_per_host, 1);
    c.price = isnan(m->price) ? c.chip + c.host + c.node : m->price;
    double pue = known(m->pue, e ? known(e->pue, 1) : 1);
    c.power = (known(m->chip->tdp, 500) * known(m->power_cap, 1) + known(m->overhead_power, 0)) * pue;
    if (e) {
        c.rent = c.price / (e->life * known(e->utilisation, 1));
        c.electricity = e->electricity * pue;
    }
    return c;
}
