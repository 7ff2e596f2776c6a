/* Order, batches and memory.
 *
 * Kernels run in an order that respects what they need, as early as they can. Neighbours that don't need each other
 * form a batch, which runs as one launch. A stored value lives from the batch that makes it to the last one that reads
 * it; offsets are chosen first-fit, the largest values first, among those that live at the same time. */
#include <stdlib.h>

#include "schedule/internal.h"

enum { ALIGNMENT = 64 };

/* ---- order ---- */

static bool needs(const scheduler *s, int k, int other)
{
    return s->after[(size_t)k * (size_t)s->words + (size_t)other / 64] >> (other % 64) & 1;
}

/* Groups run as soon as what they load is there, so that memory is given back early: an optimiser's update recorded at
 * the end runs right after its gradient. Among equals, the one recorded first, so that weights are read before they are
 * updated. */
static uint64_t position(const scheduler *s, const group *k)
{
    uint32_t last = 0;
    for (int i = 0; i < k->values; i++)
        last = TW_MAX(last, facts_of(s, k->value[i])->place);
    return (uint64_t)k->ready << 32 | last;
}

tw_status tw_schedule_order(scheduler *s, int *order)
{
    bool *done = tw_arena_zero(s->arena, (size_t)s->group_count + 1, sizeof *done);
    if (!done)
        return TW_ERR_MEMORY;
    for (int n = 0; n < s->group_count; n++) {
        int best = -1;
        for (int k = 0; k < s->group_count; k++) {
            bool ready = !done[k] && (best < 0 || position(s, s->groups[k]) < position(s, s->groups[best]));
            for (int d = 0; ready && d < s->group_count; d++)
                ready = done[d] || d == k || !needs(s, k, d);
            if (ready)
                best = k;
        }
        if (best < 0)
            return tw_error(TW_ERR_INTERNAL, "schedule: kernels need each other in a circle");
        order[n] = best;
        done[best] = true;
    }
    return TW_OK;
}

/* ---- slots ---- */

static int find_slot(tw_plan *plan, int *slot_of, const scheduler *s, const tw_value *v)
{
    const value_facts *f = facts_of(s, v);
    if (slot_of[v->id] >= 0)
        return slot_of[v->id];
    tw_plan_slot *slot = &plan->slot[plan->slots];
    *slot =
        (tw_plan_slot){.kind = TW_SLOT_TEMPORARY, .type = v->type, .first = INT32_MAX, .last = -1, .alias_input = -1};
    slot->value = v->id;
    memcpy(slot->stride, f->stride, sizeof slot->stride);
    slot->bytes = f->count * (int64_t)tw_dtype_size((tw_dtype)v->type.dtype);
    return slot_of[v->id] = plan->slots++;
}

static tw_status make_slots(scheduler *s, tw_plan *plan, int *slot_of)
{
    int inputs = 0, room = 1;
    for (uint32_t i = 0; i < s->values; i++)
        room += s->facts[i].op && s->facts[i].stored;
    plan->slot = tw_arena_zero(plan->arena, (size_t)room, sizeof *plan->slot);
    if (!plan->slot)
        return TW_ERR_MEMORY;
    tw_for_each_op (op, s->g->body) {
        if (op->code == TW_G_INPUT) {
            tw_plan_slot *slot = &plan->slot[find_slot(plan, slot_of, s, &op->result[0])];
            slot->kind = TW_SLOT_INPUT;
            slot->index = inputs++;
        }
        for (uint32_t i = 0; op->code == TW_G_OUTPUT && i < op->operands; i++) {
            tw_plan_slot *slot = &plan->slot[find_slot(plan, slot_of, s, op->operand[i])];
            if (slot->kind != TW_SLOT_TEMPORARY) /* an input or another output: the caller copies */
                return tw_error(TW_ERR_VALUE, "schedule: output %u is an input or an output already", i);
            slot->kind = TW_SLOT_OUTPUT;
            slot->index = (int)i;
        }
    }
    return TW_OK;
}

/* ---- batches ---- */

/* Must launch `later` wait for launch `earlier`: because of values, or because it overwrites an input that the other
 * still reads? */
static bool waits(const scheduler *s, const tw_plan *plan, const int *order, int earlier, int later)
{
    if (needs(s, order[later], order[earlier]))
        return true;
    for (int i = 0; i < plan->launch[later].arguments; i++) {
        const tw_plan_slot *slot = &plan->slot[plan->launch[later].slot[i]];
        for (int j = 0; slot->kind == TW_SLOT_OUTPUT && slot->alias_input >= 0 && j < plan->launch[earlier].arguments;
             j++) {
            const tw_plan_slot *read = &plan->slot[plan->launch[earlier].slot[j]];
            if (read->kind == TW_SLOT_INPUT && read->index == slot->alias_input)
                return true;
        }
    }
    return false;
}

static void make_batches(const scheduler *s, tw_plan *plan, const int *order)
{
    int first = 0;
    plan->batches = 0;
    for (int i = 0; i < plan->launches; i++) {
        bool fits = i > 0;
        for (int j = first; j < i && fits; j++)
            fits = !waits(s, plan, order, j, i);
        if (!fits) {
            first = i;
            plan->batches++;
        }
        plan->launch[i].batch = plan->batches - 1;
    }
}

static void note_lifetimes(tw_plan *plan)
{
    for (int i = 0; i < plan->launches; i++) {
        for (int j = 0; j < plan->launch[i].arguments; j++) {
            tw_plan_slot *slot = &plan->slot[plan->launch[i].slot[j]];
            slot->first = TW_MIN(slot->first, plan->launch[i].batch);
            slot->last = TW_MAX(slot->last, plan->launch[i].batch);
        }
    }
}

/* ---- in place ---- an output may take the memory of the input that it replaces if nobody reads the input later, and
 * if the kernel that writes it either doesn't read the input or reads each element where it writes it */

static bool reads_same_element(scheduler *s, int number, const tw_value *input, const tw_value *output)
{
    frame f;
    trace t;
    const tw_index *at[TW_MAX_RANK];
    group *k = s->groups[number];
    if ((k->kind != GROUP_FLAT && k->kind != GROUP_DOT) || tw_group_frame(s, k, &f) != TW_OK ||
        tw_group_at(s, k, &f, output, at) != TW_OK)
        return false;
    const tw_index *mine = tw_ix_linear(s->arena, output->type.rank, at, facts_of(s, output)->stride);
    bool same = mine != NULL;
    for (int i = 0; i < k->values && same; i++) {
        tw_trace_init(&t, s, &f, number);
        if (tw_group_at(s, k, &f, k->value[i], at) != TW_OK)
            return false;
        tw_trace_value(&t, k->value[i], at, true);
        same = t.status == TW_OK;
        for (int j = 0; j < t.entries && same; j++)
            if (t.entry[j].kind == TRACE_LOAD && t.entry[j].value == input)
                same = tw_ix_equal(t.entry[j].linear, mine);
    }
    return same;
}

static void allow_in_place(scheduler *s, tw_plan *plan, const int *order, const tw_value *const *slot_value)
{
    for (int i = 0; i < plan->slots; i++) {
        tw_plan_slot *out = &plan->slot[i];
        int input = out->kind == TW_SLOT_OUTPUT && s->options.in_place ? s->options.in_place[out->index] : -1;
        if (input < 0)
            continue;
        const tw_value *read = NULL;
        for (int j = 0; j < plan->slots; j++)
            if (plan->slot[j].kind == TW_SLOT_INPUT && plan->slot[j].index == input)
                read = slot_value[j];
        bool written = false, fine = read && facts_of(s, slot_value[i])->count == facts_of(s, read)->count &&
                                     slot_value[i]->type.dtype == read->type.dtype;
        for (int l = 0; l < plan->launches && fine; l++) {
            bool reads = false, writes = false;
            for (int a = 0; a < plan->launch[l].arguments; a++) {
                reads = reads || slot_value[plan->launch[l].slot[a]] == read;
                writes = writes || plan->launch[l].slot[a] == i;
            }
            if (written &&
                reads) /* also another reader of the output itself, which is fine: it reads the new content */
                fine = false;
            if (writes && !written) {
                written = true;
                if (reads)
                    fine = reads_same_element(s, order[l], read, slot_value[i]);
            }
        }
        if (fine)
            out->alias_input = input;
    }
}

/* ---- offsets ---- */

typedef struct by_size {
    int64_t bytes;
    int slot;
} by_size;

static int larger_first(const void *a, const void *b)
{
    const by_size *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->slot - y->slot;
}

static tw_status choose_offsets(const scheduler *s, tw_plan *plan)
{
    by_size *queue = tw_arena_alloc(s->arena, ((size_t)plan->slots + 1) * sizeof *queue);
    int *placed = tw_arena_alloc(s->arena, ((size_t)plan->slots + 1) * sizeof *placed), count = 0, done = 0;
    if (!queue || !placed)
        return TW_ERR_MEMORY;
    for (int i = 0; i < plan->slots; i++)
        if (plan->slot[i].kind == TW_SLOT_TEMPORARY && plan->slot[i].last >= 0)
            queue[count++] = (by_size){plan->slot[i].bytes, i};
    qsort(queue, (size_t)count, sizeof *queue, larger_first);
    for (int q = 0; q < count; q++) {
        tw_plan_slot *mine = &plan->slot[queue[q].slot];
        int64_t offset = 0;
        for (bool moved = true; moved;) { /* first fit: climb over whatever overlaps in time and place */
            moved = false;
            for (int i = 0; i < done; i++) {
                const tw_plan_slot *other = &plan->slot[placed[i]];
                bool together = other->first <= mine->last && mine->first <= other->last;
                int64_t end = (other->offset + other->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
                if (together && offset < end && other->offset < offset + mine->bytes) {
                    offset = end;
                    moved = true;
                }
            }
        }
        mine->offset = offset;
        placed[done++] = queue[q].slot;
        plan->arena_bytes = TW_MAX(plan->arena_bytes, (offset + mine->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    }
    return TW_OK;
}

/* What running one operation after another would hold at its peak: every result until its last user. */
static int64_t separate_peak(const scheduler *s)
{
    int64_t alive = 0, peak = 0;
    int *uses = tw_arena_zero(s->arena, s->values + 1, sizeof *uses);
    if (!uses)
        return -1;
    for (uint32_t i = 0; i < s->values; i++)
        uses[i] = s->facts[i].users;
    tw_for_each_op (op, s->g->body) {
        if (op->code == TW_G_INPUT || op->code == TW_G_OUTPUT)
            continue;
        bool memory = !is_view(op) && op->code != TW_G_FULL && op->code != TW_G_IOTA;
        const value_facts *f = facts_of(s, &op->result[0]);
        alive += memory ? f->count * (int64_t)tw_dtype_size((tw_dtype)op->result[0].type.dtype) : 0;
        peak = TW_MAX(peak, alive);
        for (uint32_t i = 0; i < read_operands(op); i++) {
            const tw_value *v = op->operand[i];
            const tw_op *made = v ? v->def : NULL;
            if (!v || --uses[v->id] > 0 || !made || made->code == TW_G_INPUT || is_view(made) ||
                made->code == TW_G_FULL || made->code == TW_G_IOTA)
                continue;
            alive -= facts_of(s, v)->count * (int64_t)tw_dtype_size((tw_dtype)v->type.dtype);
        }
    }
    return peak;
}

tw_status tw_schedule_memory(scheduler *s, tw_plan *plan, const int *order)
{
    int *slot_of = tw_arena_alloc(s->arena, (s->values + 1) * sizeof *slot_of);
    const tw_value **slot_value = tw_arena_zero(s->arena, s->values + 1, sizeof *slot_value);
    if (!slot_of || !slot_value)
        return TW_ERR_MEMORY;
    for (uint32_t i = 0; i < s->values; i++)
        slot_of[i] = -1;
    TW_TRY(make_slots(s, plan, slot_of));
    for (int i = 0; i < plan->launches; i++)
        for (int j = 0; j < plan->launch[i].arguments; j++)
            plan->launch[i].slot[j] = find_slot(plan, slot_of, s, s->facts[plan->launch[i].slot[j]].op->result);
    for (uint32_t i = 0; i < s->values; i++)
        if (slot_of[i] >= 0)
            slot_value[slot_of[i]] = s->facts[i].op->result;
    allow_in_place(s, plan, order, slot_value);
    make_batches(s, plan, order);
    note_lifetimes(plan);
    plan->peak_bytes_separate = separate_peak(s);
    TW_TRY(tw_schedule_boundaries(s, plan, order));
    return choose_offsets(s, plan);
}
