/* The pass: all tables of rules, common subexpressions and dead code, again until nothing changes. Each round is
 * linear; views and algebra settle in a few. The bound only guards against two rules that would undo each other. */
#include "simplify/internal.h"

enum { MOST_ROUNDS = 64 };

static tw_status apply(tw_graph **g, const tw_rewrite_rule *rules, int count, bool *changed)
{
    bool now = false;
    TW_TRY(tw_rewrite(g, rules, count, &now));
    *changed |= now;
    return TW_OK;
}

/* The rules that hold for every element-wise operation, entered for each. */
static tw_status apply_pointwise(tw_graph **g, bool *changed)
{
    enum { RULES = 3, MOST_CODES = 256 };
    static const tw_rewrite_rule general[RULES] = {{0, "operation on constants", tw_simplify_fold},
                                                   {0, "operand that repeats a scalar", tw_simplify_scalar_operand},
                                                   {0, "operation on repeated values", tw_simplify_before_expand}};
    tw_rewrite_rule rules[RULES * MOST_CODES];
    int count = 0;
    for (int code = 0; code < (*g)->table->count && count + RULES <= RULES * MOST_CODES; code++) {
        if ((*g)->table->ops[code].class != TW_CLASS_POINTWISE)
            continue;
        for (int i = 0; i < RULES; i++) {
            rules[count] = general[i];
            rules[count++].code = code;
        }
    }
    return apply(g, rules, count, changed);
}

tw_status tw_pass_simplify(tw_graph **g, bool *changed)
{
    const rule_table *tables[] = {&tw_simplify_views, &tw_simplify_algebra, &tw_simplify_reductions};
    for (int round = 0; round < MOST_ROUNDS; round++) {
        bool now = false, shared = false, removed = false;
        for (size_t i = 0; i < TW_COUNT(tables); i++)
            TW_TRY(apply(g, tables[i]->rule, tables[i]->count, &now));
        TW_TRY(apply_pointwise(g, &now));
        TW_TRY(tw_pass_cse(g, &shared));
        TW_TRY(tw_pass_dce(g, &removed));
        *changed |= now || shared || removed;
        if (!now && !shared)
            return TW_OK;
    }
    return TW_OK;
}
