/* Names become pointers, missing numbers are derived from given ones, and what contradicts itself is refused: a rate
 * that is not lanes times lane rate, a switch with too few ports, a torus whose sides don't multiply to its size. */
#include <math.h>
#include <stdlib.h>

#include "machine/internal.h"

static tw_status wrong(const tw_description *item, const char *key, const char *format, ...) TW_PRINTF(3, 4);
static tw_status wrong(const tw_description *item, const char *key, const char *format, ...)
{
    char why[600];
    const tw_section *s = item->section;
    const tw_entry *e = tw_section_find(s, key);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return tw_error(TW_ERR_FORMAT, "%s:%d: [%s %s] %s: %s", s->file, e ? e->line : s->line, s->kind, s->name, key, why);
}

/* A reference by name; NULL stays NULL. */
static tw_status refer(const tw_library *l, const tw_description *item, const char *key, const char *name,
                       tw_item_kind kind, const void **to)
{
    *to = NULL;
    if (!name)
        return TW_OK;
    *to = tw_library_find(l, kind, name);
    return *to ? TW_OK
               : wrong(item, key, "no %s is called '%.80s'; 'tw machine list %s' names them all",
                       tw_item_kind_name(kind), name, tw_item_kind_name(kind));
}

static bool differs(double a, double b, double share)
{
    return !isnan(a) && !isnan(b) && fabs(a - b) > share * TW_MAX(fabs(a), fabs(b));
}

/* ---- links, memories, switches ---- */

static tw_status check_link(tw_link *k)
{
    double encoding = isnan(k->encoding) ? 0 : k->encoding;
    bool device = k->scope && !strcmp(k->scope, "device");
    double from_lanes = k->lanes * k->lane_rate * (device ? k->links : 1) * (1 - encoding) / 8;
    char given[48], computed[48];
    if (isnan(k->bandwidth))
        k->bandwidth = from_lanes;
    if (differs(k->bandwidth, from_lanes, 0.15))
        return wrong(
            &k->item, "bandwidth",
            "%s, but %g lanes of %.4g Gbit/s%s make %s; is a unit wrong (GB for Gbit), or both directions counted?",
            tw_quantity_text(k->bandwidth, TW_DIM_BYTE_RATE, given, sizeof given), k->lanes, k->lane_rate * 1e-9,
            device ? " in each of its links" : "",
            tw_quantity_text(from_lanes, TW_DIM_BYTE_RATE, computed, sizeof computed));
    return TW_OK;
}

static tw_status check_memory(tw_memory_part *m)
{
    double from_pins = m->pins * m->pin_rate / 8;
    char given[48], computed[48];
    if (isnan(m->bandwidth))
        m->bandwidth = from_pins;
    if (differs(m->bandwidth, from_pins, 0.15))
        return wrong(&m->item, "bandwidth", "%s, but %g pins of %.4g Gbit/s make %s; is a unit wrong (GB for Gbit)?",
                     tw_quantity_text(m->bandwidth, TW_DIM_BYTE_RATE, given, sizeof given), m->pins, m->pin_rate * 1e-9,
                     tw_quantity_text(from_pins, TW_DIM_BYTE_RATE, computed, sizeof computed));
    return TW_OK;
}

static tw_status check_switch(tw_switch *s)
{
    double from_lanes = s->lanes * s->lane_rate;
    if (isnan(s->capacity))
        s->capacity = from_lanes;
    if (differs(s->capacity, from_lanes, 0.15))
        return wrong(&s->item, "capacity", "%.4g Tbit/s, but %g lanes of %.4g Gbit/s make %.4g Tbit/s",
                     s->capacity * 1e-12, s->lanes, s->lane_rate * 1e-9, from_lanes * 1e-12);
    return TW_OK;
}

/* ---- chips ---- */

static tw_status refer_chip(const tw_library *l, tw_chip *c)
{
    TW_TRY(refer(l, &c->item, "process", c->process_name, TW_KIND_PROCESS, (const void **)&c->process));
    TW_TRY(refer(l, &c->item, "memory", c->memory_name, TW_KIND_MEMORY, (const void **)&c->memory));
    TW_TRY(refer(l, &c->item, "link", c->link_name, TW_KIND_LINK, (const void **)&c->link));
    TW_TRY(refer(l, &c->item, "host_link", c->host_link_name, TW_KIND_LINK, (const void **)&c->host_link));
    TW_TRY(refer(l, &c->item, "die_link", c->die_link_name, TW_KIND_LINK, (const void **)&c->die_link));
    TW_TRY(refer(l, &c->item, "package", c->package_name, TW_KIND_PACKAGE, (const void **)&c->package));
    TW_TRY(refer(l, &c->item, "host", c->host_name, TW_KIND_CHIP, (const void **)&c->host));
    if (c->host && c->host->kind != TW_CHIP_CPU)
        return wrong(&c->item, "host", "'%s' is no chip of kind cpu", c->host_name);
    TW_TRY(refer(l, &c->item, "fit", c->fit_name, TW_KIND_FIT, (const void **)&c->fit));
    if (!c->fit)
        c->fit = (const tw_fit *)(const void *)tw_library_find(l, TW_KIND_FIT, "generic");
    return TW_OK;
}

static tw_status check_chip(const tw_library *l, tw_chip *c)
{
    bool any = false;
    TW_TRY(refer_chip(l, c));
    for (int p = 0; p < TW_PEAKS; p++)
        any |= !isnan(c->peak[p]);
    if (!any)
        return wrong(&c->item, "peak_bf16", "no peak is given; expected at least one, such as peak_bf16 = 989 TFLOP/s");
    if (c->memory && isnan(c->memory_bandwidth))
        c->memory_bandwidth = c->memory_stacks * c->memory->bandwidth;
    if (c->memory && isnan(c->memory_bytes))
        c->memory_bytes = c->memory_stacks * c->memory->capacity;
    if (c->memory && c->memory_stacks > 0 && c->memory_bandwidth > 4 * c->memory_stacks * c->memory->bandwidth)
        return wrong(&c->item, "memory_bandwidth",
                     "%.4g GB/s from %g of %s, %.4g GB/s each; is a unit wrong (TB for GB)?",
                     c->memory_bandwidth * 1e-9, c->memory_stacks, c->memory->item.name, c->memory->bandwidth * 1e-9);
    if (c->link && isnan(c->link_bandwidth))
        c->link_bandwidth =
            c->link->scope && !strcmp(c->link->scope, "device")
                ? c->link->bandwidth * (isnan(c->links) || isnan(c->link->links) ? 1 : c->links / c->link->links)
                : c->link->bandwidth * (isnan(c->links) ? 1 : c->links);
    if (c->host_link && isnan(c->host_bandwidth))
        c->host_bandwidth = c->host_link->bandwidth;
    if (!isnan(c->die_area) && c->die_area > 858 && c->package && c->package->kind != TW_PACKAGE_WAFER)
        return wrong(&c->item, "die_area",
                     "%.4g mm2 is more than a reticle (858 mm2); give the number of dies and the area of one, "
                     "or a package of kind wafer",
                     c->die_area);
    return TW_OK;
}

/* ---- tiers ---- */

static tw_status torus_dims(tw_machine_tier *t)
{
    double product = 1;
    const char *at = t->dims_text;
    t->dim_count = 0;
    if (!at) {
        t->dims[t->dim_count++] = t->size;
        return TW_OK;
    }
    while (*at) {
        char *end;
        double side = strtod(at, &end);
        if (end == at || side < 1 || side != floor(side) || t->dim_count == 4 || (*end && *end != 'x'))
            return wrong(&t->item, "dims", "'%.60s'; expected one to four whole numbers with x between, such as 4x4x4",
                         t->dims_text);
        t->dims[t->dim_count++] = side;
        product *= side;
        at = end + (*end == 'x');
    }
    return product == t->size
               ? TW_OK
               : wrong(&t->item, "dims", "%s makes %g, but size is %g; they must agree or it does not connect",
                       t->dims_text, product, t->size);
}

/* Whether enough ports exist. `members`: end points, `ports`: of one switch. */
static tw_status check_ports(const tw_machine_tier *t, double members, double links)
{
    double ports = t->through->ports, switches = isnan(t->switches) ? 1 : t->switches;
    switch (t->topology) {
    case TW_TOPOLOGY_SWITCH:
        if (t->size * links > ports * switches)
            return wrong(&t->item, "switch",
                         "%g devices with %g links each need %g ports, %g x %s have %g: it does not connect; give "
                         "switches = %g or more",
                         t->size, links, t->size * links, switches, t->through->item.name, ports * switches,
                         ceil(t->size * links / ports));
        return TW_OK;
    case TW_TOPOLOGY_RAIL:
        if (t->size > ports * ports / 2)
            return wrong(
                &t->item, "size",
                "a rail of %g nodes needs more than two levels of %s with %g ports (%g at most): it does not connect",
                t->size, t->through->item.name, ports, ports * ports / 2);
        return TW_OK;
    case TW_TOPOLOGY_FAT_TREE:
        if (members > ports * ports * ports / 4)
            return wrong(&t->item, "size",
                         "%g end points; three levels of %s with %g ports join %g at most: it does not connect",
                         members, t->through->item.name, ports, ports * ports * ports / 4);
        return TW_OK;
    case TW_TOPOLOGY_DRAGONFLY: {
        double h = floor((ports + 1) / 4), most = 2 * h * h * (2 * h * h + 1);
        if (members > most)
            return wrong(&t->item, "size",
                         "%g end points; a dragonfly of %s with %g ports joins %g at most: it does not connect",
                         members, t->through->item.name, ports, most);
        return TW_OK;
    }
    default:
        return TW_OK;
    }
}

static tw_status check_tier(const tw_library *l, const tw_machine *m, tw_machine_tier *t, int index)
{
    TW_TRY(refer(l, &t->item, "link", t->link_name, TW_KIND_LINK, (const void **)&t->link));
    TW_TRY(refer(l, &t->item, "switch", t->switch_name, TW_KIND_SWITCH, (const void **)&t->through));
    if (t->topology < 0)
        t->topology = index == 0 ? TW_TOPOLOGY_SWITCH : TW_TOPOLOGY_FAT_TREE;
    if (!t->link && index == 0)
        t->link = m->chip->link;
    if (!t->link && isnan(t->bandwidth) && t->size > 1)
        return wrong(&t->item, "link",
                     "neither a link nor a bandwidth is given; expected a line such as link = NVLink4");
    t->rate = t->bandwidth;
    if (isnan(t->rate) && t->link)
        t->rate = index == 0 && t->link == m->chip->link && !isnan(m->chip->link_bandwidth) ? m->chip->link_bandwidth
                                                                                            : t->link->bandwidth;
    if (isnan(t->rate) && t->size > 1)
        return wrong(&t->item, "bandwidth",
                     "the link %s says no bandwidth; expected a line such as bandwidth = 50 GB/s", t->link->item.name);
    if (t->size <= 1 && isnan(t->rate))
        t->rate = 1e12;
    if (isnan(t->oversubscription))
        t->oversubscription = 1;
    t->hop_latency = t->latency;
    if (isnan(t->hop_latency)) {
        double phy = t->link && !isnan(t->link->phy_latency) ? t->link->phy_latency : 1e-7;
        double fec = t->link && !isnan(t->link->fec_latency) ? t->link->fec_latency : 0;
        double sw = t->through && !isnan(t->through->latency) ? t->through->latency : 0;
        t->hop_latency = phy + fec + sw;
    }
    if (t->topology == TW_TOPOLOGY_TORUS || t->topology == TW_TOPOLOGY_RING)
        TW_TRY(torus_dims(t));
    double links = index == 0 && !isnan(m->chip->links) ? m->chip->links
                   : t->link && !isnan(t->link->links)  ? t->link->links
                                                        : 1;
    if (t->topology == TW_TOPOLOGY_ALL_TO_ALL && t->link && !isnan(t->link->links) && links < t->size - 1)
        return wrong(&t->item, "topology",
                     "%g devices joined all to all need %g links each, %s gives %g: it does not connect; expected a "
                     "switch, or fewer devices",
                     t->size, t->size - 1, t->link->item.name, links);
    if (t->through && !isnan(t->through->ports))
        TW_TRY(check_ports(t, t->members, links));
    if (t->reduces < 0)
        t->reduces = 0;
    return TW_OK;
}

static tw_status check_machine(const tw_library *l, tw_machine *m)
{
    TW_TRY(refer(l, &m->item, "chip", m->chip_name, TW_KIND_CHIP, (const void **)&m->chip));
    TW_TRY(refer(l, &m->item, "host", m->host_name, TW_KIND_CHIP, (const void **)&m->host));
    if (!m->chip)
        return wrong(&m->item, "chip", "missing; expected a line such as chip = H100-SXM-80GB");
    m->devices = 1;
    for (int t = 0; t < m->tiers; t++) {
        m->devices *= m->tier[t].size;
        m->tier[t].members = m->devices;
        if (m->devices > 1e6)
            return wrong(&m->tier[t].item, "size", "the machine would have %g devices; expected at most 1000000",
                         m->devices);
        TW_TRY(check_tier(l, m, &m->tier[t], t));
    }
    m->node_chips = m->tiers ? m->tier[0].size : 1;
    return TW_OK;
}

/* ---- models ---- */

static void default_to(double *number, double value)
{
    if (isnan(*number))
        *number = value;
}

static void default_flag(int *flag, int value)
{
    if (*flag < 0)
        *flag = value;
}

static tw_status check_model(const tw_library *l, tw_model *m)
{
    TW_TRY(refer(l, &m->item, "software", m->software_name, TW_KIND_SOFTWARE, (const void **)&m->software));
    if (!m->software)
        m->software = (const tw_software *)(const void *)tw_library_find(l, TW_KIND_SOFTWARE, "modern");
    if (!m->software)
        return wrong(&m->item, "software", "no [software modern] is described to fall back on");
    if (isnan(m->head_dim) && fmod(m->hidden, m->heads) != 0)
        return wrong(&m->item, "heads", "%g heads don't divide hidden = %g; give head_dim if that is meant", m->heads,
                     m->hidden);
    default_to(&m->kv_heads, m->heads);
    default_to(&m->head_dim, m->hidden / m->heads);
    default_to(&m->ffn, 4 * m->hidden);
    default_to(&m->sequence, 2048);
    default_flag(&m->gated, 0);
    default_flag(&m->tied, 0);
    default_flag(&m->positions, 0);
    default_flag(&m->causal, 1);
    default_flag(&m->bias, 0);
    default_flag(&m->attention, TW_ATTENTION_FUSED);
    default_to(&m->experts, 0);
    default_to(&m->experts_active, m->experts > 0 ? 1 : 0);
    default_to(&m->expert_ffn, m->ffn);
    default_to(&m->shared_ffn, 0);
    default_to(&m->dense_layers, 0);
    default_to(&m->latent, m->hidden);
    default_to(&m->q_rank, 0);
    default_to(&m->kv_rank, 0);
    default_to(&m->rope_dim, 0);
    default_to(&m->value_dim, m->head_dim);
    default_to(&m->attention_layers, m->layers);
    default_to(&m->mixer_layers, 0);
    default_to(&m->ffn_layers, m->layers);
    default_to(&m->mixer_inner, 2 * m->hidden);
    default_to(&m->mixer_state, 128);
    default_to(&m->mixer_heads, m->mixer_inner / 64);
    default_to(&m->mixer_groups, 8);
    default_to(&m->window, 0);
    default_to(&m->window_layers, 0);
    default_to(&m->extra_layers, 0);
    if (fmod(m->heads, m->kv_heads) != 0)
        return wrong(&m->item, "kv_heads", "%g key heads don't divide %g query heads", m->kv_heads, m->heads);
    if (m->experts_active > m->experts)
        return wrong(&m->item, "experts_active", "a token cannot visit %g of %g experts", m->experts_active,
                     m->experts);
    if (m->dense_layers > m->layers || m->attention_layers > m->layers || m->mixer_layers > m->layers ||
        m->ffn_layers > m->layers || m->window_layers > m->layers)
        return wrong(&m->item, "layers", "a part is in more layers than the %g there are", m->layers);
    return TW_OK;
}

/* Peaks that follow from others where a chip does not say: the same engine runs both 16-bit formats. */
static void derive_peaks(tw_chip *c)
{
    double *p = c->peak;
    default_to(&p[TW_PEAK_BF16], p[TW_PEAK_FP16]);
    default_to(&p[TW_PEAK_FP16], p[TW_PEAK_BF16]);
}

static tw_status check_complete(tw_item_kind kind, const tw_description *item)
{
    for (int i = 0; i < tw_schemas[kind].fields; i++) {
        const tw_field *field = &tw_schemas[kind].field[i];
        if (field->type == TW_FIELD_NUMBER &&
            isnan(*(const double *)(const void *)((const char *)item + field->offset)))
            return wrong(item, field->key, "missing; a set of constants has every key, or begins with like = another");
    }
    return TW_OK;
}

tw_status tw_library_resolve(tw_library *l)
{
    tw_library_restore(l);
    for (int i = 0; i < tw_library_count(l, TW_KIND_LINK); i++)
        TW_TRY(check_link((tw_link *)(uintptr_t)tw_library_at(l, TW_KIND_LINK, i)));
    for (int i = 0; i < tw_library_count(l, TW_KIND_MEMORY); i++)
        TW_TRY(check_memory((tw_memory_part *)(uintptr_t)tw_library_at(l, TW_KIND_MEMORY, i)));
    for (int i = 0; i < tw_library_count(l, TW_KIND_SWITCH); i++)
        TW_TRY(check_switch((tw_switch *)(uintptr_t)tw_library_at(l, TW_KIND_SWITCH, i)));
    for (int i = 0; i < tw_library_count(l, TW_KIND_FIT); i++)
        TW_TRY(check_complete(TW_KIND_FIT, tw_library_at(l, TW_KIND_FIT, i)));
    for (int i = 0; i < tw_library_count(l, TW_KIND_SOFTWARE); i++)
        TW_TRY(check_complete(TW_KIND_SOFTWARE, tw_library_at(l, TW_KIND_SOFTWARE, i)));
    for (int i = 0; i < tw_library_count(l, TW_KIND_CHIP); i++) {
        TW_TRY(check_chip(l, (tw_chip *)(uintptr_t)tw_library_at(l, TW_KIND_CHIP, i)));
        derive_peaks((tw_chip *)(uintptr_t)tw_library_at(l, TW_KIND_CHIP, i));
    }
    for (int i = 0; i < tw_library_count(l, TW_KIND_MACHINE); i++)
        TW_TRY(check_machine(l, (tw_machine *)(uintptr_t)tw_library_at(l, TW_KIND_MACHINE, i)));
    for (int i = 0; i < tw_library_count(l, TW_KIND_MODEL); i++)
        TW_TRY(check_model(l, (tw_model *)(uintptr_t)tw_library_at(l, TW_KIND_MODEL, i)));
    return TW_OK;
}
