/* Passes: the driver, a registry by name, and the two that serve every table: dead code and common subexpressions. */
#include "ir/internal.h"

/* ---- dead code ---- */

static bool sweep(tw_block *block, uint32_t *uses, int input)
{
    bool changed = false;
    for (tw_op *op = block->last, *before; op; op = before) {
        before = op->prev;
        for (uint32_t i = 0; i < op->regions; i++)
            changed |= sweep(op->region[i], uses, input);
        bool used = !(op->info->flags & TW_OP_PURE) || op->regions || op->code == input;
        for (uint32_t i = 0; i < op->results && !used; i++)
            used = uses[op->result[i].id] > 0;
        if (used)
            continue;
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i])
                uses[op->operand[i]->id]--;
        tw_op_remove(op);
        changed = true;
    }
    return changed;
}

tw_status tw_pass_dce(tw_graph **g, bool *changed)
{
    tw_arena *a = tw_arena_create(0);
    uint32_t *uses = a ? tw_graph_use_counts(*g, a) : NULL;
    if (uses)
        *changed = sweep((*g)->body, uses, (*g)->table->input);
    tw_arena_destroy(a);
    return uses ? TW_OK : TW_ERR_MEMORY;
}

/* ---- common subexpressions ---- */

typedef struct finder {
    tw_value **same; /* by value id: an equal value that came earlier; NULL: itself */
    tw_map *known;   /* from the hash of an operation to it */
    bool changed, failed;
} finder;

static tw_value *resolve(const finder *f, tw_value *v)
{
    while (v && f->same[v->id])
        v = f->same[v->id];
    return v;
}

static tw_hash hash_of(const tw_op *op)
{
    tw_hash h = tw_key((uint64_t)op->code << 32 | op->operands);
    for (uint32_t i = 0; i < op->operands; i++)
        h = tw_hash_u64(h, op->operand[i] ? op->operand[i]->id + 1 : 0);
    for (int i = 0; i < op->info->attrs; i++) {
        tw_attr_kind kind = op->info->attr_info[i].kind;
        if (kind == TW_ATTR_TEXT) {
            h = tw_hash_bytes(h, op->attr[i].text, strlen(op->attr[i].text));
            continue;
        }
        if (kind != TW_ATTR_DIMS && kind != TW_ATTR_INTS) {
            h = tw_hash_u64(h, (uint64_t)op->attr[i].i);
            continue;
        }
        h = tw_hash_u64(h, (uint64_t)op->attr[i].dims.n);
        for (int j = 0; j < op->attr[i].dims.n; j++)
            h = tw_hash_u64(h, (uint64_t)op->attr[i].dims.v[j]);
    }
    return h;
}

static void share(finder *f, tw_block *block, int input)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            op->operand[i] = resolve(f, op->operand[i]);
        if (op->regions) { /* what a region finds is known inside it only: definitions must dominate uses */
            for (uint32_t i = 0; i < op->regions; i++) {
                finder inner = {f->same, tw_map_create(), false, false};
                if (inner.known)
                    share(&inner, op->region[i], input);
                f->failed |= !inner.known || inner.failed;
                f->changed |= inner.changed;
                tw_map_destroy(inner.known);
            }
            continue;
        }
        if (!(op->info->flags & TW_OP_PURE) || op->code == input || op->results != 1)
            continue;
        tw_hash h = hash_of(op);
        tw_op *twin = tw_map_get(f->known, h);
        if (twin && tw_type_equal(&twin->result[0].type, &op->result[0].type)) {
            f->same[op->result[0].id] = &twin->result[0];
            tw_op_remove(op);
            f->changed = true;
        } else {
            f->failed |= !tw_map_put(f->known, h, op);
        }
    }
}

tw_status tw_pass_cse(tw_graph **g, bool *changed)
{
    finder f = {tw_alloc_zero((*g)->values + 1, sizeof(tw_value *)), tw_map_create(), false, false};
    bool fine = f.same && f.known;
    if (fine)
        share(&f, (*g)->body, (*g)->table->input);
    *changed = f.changed;
    tw_map_destroy(f.known);
    tw_free(f.same);
    return fine && !f.failed ? TW_OK : TW_ERR_MEMORY;
}

/* ---- driver and registry ---- */

static void log_graph(const tw_pass *pass, const tw_graph *g)
{
    if (!tw_log_on(pass->log))
        return;
    tw_text text = {0};
    tw_graph_print(g, &text);
    tw_say(pass->log, "after %s:\n%s", pass->name, tw_text_string(&text));
    tw_text_free(&text);
}

static bool verifying(void)
{
#ifdef NDEBUG
    return tw_env_on("TW_VERIFY");
#else
    return true;
#endif
}

tw_status tw_pass_run_all(const tw_pass *passes, int count, tw_graph **g)
{
    for (int i = 0; i < count; i++) {
        bool changed = false;
        TW_TRY(passes[i].run(g, &changed));
        log_graph(&passes[i], *g);
        tw_status status = changed && verifying() ? tw_graph_verify(*g) : TW_OK;
        if (status != TW_OK) {
            char message[512];
            snprintf(message, sizeof message, "%s", tw_error_message());
            return tw_error(status == TW_ERR_MEMORY ? status : TW_ERR_INTERNAL, "after pass %s: %s", passes[i].name,
                            message);
        }
    }
    return TW_OK;
}

enum { MOST_PASSES = 64 };
static struct {
    tw_pass pass[MOST_PASSES];
    int count;
} registry = {{{"dce", tw_pass_dce, TW_LOG_SIMPLIFY}, {"cse", tw_pass_cse, TW_LOG_SIMPLIFY}}, 2};

void tw_pass_register(const tw_pass *pass)
{
    if (!tw_pass_find(pass->name) && registry.count < MOST_PASSES)
        registry.pass[registry.count++] = *pass;
}

const tw_pass *tw_pass_find(const char *name)
{
    for (int i = 0; i < registry.count; i++)
        if (!strcmp(registry.pass[i].name, name))
            return &registry.pass[i];
    return NULL;
}

const char *tw_pass_names(void)
{
    static _Thread_local char names[MOST_PASSES * 24];
    size_t n = 0;
    names[0] = '\0';
    for (int i = 0; i < registry.count && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", registry.pass[i].name);
    return names;
}
