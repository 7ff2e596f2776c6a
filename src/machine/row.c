/* Rows of published measurements: cells to numbers, then to the machine, model and plan that were measured. */
#include "machine/row.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "machine/internal.h"

static const struct {
    const char *column;
    size_t offset;
    bool number;
} columns[] = {
    {"id", offsetof(tw_row, id), false},
    {"kind", offsetof(tw_row, kind), false},
    {"split", offsetof(tw_row, split), false},
    {"hw", offsetof(tw_row, hw), false},
    {"dtype", offsetof(tw_row, dtype), false},
    {"model", offsetof(tw_row, model), false},
    {"shape", offsetof(tw_row, shape), false},
    {"metric", offsetof(tw_row, metric), false},
    {"unit", offsetof(tw_row, unit), false},
    {"metric2", offsetof(tw_row, metric2), false},
    {"note", offsetof(tw_row, note), false},
    {"source", offsetof(tw_row, source), false},
    {"recompute", offsetof(tw_row, recompute), false},
    {"n_dev", offsetof(tw_row, n_dev), true},
    {"node_size", offsetof(tw_row, node_size), true},
    {"nic_gbps_per_dev", offsetof(tw_row, nic_gbps), true},
    {"params_b", offsetof(tw_row, params_b), true},
    {"layers", offsetof(tw_row, layers), true},
    {"hidden", offsetof(tw_row, hidden), true},
    {"ffn", offsetof(tw_row, ffn), true},
    {"heads", offsetof(tw_row, heads), true},
    {"kv_heads", offsetof(tw_row, kv_heads), true},
    {"vocab", offsetof(tw_row, vocab), true},
    {"seq", offsetof(tw_row, seq), true},
    {"gbs", offsetof(tw_row, gbs), true},
    {"mbs", offsetof(tw_row, mbs), true},
    {"tp", offsetof(tw_row, tp), true},
    {"pp", offsetof(tw_row, pp), true},
    {"vpp", offsetof(tw_row, vpp), true},
    {"dp", offsetof(tw_row, dp), true},
    {"cp", offsetof(tw_row, cp), true},
    {"ep", offsetof(tw_row, ep), true},
    {"zero", offsetof(tw_row, zero), true},
    {"seqpar", offsetof(tw_row, seqpar), true},
    {"value", offsetof(tw_row, value), true},
    {"value2", offsetof(tw_row, value2), true},
};

/* A table of plans and iteration times alone, as data/machine/vtrain-single-node.tsv: GPT under full recomputation on
 * one node of A100. */
static tw_status as_plans(const tw_table *t, int row, tw_arena *arena, tw_row *r)
{
    r->id = tw_arena_text(arena, "plans-%d", r->line);
    r->kind = "train";
    r->split = "test";
    r->hw = "A100-SXM-80GB";
    r->dtype = "fp16";
    r->model = "gpt";
    r->metric = "iter_time";
    r->unit = "s";
    r->recompute = "full";
    r->zero = 0;
    r->seqpar = 0;
    r->vpp = 1;
    r->node_size = 8;
    r->value = strtod(tw_table_cell(t, row, tw_table_column(t, "iter_ms")), NULL) * 1e-3;
    return r->id ? TW_OK : TW_ERR_MEMORY;
}

tw_status tw_row_read(const tw_table *t, int row, tw_arena *arena, tw_row *out)
{
    static const char *const needed[] = {"id", "kind", "hw", "metric", "value"};
    bool plans = tw_table_column(t, "iter_ms") >= 0 && tw_table_column(t, "kind") < 0;
    for (size_t i = 0; i < TW_COUNT(needed) && !plans; i++)
        if (tw_table_column(t, needed[i]) < 0)
            return tw_error(TW_ERR_FORMAT, "%s: no column '%s'; expected the columns of data/machine/validation.tsv",
                            t->file, needed[i]);
    *out = (tw_row){.line = t->line[row]};
    for (size_t i = 0; i < TW_COUNT(columns); i++) {
        const char *cell = tw_table_cell(t, row, tw_table_column(t, columns[i].column));
        void *at = (char *)out + columns[i].offset;
        if (!columns[i].number) {
            *(const char **)at = cell;
            continue;
        }
        char *end;
        double value = *cell ? strtod(cell, &end) : NAN;
        if (*cell && (*end || end == cell || !isfinite(value)))
            return tw_error(TW_ERR_FORMAT, "%s:%d: %s is '%.40s'; expected a number or nothing", t->file, out->line,
                            columns[i].column, cell);
        if (value < 0)
            return tw_error(TW_ERR_FORMAT, "%s:%d: %s is %g; expected a number that is not negative", t->file,
                            out->line, columns[i].column, value);
        *(double *)at = value;
    }
    return plans ? as_plans(t, row, arena, out) : TW_OK;
}

bool tw_row_shape_text(const tw_row *r, const char *key, char *out, size_t room)
{
    size_t length = strlen(key);
    for (const char *at = r->shape; *at;) {
        size_t n = strcspn(at, ",");
        if (n > length && !strncmp(at, key, length) && at[length] == '=') {
            snprintf(out, room, "%.*s", (int)(n - length - 1), at + length + 1);
            return true;
        }
        at += n + (at[n] == ',');
    }
    *out = '\0';
    return false;
}

double tw_row_shape(const tw_row *r, const char *key)
{
    char text[64];
    return tw_row_shape_text(r, key, text, sizeof text) ? strtod(text, NULL) : NAN;
}

static double known(double value, double otherwise)
{
    return isnan(value) ? otherwise : value;
}

/* ---- machine ---- */

/* The scale-out link whose port carries `gbps`. */
static const tw_link *scale_out(const tw_library *l, double gbps)
{
    const tw_link *best = NULL;
    for (int i = 0; i < tw_library_count(l, TW_KIND_LINK); i++) {
        const tw_link *k = (const tw_link *)(const void *)tw_library_at(l, TW_KIND_LINK, i);
        if (k->class != TW_LINK_SCALE_OUT || !k->scope || strcmp(k->scope, "port") != 0)
            continue;
        double off = fabs(log(k->bandwidth * 8e-9 / gbps)),
               best_off = best ? fabs(log(best->bandwidth * 8e-9 / gbps)) : INFINITY;
        if (off < best_off - 1e-9)
            best = k;
    }
    return best;
}

static void tier(tw_machine *m, const char *name, double size, int topology, const tw_link *link, double rate)
{
    tw_machine_tier *t = &m->tier[m->tiers++];
    tw_schema_clear(TW_KIND_TIER, t);
    t->item.name = name;
    t->size = size;
    t->topology = topology;
    t->link = link;
    t->rate = rate;
    t->oversubscription = 1;
    t->reduces = link && !isnan(link->achieved_reduced);
    double fec = link ? known(link->fec_latency, 0) : 0;
    t->hop_latency = (link ? known(link->phy_latency, 1e-7) : 1e-7) + fec + 1e-7;
    m->devices *= size;
    t->members = m->devices;
}

tw_status tw_row_machine(const tw_library *l, const tw_row *r, tw_machine *m)
{
    const tw_description *chip;
    TW_TRY(tw_library_need(l, TW_KIND_CHIP, r->hw, &chip));
    tw_schema_clear(TW_KIND_MACHINE, m);
    m->item.name = r->id;
    m->chip = (const tw_chip *)(const void *)chip;
    m->devices = 1;
    double n = known(r->n_dev, 1), node = TW_MIN(n, known(r->node_size, 8));
    if (n > 1e6 || n < 1)
        return tw_error(TW_ERR_VALUE, "%g devices; expected 1 to 1000000", n);
    if (node > 1) {
        double rate = known(m->chip->link_bandwidth, known(m->chip->host_bandwidth, 16e9));
        bool direct = m->chip->link && strstr(m->chip->link->item.name, "xGMI");
        tier(m, "node", node, direct ? TW_TOPOLOGY_ALL_TO_ALL : TW_TOPOLOGY_SWITCH, m->chip->link, rate);
        if (direct) /* a node's links are wired for a full node, whoever takes part */
            m->tier[0].size = known(r->node_size, 8);
        m->devices = node;
        m->tier[0].members = node;
    }
    if (n > node) {
        double gbps = known(r->nic_gbps, 200);
        tier(m, "cluster", ceil(n / node), TW_TOPOLOGY_FAT_TREE, scale_out(l, gbps), gbps * 1e9 / 8);
    }
    m->node_chips = node;
    return TW_OK;
}

/* ---- model ---- */

static void plain(const char *name, char *out, size_t room)
{
    size_t n = 0;
    for (; *name && *name != '('; name++)
        if (!strchr("-_ .", *name) && n + 1 < room)
            out[n++] = (char)tolower((unsigned char)*name);
    out[n] = '\0';
}

static bool near_size(const tw_model *m, double billions, double within)
{
    return isnan(billions) || fabs(log(tw_model_parameters(m) / (billions * 1e9))) < within;
}

/* The model of that name; or the one of that family ("gpt2" is that of gpt2-1.2B) and size; or the family: the longest
 * name in the library that the row's begins with. */
static const tw_model *find_model(const tw_library *l, const char *name, double billions)
{
    char want[128], have[128];
    const tw_description *best = NULL;
    size_t length = 0;
    plain(name, want, sizeof want);
    for (int i = 0; i < tw_library_count(l, TW_KIND_MODEL) && !isnan(billions); i++) {
        const tw_description *m = tw_library_at(l, TW_KIND_MODEL, i);
        size_t n = strlen(name);
        if (!strncasecmp(m->name, name, n) && m->name[n] == '-' &&
            near_size((const tw_model *)(const void *)m, billions, 0.1))
            return (const tw_model *)(const void *)m;
    }
    for (int i = 0; i < tw_library_count(l, TW_KIND_MODEL); i++) {
        const tw_description *m = tw_library_at(l, TW_KIND_MODEL, i);
        plain(m->name, have, sizeof have);
        size_t n = strlen(have);
        if (n > length && !strncmp(want, have, n)) {
            best = m;
            length = n;
        }
    }
    return (const tw_model *)(const void *)best;
}

bool tw_row_known_model(const tw_library *l, const char *name, double billions)
{
    const tw_model *m = find_model(l, name, billions);
    return m && near_size(m, billions, 0.3);
}

static void replace(double *to, double value)
{
    if (!isnan(value))
        *to = value;
}

tw_status tw_row_model(const tw_library *l, const tw_row *r, tw_model *m)
{
    bool sized = !isnan(r->layers) && !isnan(r->hidden);
    const tw_model *family = *r->model ? find_model(l, r->model, sized ? NAN : r->params_b) : NULL;
    char wanted[128], have[128] = "";
    plain(r->model, wanted, sizeof wanted);
    if (family)
        plain(family->item.name, have, sizeof have);
    bool exact = family && !strncmp(wanted, have, strlen(have)) && family->experts > 0;
    if (!family && !sized)
        return tw_error(TW_ERR_VALUE, "model '%s' is not known and the row has no layers and hidden size", r->model);
    if (!family)
        family = find_model(l, "gpt", NAN);
    if (!family)
        return tw_error(TW_ERR_VALUE, "no model describes the family of '%s'", r->model);
    *m = *family;
    m->item.name = *r->model ? r->model : r->id;
    if (!sized && !near_size(m, r->params_b, 0.3))
        return tw_error(TW_ERR_VALUE, "model '%s' of %g billion parameters: its layers and hidden size are not given",
                        r->model, r->params_b);
    if (sized && !exact) {
        double ratio = m->gated ? NAN : 4;
        m->layers = r->layers;
        m->hidden = r->hidden;
        m->heads = known(r->heads, TW_MAX(1.0, round(r->hidden / 128)));
        m->head_dim = m->hidden / m->heads;
        m->value_dim = m->head_dim;
        m->kv_heads = known(r->kv_heads, m->heads);
        m->ffn = known(r->ffn, isnan(ratio) ? round(r->hidden * 8 / 3) : ratio * r->hidden);
        m->expert_ffn = m->ffn;
        m->latent = m->hidden;
        m->attention_layers = m->layers;
        m->ffn_layers = m->layers;
    }
    replace(&m->vocab, r->vocab);
    replace(&m->sequence, r->seq);
    char attention[32];
    if (tw_row_shape_text(r, "attention", attention, sizeof attention))
        m->attention = !strcmp(attention, "none")       ? TW_ATTENTION_EAGER
                       : !strcmp(attention, "standard") ? TW_ATTENTION_STANDARD
                                                        : TW_ATTENTION_FUSED;
    return TW_OK;
}

tw_workload tw_row_workload(const tw_library *l, const tw_row *r, const tw_model *m)
{
    tw_workload w = tw_workload_of(m);
    char text[64];
    if (!tw_peak_parse(r->dtype, &w.type))
        w.type = TW_PEAK_BF16;
    w.sequence = known(r->seq, m->sequence);
    w.batch = known(r->gbs, 1024);
    if (tw_row_shape_text(r, "software", text, sizeof text)) {
        const tw_description *s = tw_library_find(l, TW_KIND_SOFTWARE, text);
        w.software = s ? (const tw_software *)(const void *)s : w.software;
    } else if (tw_row_shape_text(r, "attention", text, sizeof text) && !strncmp(text, "fa", 2)) {
        /* Fused attention came with the software that hides communication. */
        const tw_description *s = tw_library_find(l, TW_KIND_SOFTWARE, "modern");
        w.software = s ? (const tw_software *)(const void *)s : w.software;
    }
    w.power_cap = known(tw_row_shape(r, "power_cap"), strstr(r->note, "power capped") ? 0.5 : 1);
    return w;
}

static int whole(double value)
{
    return isnan(value) ? 0 : (int)TW_MIN(value, 1e9);
}

tw_search_space tw_row_space(const tw_row *r, const tw_model *m)
{
    tw_search_space s = tw_search_everything();
    s.fixed.tensor = whole(r->tp);
    s.fixed.pipeline = whole(r->pp);
    /* Not said: older software did not interleave. */
    bool plain_pipeline = isnan(r->vpp) && !isnan(r->pp) && m->software && !strcmp(m->software->item.name, "classic");
    s.fixed.chunks = plain_pipeline ? 1 : whole(r->vpp);
    s.fixed.data = whole(r->dp);
    s.fixed.context = isnan(r->cp) ? (isnan(r->tp) ? 0 : 1) : whole(r->cp);
    s.fixed.expert = isnan(r->ep) ? (m->experts > 0 ? 0 : 1) : m->experts > 0 ? whole(r->ep) : 1;
    s.fixed.micro_batch = whole(r->mbs);
    s.fixed.zero = isnan(r->zero) ? -1 : (int)r->zero;
    s.fixed.recompute = !strcmp(r->recompute, "full")        ? TW_RECOMPUTE_FULL
                        : !strcmp(r->recompute, "selective") ? TW_RECOMPUTE_SELECTIVE
                        : !strcmp(r->recompute, "none")      ? TW_RECOMPUTE_NONE
                                                             : -1;
    s.fixed.schedule = TW_SCHEDULE_1F1B;
    s.fixed.offload = TW_OFFLOAD_NONE;
    s.sequence_parallel = isnan(r->seqpar) ? -1 : r->seqpar != 0;
    s.devices = known(r->n_dev, 1);
    s.keep = 1;
    return s;
}
