/* Why kernels end where they end: for each value that one launch writes and another reads, what kept the reader out of
 * the writer's kernel. Grouping noted its refusals; here they become sentences. */
#include "schedule/internal.h"

static const char *space_text(const scheduler *s, const group *k, char *text, size_t room)
{
    const value_facts *d = k->dot ? facts_of(s, &k->dot->result[0]) : NULL;
    int rank = k->dot ? k->dot->result[0].type.rank : 0;
    long long a = (long long)k->a, r = (long long)k->r, b = (long long)k->b;
    switch (k->kind) {
    case GROUP_FLAT:
        snprintf(text, room, "%lld elements", a);
        break;
    case GROUP_ROWS:
        snprintf(text, room, "%lld rows of %lld", a, r);
        break;
    case GROUP_COLUMNS:
        snprintf(text, room, "%lld columns of %lld", a * b, r);
        break;
    case GROUP_DOT:
    case GROUP_PANEL:
        snprintf(text, room, "%s of %lld x [%lld, %lld]", k->kind == GROUP_DOT ? "a product" : "panels for products", a,
                 (long long)d->shape[rank - 2], (long long)d->shape[rank - 1]);
        break;
    case GROUP_SCAN:
    case GROUP_SCATTER:
        snprintf(text, room, "%s", k->kind == GROUP_SCAN ? "a scan" : "a scatter");
        break;
    }
    return text;
}

/* `v` did not join group `from`. */
static const char *sentence(const scheduler *s, tw_arena *arena, const refusal *r, const group *to)
{
    char first[96], second[96];
    const char *name = r->v->def->info->name;
    const group *from = s->groups[r->group];
    switch (r->why) {
    case NOT_ROOM:
        return tw_arena_text(arena, "%s: the kernel has %d results and reads %d values already", name, from->values,
                             from->loads);
    case NOT_ALONE:
        return tw_arena_text(arena, "%s: scans and scatters run in kernels of their own", name);
    case NOT_SPACE:
        if (from->kind == GROUP_DOT && to->kind == GROUP_DOT)
            return tw_arena_text(arena, "%s: belongs to another product; a kernel holds one", name);
        return tw_arena_text(arena, "%s: they loop over different things: %s, then %s", name,
                             space_text(s, from, first, sizeof first), space_text(s, to, second, sizeof second));
    case NOT_PANEL:
        return tw_arena_text(arena, "%s: a product on another attention panel", name);
    case NOT_EPILOGUE:
        return tw_arena_text(arena, "%s: only work on the product's own elements may follow it in its kernel", name);
    case NOT_ELEMENT:
        return tw_arena_text(arena, "%s: needs elements that the kernel computes at another time: %s, then %s", name,
                             space_text(s, from, first, sizeof first), space_text(s, to, second, sizeof second));
    case NOT_CIRCLE:
        return tw_arena_text(arena, "%s: a third kernel lies between; joined, they would need each other", name);
    case NOT_RELATED:
        return tw_arena_text(arena, "%s: uses nothing at the element where the kernel is", name);
    case JOINED:
        break;
    }
    return NULL;
}

static const char *reason_of(const scheduler *s, tw_arena *arena, int from, int to)
{
    if (s->options.no_fusion)
        return "fusion is off";
    for (int i = 0; i < s->refusal_count; i++) /* what opened the group decides; later members followed it */
        if (s->refusals[i].group == from && facts_of(s, s->refusals[i].v)->group == to)
            return sentence(s, arena, &s->refusals[i], s->groups[to]);
    return tw_arena_text(arena, "%s joined another kernel that it shares more with",
                         s->groups[to]->value[0]->def->info->name);
}

tw_status tw_schedule_boundaries(scheduler *s, tw_plan *plan, const int *order)
{
    int *launch_of = tw_arena_alloc(s->arena, ((size_t)s->group_count + 1) * sizeof *launch_of), room = 0;
    for (int l = 0; l < plan->launches; l++)
        room += plan->launch[l].reads;
    plan->boundary = tw_arena_alloc(plan->arena, ((size_t)room + 1) * sizeof *plan->boundary);
    if (!launch_of || !plan->boundary)
        return TW_ERR_MEMORY;
    for (int l = 0; l < plan->launches; l++)
        launch_of[order[l]] = l;
    for (int l = 0; l < plan->launches; l++) {
        for (int j = 0; j < plan->launch[l].reads; j++) {
            uint32_t value = plan->slot[plan->launch[l].slot[j]].value;
            int from = s->facts[value].group;
            if (from < 0 || from == order[l])
                continue;
            const char *reason = reason_of(s, plan->arena, from, order[l]);
            if (!reason)
                return TW_ERR_MEMORY;
            plan->boundary[plan->boundaries++] = (tw_plan_boundary){launch_of[from], l, value, reason};
        }
    }
    return TW_OK;
}
