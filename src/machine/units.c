/* Units. Bits and bytes are different dimensions on purpose: the slip between them is the commonest in this trade. */
#include "machine/units.h"

#include <math.h>
#include <stdlib.h>

typedef struct unit {
    const char *name;
    tw_dimension dimension;
    double scale; /* of the base unit; the first of a dimension with scale 1 is the base's name */
} unit;

static const unit units[] = {
    {"%", TW_DIM_NONE, 0.01},
    {"s", TW_DIM_TIME, 1},
    {"ms", TW_DIM_TIME, 1e-3},
    {"us", TW_DIM_TIME, 1e-6},
    {"ns", TW_DIM_TIME, 1e-9},
    {"min", TW_DIM_TIME, 60},
    {"h", TW_DIM_TIME, 3600},
    {"days", TW_DIM_TIME, 86400},
    {"years", TW_DIM_TIME, 365.25 * 86400},
    {"B", TW_DIM_BYTES, 1},
    {"kB", TW_DIM_BYTES, 1e3},
    {"MB", TW_DIM_BYTES, 1e6},
    {"GB", TW_DIM_BYTES, 1e9},
    {"TB", TW_DIM_BYTES, 1e12},
    {"KiB", TW_DIM_BYTES, 1024},
    {"MiB", TW_DIM_BYTES, 1048576},
    {"GiB", TW_DIM_BYTES, 1073741824.0},
    {"TiB", TW_DIM_BYTES, 1099511627776.0},
    {"B/s", TW_DIM_BYTE_RATE, 1},
    {"MB/s", TW_DIM_BYTE_RATE, 1e6},
    {"GB/s", TW_DIM_BYTE_RATE, 1e9},
    {"TB/s", TW_DIM_BYTE_RATE, 1e12},
    {"PB/s", TW_DIM_BYTE_RATE, 1e15},
    {"bit/s", TW_DIM_BIT_RATE, 1},
    {"Mbit/s", TW_DIM_BIT_RATE, 1e6},
    {"Gbit/s", TW_DIM_BIT_RATE, 1e9},
    {"Tbit/s", TW_DIM_BIT_RATE, 1e12},
    {"FLOP/s", TW_DIM_FLOP_RATE, 1},
    {"GFLOP/s", TW_DIM_FLOP_RATE, 1e9},
    {"TFLOP/s", TW_DIM_FLOP_RATE, 1e12},
    {"PFLOP/s", TW_DIM_FLOP_RATE, 1e15},
    {"TOP/s", TW_DIM_FLOP_RATE, 1e12},
    {"Hz", TW_DIM_FREQUENCY, 1},
    {"MHz", TW_DIM_FREQUENCY, 1e6},
    {"GHz", TW_DIM_FREQUENCY, 1e9},
    {"W", TW_DIM_POWER, 1},
    {"kW", TW_DIM_POWER, 1e3},
    {"MW", TW_DIM_POWER, 1e6},
    {"J/bit", TW_DIM_ENERGY_BIT, 1},
    {"pJ/bit", TW_DIM_ENERGY_BIT, 1e-12},
    {"J/FLOP", TW_DIM_ENERGY_FLOP, 1},
    {"pJ/FLOP", TW_DIM_ENERGY_FLOP, 1e-12},
    {"mm", TW_DIM_LENGTH, 1},
    {"cm", TW_DIM_LENGTH, 10},
    {"m", TW_DIM_LENGTH, 1000},
    {"mm2", TW_DIM_AREA, 1},
    {"cm2", TW_DIM_AREA, 100},
    {"reticles", TW_DIM_AREA, 26.0 * 33.0},
    {"bit/s/mm", TW_DIM_EDGE_DENSITY, 1},
    {"Gbit/s/mm", TW_DIM_EDGE_DENSITY, 1e9},
    {"Tbit/s/mm", TW_DIM_EDGE_DENSITY, 1e12},
    {"bit/s/mm2", TW_DIM_AREA_DENSITY, 1},
    {"Gbit/s/mm2", TW_DIM_AREA_DENSITY, 1e9},
    {"Tbit/s/mm2", TW_DIM_AREA_DENSITY, 1e12},
    {"/cm2", TW_DIM_DEFECTS, 1},
    {"USD", TW_DIM_MONEY, 1},
    {"kUSD", TW_DIM_MONEY, 1e3},
    {"MUSD", TW_DIM_MONEY, 1e6},
    {"USD/B", TW_DIM_MONEY_BYTE, 1},
    {"USD/GiB", TW_DIM_MONEY_BYTE, 1 / 1073741824.0},
    {"USD/GB", TW_DIM_MONEY_BYTE, 1e-9},
    {"USD/mm2", TW_DIM_MONEY_AREA, 1},
    {"USD/J", TW_DIM_MONEY_ENERGY, 1},
    {"USD/kWh", TW_DIM_MONEY_ENERGY, 1 / 3.6e6},
};

static const struct {
    const char *name, *example;
} dimensions[TW_DIMENSIONS] = {
    [TW_DIM_NONE] = {"a plain number", "0.87 or 87 %"},
    [TW_DIM_TIME] = {"a time", "5 ns"},
    [TW_DIM_BYTES] = {"a size in bytes", "80 GiB"},
    [TW_DIM_BYTE_RATE] = {"a rate in bytes", "3350 GB/s"},
    [TW_DIM_BIT_RATE] = {"a rate in bits", "400 Gbit/s"},
    [TW_DIM_FLOP_RATE] = {"a rate of arithmetic", "989 TFLOP/s"},
    [TW_DIM_FREQUENCY] = {"a frequency", "1830 MHz"},
    [TW_DIM_POWER] = {"a power", "700 W"},
    [TW_DIM_ENERGY_BIT] = {"an energy per bit", "1.3 pJ/bit"},
    [TW_DIM_ENERGY_FLOP] = {"an energy per operation", "0.5 pJ/FLOP"},
    [TW_DIM_LENGTH] = {"a length", "60 mm"},
    [TW_DIM_AREA] = {"an area", "814 mm2"},
    [TW_DIM_EDGE_DENSITY] = {"a rate per die edge", "304 Gbit/s/mm"},
    [TW_DIM_AREA_DENSITY] = {"a rate per area", "169 Gbit/s/mm2"},
    [TW_DIM_DEFECTS] = {"a defect density", "0.1 /cm2"},
    [TW_DIM_MONEY] = {"an amount of money", "25000 USD"},
    [TW_DIM_MONEY_BYTE] = {"a price of memory", "15 USD/GiB"},
    [TW_DIM_MONEY_AREA] = {"a price per area", "0.2 USD/mm2"},
    [TW_DIM_MONEY_ENERGY] = {"a price of energy", "0.08 USD/kWh"},
};

const char *tw_dimension_name(tw_dimension d)
{
    return dimensions[d].name;
}

const char *tw_dimension_example(tw_dimension d)
{
    return dimensions[d].example;
}

static const unit *find_unit(const char *name, size_t length)
{
    for (size_t i = 0; i < TW_COUNT(units); i++)
        if (strlen(units[i].name) == length && !strncmp(units[i].name, name, length))
            return &units[i];
    return NULL;
}

/* The wrong unit, with a hint where bits and bytes were confused. */
static void say_wrong_unit(const char *text, double number, const unit *u, tw_dimension want, char *why, size_t room)
{
    bool bytes_for_bits = u->dimension == TW_DIM_BYTE_RATE && want == TW_DIM_BIT_RATE,
         bits_for_bytes = u->dimension == TW_DIM_BIT_RATE && want == TW_DIM_BYTE_RATE;
    if (bytes_for_bits || bits_for_bytes) {
        char same[48];
        tw_quantity_text(bytes_for_bits ? number * u->scale * 8 : number * u->scale / 8, want, same, sizeof same);
        snprintf(why, room, "'%s' counts %s; expected %s: the same would be %s", text,
                 bytes_for_bits ? "bytes" : "bits", tw_dimension_name(want), same);
        return;
    }
    snprintf(why, room, "'%s' is %s; expected %s such as %s", text, tw_dimension_name(u->dimension),
             tw_dimension_name(want), tw_dimension_example(want));
}

/* One number at *at; moves behind it and the spaces that follow. strtod would also take hexadecimals, "inf" and "nan".
 */
static bool read_number(const char **at, double *number)
{
    const char *c = *at;
    char *end;
    c += *c == '-' || *c == '+';
    if (*c < '0' || *c > '9' || (c[0] == '0' && (c[1] == 'x' || c[1] == 'X')))
        return false;
    *number = strtod(*at, &end);
    if (!isfinite(*number))
        return false;
    while (*end == ' ' || *end == '\t')
        end++;
    *at = end;
    return true;
}

bool tw_quantity_parse(const char *text, tw_dimension dimension, tw_quantity *q, char *why, size_t room)
{
    const char *at = text;
    double low, high, scale = 1;
    if (!read_number(&at, &low)) {
        snprintf(why, room, "'%.60s' does not begin with a number; expected %s such as %s", text,
                 tw_dimension_name(dimension), tw_dimension_example(dimension));
        return false;
    }
    high = low;
    if (!strncmp(at, "to ", 3)) {
        at += 3;
        at += strspn(at, " \t");
        if (!read_number(&at, &high) || high < low) {
            snprintf(why, room, "'%.60s' is no range; expected the lower number, 'to', the higher one and a unit",
                     text);
            return false;
        }
    }
    if (*at) {
        const unit *u = find_unit(at, strlen(at));
        if (!u) {
            snprintf(why, room, "'%.40s' is no unit that is known here; expected %s such as %s", at,
                     tw_dimension_name(dimension), tw_dimension_example(dimension));
            return false;
        }
        if (u->dimension != dimension) {
            say_wrong_unit(text, low, u, dimension, why, room);
            return false;
        }
        scale = u->scale;
    } else if (dimension != TW_DIM_NONE) {
        snprintf(why, room, "'%.60s' has no unit; expected %s such as %s", text, tw_dimension_name(dimension),
                 tw_dimension_example(dimension));
        return false;
    }
    *q = (tw_quantity){(low + high) / 2 * scale, low * scale, high * scale};
    return true;
}

static bool shown(const unit *u) /* units that people read results in */
{
    return strcmp(u->name, "TOP/s") && strcmp(u->name, "reticles") && strcmp(u->name, "min") && strcmp(u->name, "h") &&
           strcmp(u->name, "days") && strcmp(u->name, "years") && strcmp(u->name, "kB") && strcmp(u->name, "MB") &&
           strcmp(u->name, "GB") && strcmp(u->name, "TB") && strcmp(u->name, "cm") && strcmp(u->name, "m") &&
           strcmp(u->name, "cm2") && strcmp(u->name, "USD/B") && strcmp(u->name, "USD/J") &&
           strcmp(u->name, "USD/GB") && strcmp(u->name, "%");
}

const char *tw_quantity_text(double value, tw_dimension dimension, char *out, size_t room)
{
    const unit *best = NULL;
    double size = fabs(value);
    if (isnan(value)) {
        snprintf(out, room, "unknown");
        return out;
    }
    for (size_t i = 0; i < TW_COUNT(units); i++) {
        const unit *u = &units[i];
        if (u->dimension != dimension || !shown(u))
            continue;
        bool fits = size >= u->scale * 0.9995;
        if (!best || (fits && (u->scale > best->scale || size < best->scale * 0.9995)) ||
            (!fits && size < best->scale * 0.9995 && u->scale < best->scale))
            best = u;
    }
    if (dimension == TW_DIM_MONEY) /* 28,780 USD reads better than 28.8 kUSD */
        best = size < 1e6 ? find_unit("USD", 3) : find_unit("MUSD", 4);
    snprintf(out, room, "%.4g%s%s", best ? value / best->scale : value, best ? " " : "", best ? best->name : "");
    if (dimension == TW_DIM_MONEY && size < 1e6)
        snprintf(out, room, size < 100 ? "%.2f USD" : "%.0f USD", value);
    return out;
}
