/* Lines of device_print, and what device_assert looks for. */
#include "tile/say.h"

enum { MOST_PRINTED = 64 };

static int64_t count_of(const tw_type *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}

/* Where element i stands. */
static int64_t at(const tw_type *t, int64_t i, tw_tile_row *row)
{
    int64_t n = t->rank ? t->dims[t->rank - 1] : 1;
    return row ? i / n * row(n) + i % n : i;
}

static void add_element(const tw_type *t, const void *data, int64_t i, bool hex, tw_text *out)
{
    size_t size = t->pointer ? 8 : tw_dtype_size((tw_dtype)t->dtype);
    const char *element = (const char *)data + (size_t)i * size;
    uint64_t bits = 0;
    memcpy(&bits, element, size);
    if (hex)
        tw_text_add(out, "0x%0*llx", (int)size * 2, (unsigned long long)bits);
    else if (t->pointer || (!tw_dtype_floating((tw_dtype)t->dtype) && size == 8))
        tw_text_add(out, t->dtype == TW_U64 ? "%llu" : "%lld", (long long)bits);
    else
        tw_text_add(out, "%.9g", tw_dtype_load((tw_dtype)t->dtype, element));
}

void tw_tile_say_print(const tw_op *op, const int64_t *program, const void *const *data, tw_tile_row *row,
                       tw_text *line)
{
    tw_text_add(line, "pid (%lld, %lld, %lld) %s", (long long)program[0], (long long)program[1], (long long)program[2],
                op->attr[0].text);
    for (uint32_t k = 0; k < op->operands; k++) {
        const tw_type *t = &op->operand[k]->type;
        int64_t count = count_of(t);
        tw_text_add(line, "%s", k ? "; " : ": ");
        for (int64_t i = 0; i < TW_MIN(count, (int64_t)MOST_PRINTED); i++) {
            tw_text_add(line, "%s", i ? " " : "");
            add_element(t, data[k], at(t, i, row), op->attr[1].i != 0, line);
        }
        tw_text_add(line, "%s", count > MOST_PRINTED ? " ..." : "");
    }
}

int64_t tw_tile_broken(const tw_op *op, const void *data, tw_tile_row *row)
{
    const tw_type *t = &op->operand[0]->type;
    for (int64_t i = 0; i < count_of(t); i++)
        if (!((const uint8_t *)data)[at(t, i, row)])
            return i;
    return -1;
}

int tw_tile_statements(const tw_block *block, const tw_op **statement)
{
    int count = 0;
    tw_for_each_op (op, block) {
        if (op->code == TW_T_PRINT || op->code == TW_T_ASSERT) {
            if (statement)
                statement[count] = op;
            count++;
        }
        for (uint32_t i = 0; i < op->regions; i++)
            count += tw_tile_statements(op->region[i], statement ? statement + count : NULL);
    }
    return count;
}
