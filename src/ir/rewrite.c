/* Rules as data, applied in one walk; see ir.h. */
#include "ir/internal.h"

typedef struct forwarding {
    tw_value **to; /* by value id; NULL: itself */
    uint32_t room;
} forwarding;

static tw_value *resolve(const forwarding *f, tw_value *v)
{
    while (v && v->id < f->room && f->to[v->id])
        v = f->to[v->id];
    return v;
}

static bool make_room(forwarding *f, uint32_t values)
{
    if (values <= f->room)
        return true;
    uint32_t room = TW_MAX(values + 64, 2 * f->room);
    tw_value **grown = tw_realloc(f->to, room * sizeof *grown);
    if (!grown)
        return false;
    memset(grown + f->room, 0, (room - f->room) * sizeof *grown);
    *f = (forwarding){grown, room};
    return true;
}

static tw_status rewrite_block(tw_graph *g, tw_block *block, const tw_rewrite_rule *rules, int count, forwarding *f,
                               bool *changed)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            op->operand[i] = resolve(f, op->operand[i]);
        for (uint32_t i = 0; i < op->regions; i++)
            TW_TRY(rewrite_block(g, op->region[i], rules, count, f, changed));
        for (int r = 0; r < count && op->results == 1; r++) {
            tw_value *replacement = NULL;
            if (rules[r].code != op->code)
                continue;
            tw_graph_insert_before(g, op);
            tw_error_clear();
            if (!rules[r].apply(g, op, &replacement)) {
                if (tw_error_code() != TW_OK)
                    return tw_error_code();
                continue;
            }
            if (!replacement || !make_room(f, g->values))
                return tw_error_code() ? tw_error_code() : TW_ERR_MEMORY;
            f->to[op->result[0].id] = replacement;
            tw_say(TW_LOG_SIMPLIFY, "%s at %%%u", rules[r].name, op->result[0].id);
            tw_op_remove(op);
            *changed = true;
            break;
        }
    }
    return TW_OK;
}

tw_status tw_rewrite(tw_graph **g, const tw_rewrite_rule *rules, int count, bool *changed)
{
    forwarding f = {0};
    *changed = false;
    tw_status status =
        make_room(&f, (*g)->values) ? rewrite_block(*g, (*g)->body, rules, count, &f, changed) : TW_ERR_MEMORY;
    tw_graph_insert_at_end(*g, (*g)->body);
    tw_free(f.to);
    return status;
}
