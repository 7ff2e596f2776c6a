/* What the interpreter watches: bounds always; races, reads of unwritten memory and NaN on request.
 *
 * Every byte of a buffer has a shadow: who wrote and read it last. Two program instances race when both touch a byte,
 * one writes, and nothing orders them. Only atomic operations on scalars order: such an operation takes over what was
 * released at its address before (acquire), then releases there all that the instance has seen (release). An instance's
 * knowledge is a clock for each other instance: what that one did up to then happened before. */
#include "tile/interpret_internal.h"

enum { MOST_ORDERED = 1 << 16, MOST_SHADOWED = 64 << 20 };

struct order {
    tw_map *released; /* by address: clocks of all instances */
    uint32_t *seen;   /* by instance: of the one that runs */
    int64_t programs;
    tw_arena *arena;
};

const char *tw_tile_finding_name(tw_tile_finding_kind kind)
{
    static const char *const names[] = {"out of bounds", "race", "read of unwritten memory", "NaN"};
    return names[kind];
}

tw_status tw_tile_checks_begin(tw_tile_machine *m)
{
    const tw_tile_run *r = m->run;
    size_t total = 0;
    if (!r->check_races && !r->check_unwritten)
        return TW_OK;
    for (int i = 0; i < r->buffers; i++)
        total += r->buffer[i].bytes;
    if (total > MOST_SHADOWED)
        return tw_error(TW_ERR_UNSUPPORTED, "checks of %zu bytes of arrays, expected at most %d", total, MOST_SHADOWED);
    m->shadow = tw_alloc_zero((size_t)r->buffers + 1, sizeof *m->shadow);
    m->order = tw_alloc_zero(1, sizeof *m->order);
    if (!m->shadow || !m->order)
        return TW_ERR_MEMORY;
    for (int i = 0; i < r->buffers; i++) {
        if (!(m->shadow[i] = tw_alloc_zero(r->buffer[i].bytes + 1, sizeof **m->shadow)))
            return TW_ERR_MEMORY;
        for (size_t b = 0; b < r->buffer[i].bytes; b++)
            m->shadow[i][b].written = r->buffer[i].written;
    }
    m->order->programs = r->grid[0] * r->grid[1] * r->grid[2];
    m->order->arena = tw_arena_create(0);
    m->order->released = tw_map_create();
    m->order->seen =
        tw_alloc_zero((size_t)TW_MIN(m->order->programs, (int64_t)MOST_ORDERED) + 1, sizeof *m->order->seen);
    return m->order->arena && m->order->released && m->order->seen ? TW_OK : TW_ERR_MEMORY;
}

void tw_tile_checks_end(tw_tile_machine *m)
{
    for (int i = 0; m->shadow && i < m->run->buffers; i++)
        tw_free(m->shadow[i]);
    tw_free(m->shadow);
    if (m->order) {
        tw_arena_destroy(m->order->arena);
        tw_map_destroy(m->order->released);
        tw_free(m->order->seen);
    }
    tw_free(m->order);
}

void tw_tile_checks_program(tw_tile_machine *m)
{
    m->clock = 1;
    if (m->order && m->order->programs <= MOST_ORDERED)
        memset(m->order->seen, 0, (size_t)m->order->programs * sizeof *m->order->seen);
}

tw_status tw_tile_synchronise(tw_tile_machine *m, int64_t address)
{
    order *o = m->order;
    if (!o || o->programs > MOST_ORDERED)
        return TW_OK;
    uint32_t *released = tw_map_get(o->released, tw_key((uint64_t)address));
    if (!released) {
        released = tw_arena_zero(o->arena, (size_t)o->programs, sizeof *released);
        if (!released || !tw_map_put(o->released, tw_key((uint64_t)address), released))
            return TW_ERR_MEMORY;
    }
    o->seen[m->linear] = m->clock;
    for (int64_t i = 0; i < o->programs; i++)
        released[i] = o->seen[i] = TW_MAX(o->seen[i], released[i]);
    m->clock++;
    return TW_OK;
}

tw_status tw_tile_found(tw_tile_machine *m, tw_tile_finding_kind kind, const char *format, ...)
{
    tw_tile_finding f = {.kind = kind, .op = m->op, .program = {m->program[0], m->program[1], m->program[2]}};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f.text, sizeof f.text, format, arguments);
    va_end(arguments);
    if (!m->run->found)
        return tw_tile_fail(m, "%s: %s", tw_tile_finding_name(kind), f.text);
    m->run->found(m->run->user, &f);
    return TW_OK;
}

/* Which buffer's part of the address space this is, and where in it. */
static int buffer_of(const tw_tile_machine *m, int64_t address, int64_t *offset)
{
    int64_t index = (address >> ADDRESS_SHIFT) - 1;
    *offset = address & (((int64_t)1 << ADDRESS_SHIFT) - 1);
    if (*offset >= (int64_t)1 << (ADDRESS_SHIFT - 1)) { /* a little before the next buffer */
        *offset -= (int64_t)1 << ADDRESS_SHIFT;
        index++;
    }
    return index >= 0 && index < m->run->buffers ? (int)index : -1;
}

void *tw_tile_at(tw_tile_machine *m, int64_t address, size_t bytes, const char *what, tw_status *status)
{
    int64_t offset;
    int i = buffer_of(m, address, &offset);
    if (i >= 0 && offset >= 0 && (size_t)offset + bytes <= m->run->buffer[i].bytes)
        return (char *)m->run->buffer[i].data + offset;
    if (i < 0)
        *status = tw_tile_found(m, TW_TILE_OUT_OF_BOUNDS, "%s at address %#llx, which belongs to no array", what,
                                (unsigned long long)address);
    else
        *status = tw_tile_found(m, TW_TILE_OUT_OF_BOUNDS, "%s of element %lld of '%s', which has %lld", what,
                                (long long)(offset / (int64_t)bytes), m->run->buffer[i].name,
                                (long long)(m->run->buffer[i].bytes / bytes));
    return NULL;
}

static bool ordered(const tw_tile_machine *m, uint32_t program, uint32_t clock)
{
    return program == (uint32_t)m->linear + 1 ||
           (m->order->programs <= MOST_ORDERED && m->order->seen[program - 1] >= clock);
}

static tw_status race(tw_tile_machine *m, int i, int64_t offset, size_t bytes, bool write, bool other_wrote,
                      uint32_t other)
{
    const int64_t *grid = m->run->grid;
    int64_t p = (int64_t)other - 1;
    return tw_tile_found(
        m, TW_TILE_RACE,
        "'%s' element %lld: program (%lld, %lld, %lld) %s it, program (%lld, %lld, %lld) %s it, nothing orders them",
        m->run->buffer[i].name, (long long)(offset / (int64_t)bytes), (long long)(p % grid[0]),
        (long long)(p / grid[0] % grid[1]), (long long)(p / grid[0] / grid[1]), other_wrote ? "wrote" : "read",
        (long long)m->program[0], (long long)m->program[1], (long long)m->program[2], write ? "writes" : "reads");
}

static tw_status touch_cell(tw_tile_machine *m, int i, int64_t offset, size_t bytes, shadow_cell *cell, bool write,
                            bool atomic)
{
    uint32_t me = (uint32_t)m->linear + 1;
    bool by_write = cell->writer && !ordered(m, cell->writer, cell->write_clock) && !(atomic && cell->atomic_write);
    bool by_read =
        write && cell->reader && !ordered(m, cell->reader, cell->read_clock) && !(atomic && cell->atomic_read);
    if (m->run->check_races && (by_write || by_read))
        TW_TRY(race(m, i, offset, bytes, write, by_write, by_write ? cell->writer : cell->reader));
    if (m->run->check_unwritten && !write && !cell->written)
        TW_TRY(tw_tile_found(m, TW_TILE_UNWRITTEN, "'%s' element %lld was never written", m->run->buffer[i].name,
                             (long long)(offset / (int64_t)bytes)));
    if (write) {
        cell->writer = me;
        cell->write_clock = m->clock;
        cell->atomic_write = atomic;
        cell->written = true;
    } else {
        cell->reader = me;
        cell->read_clock = m->clock;
        cell->atomic_read = atomic;
    }
    return TW_OK;
}

tw_status tw_tile_touch(tw_tile_machine *m, int64_t address, size_t bytes, bool write, bool atomic)
{
    int64_t offset;
    if (!m->shadow)
        return TW_OK;
    int i = buffer_of(m, address, &offset);
    for (size_t b = 0; b < bytes; b++)
        TW_TRY(touch_cell(m, i, offset, bytes, &m->shadow[i][(size_t)offset + b], write, atomic));
    return TW_OK;
}
