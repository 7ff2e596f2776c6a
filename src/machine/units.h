/* Numbers with units. Values are kept in one base unit per dimension, said beside each. */
#ifndef TW_MACHINE_UNITS_H
#define TW_MACHINE_UNITS_H

#include "base/base.h"

typedef enum {
    TW_DIM_NONE,         /* a plain number or a percentage, as a fraction of one */
    TW_DIM_TIME,         /* s */
    TW_DIM_BYTES,        /* byte */
    TW_DIM_BYTE_RATE,    /* byte/s */
    TW_DIM_BIT_RATE,     /* bit/s */
    TW_DIM_FLOP_RATE,    /* operation/s */
    TW_DIM_FREQUENCY,    /* Hz */
    TW_DIM_POWER,        /* W */
    TW_DIM_ENERGY_BIT,   /* J/bit */
    TW_DIM_ENERGY_FLOP,  /* J/operation */
    TW_DIM_LENGTH,       /* mm */
    TW_DIM_AREA,         /* mm2 */
    TW_DIM_EDGE_DENSITY, /* bit/s/mm */
    TW_DIM_AREA_DENSITY, /* bit/s/mm2 */
    TW_DIM_DEFECTS,      /* 1/cm2 */
    TW_DIM_MONEY,        /* USD */
    TW_DIM_MONEY_BYTE,   /* USD/byte */
    TW_DIM_MONEY_AREA,   /* USD/mm2 */
    TW_DIM_MONEY_ENERGY, /* USD/J */
    TW_DIMENSIONS
} tw_dimension;

/* A number that may be known as a range only; unknown numbers are NaN. */
typedef struct tw_quantity {
    double value, low, high;
} tw_quantity;

/* Reads "814 mm2", "25000 to 30000 USD", "62.5 %", "12" (TW_DIM_NONE). On failure `why` (room bytes) says what was
 * given and what was expected, without the place: the caller knows it. */
bool tw_quantity_parse(const char *text, tw_dimension dimension, tw_quantity *quantity, char *why, size_t room);

const char *tw_dimension_name(tw_dimension dimension);    /* "a rate in bytes" */
const char *tw_dimension_example(tw_dimension dimension); /* "3350 GB/s" */

/* The value with the unit that leaves 1 to 999 before the point where there is one: "3.35 TB/s". Into `out`; returns
 * it. */
const char *tw_quantity_text(double value, tw_dimension dimension, char *out, size_t room);

#endif
