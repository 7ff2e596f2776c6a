/* How far a result may be from the reference, and whether it is. */
#include <math.h>

#include "ops/reference_internal.h"

/* Elementary functions, as their rows in graph.def promise; everything else rounds correctly. Products, sums and scans:
 * half a unit for each step. */
static const unsigned char promised[] = {
    [TW_G_EXP] = 1,   [TW_G_EXP2] = 1, [TW_G_EXPM1] = 2, [TW_G_LOG] = 1, [TW_G_LOG2] = 2,  [TW_G_LOG1P] = 2,
    [TW_G_RSQRT] = 2, [TW_G_SIN] = 2,  [TW_G_COS] = 2,   [TW_G_TAN] = 4, [TW_G_ASIN] = 4,  [TW_G_ACOS] = 4,
    [TW_G_ATAN] = 4,  [TW_G_TANH] = 4, [TW_G_ERF] = 4,   [TW_G_POW] = 4, [TW_G_ATAN2] = 4,
};

double tw_reference_ulp(int code, tw_dtype dtype)
{
    double units = (size_t)code < TW_COUNT(promised) ? promised[code] : 0;
    if (!tw_dtype_floating(dtype))
        return 0;
    if (units == 0)
        return 0.5;
    return (dtype == TW_F16 || dtype == TW_BF16 ? 1 : units) +
           0.5; /* 16 bits: computed in f32, then rounded; and the reference rounds too */
}

static void format_of(tw_dtype dtype, int *digits, int *lowest_exponent)
{
    *digits = dtype == TW_F16 ? 11 : dtype == TW_BF16 ? 8 : dtype == TW_F32 ? 24 : 53;
    *lowest_exponent = dtype == TW_F16 ? -14 : dtype == TW_F64 ? -1022 : -126;
}

double tw_ulp(double value, tw_dtype dtype)
{
    int digits, lowest, exponent = 0;
    format_of(dtype, &digits, &lowest);
    if (isfinite(value) && value != 0)
        exponent = ilogb(value);
    else if (value == 0)
        exponent = lowest;
    return ldexp(1, TW_MAX(exponent, lowest) - digits + 1);
}

double tw_largest(tw_dtype dtype)
{
    return dtype == TW_F16    ? 65504
           : dtype == TW_F64  ? 0x1.fffffffffffffp1023
           : dtype == TW_BF16 ? 0x1.fep127
                              : 0x1.fffffep127;
}

static bool same_shape(const tw_array *got, const tw_array *want, tw_text *report)
{
    bool same = got->rank == want->rank;
    for (int i = 0; same && i < got->rank; i++)
        same = got->shape[i] == want->shape[i];
    if (!same && report)
        tw_text_add(report, "shapes differ: rank %d, expected rank %d", got->rank, want->rank);
    return same;
}

static void place_text(const tw_array *a, int64_t element, tw_text *report)
{
    int64_t at[TW_MAX_RANK] = {0};
    for (int i = a->rank - 1; i >= 0; i--) {
        at[i] = element % a->shape[i];
        element /= a->shape[i];
    }
    tw_text_add(report, "element [");
    for (int i = 0; i < a->rank; i++)
        tw_text_add(report, "%s%lld", i ? ", " : "", (long long)at[i]);
    tw_text_add(report, "]: ");
}

static bool close_enough(double got, double want, tw_dtype dtype, double ulp, double abs_tol)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (got == want)
        return true;
    if (isinf(got) || isinf(want)) { /* the true value may lie on either side of the largest number */
        double largest = tw_largest(dtype);
        double finite = isinf(got) ? want : got, infinite = isinf(got) ? got : want;
        return !isinf(finite) && (finite > 0) == (infinite > 0) &&
               largest - fabs(finite) < ulp * tw_ulp(largest, dtype);
    }
    return fabs(got - want) <= abs_tol || fabs(got - want) <= ulp * tw_ulp(want, dtype);
}

static bool elements_match(const tw_array *got, const tw_array *want, int64_t e, double ulp, double abs_tol)
{
    const char *p = (const char *)got->data + (size_t)e * tw_dtype_size(got->dtype);
    const char *q = (const char *)want->data + (size_t)e * tw_dtype_size(want->dtype);
    if (!tw_dtype_floating(got->dtype))
        return !memcmp(p, q, tw_dtype_size(got->dtype));
    return close_enough(tw_dtype_load(got->dtype, p), tw_dtype_load(want->dtype, q), got->dtype, ulp, abs_tol);
}

static void first_difference(const tw_array *got, const tw_array *want, int64_t e, tw_text *report)
{
    double x = tw_dtype_load(got->dtype, (const char *)got->data + (size_t)e * tw_dtype_size(got->dtype));
    double y = tw_dtype_load(want->dtype, (const char *)want->data + (size_t)e * tw_dtype_size(want->dtype));
    place_text(got, e, report);
    int digits = got->dtype == TW_F64 ? 17 : tw_dtype_floating(got->dtype) ? 9 : 20;
    tw_text_add(report, "%.*g, expected %.*g", digits, x, digits, y);
    if (tw_dtype_floating(got->dtype) && isfinite(x) && isfinite(y))
        tw_text_add(report, " (%.3g ULP of %s away)", fabs(x - y) / tw_ulp(y, got->dtype), tw_dtype_name(got->dtype));
}

bool tw_array_compare(const tw_array *got, const tw_array *want, double ulp, double abs_tol, tw_text *report)
{
    int64_t count = tw_array_count(got), wrong = 0, first = -1;
    bool comparable = got->dtype == want->dtype || (tw_dtype_floating(got->dtype) && tw_dtype_floating(want->dtype));
    if (!comparable && report)
        tw_text_add(report, "dtypes differ: %s, expected %s", tw_dtype_name(got->dtype), tw_dtype_name(want->dtype));
    if (!comparable || !same_shape(got, want, report))
        return false;
    for (int64_t e = 0; e < count; e++) {
        if (elements_match(got, want, e, ulp, abs_tol))
            continue;
        first = wrong++ ? first : e;
    }
    if (wrong && report) {
        first_difference(got, want, first, report);
        tw_text_add(report, "; %lld of %lld elements differ", (long long)wrong, (long long)count);
    }
    return wrong == 0;
}

/* An infinity stands for the largest number: the true value may lie on either side of it. */
static bool within(double got, double want, tw_dtype dtype, double bound)
{
    if (isinf(bound) || got == want || (isnan(got) && isnan(want)))
        return true;
    if (isnan(got) || isnan(want) || (isinf(got) && isinf(want)))
        return false;
    double g = isinf(got) ? copysign(tw_largest(dtype), got) : got;
    double w = isinf(want) ? copysign(tw_largest(dtype), want) : want;
    return bound > 0 && fabs(g - w) <= bound;
}

bool tw_array_within(const tw_array *got, const tw_array *want, const tw_array *bound, tw_text *report)
{
    int64_t count = tw_array_count(got), wrong = 0, first = -1;
    size_t size = tw_dtype_size(got->dtype);
    if (got->dtype != want->dtype || !same_shape(got, want, report))
        return false;
    for (int64_t e = 0; e < count; e++) {
        double x = tw_dtype_load(got->dtype, (const char *)got->data + (size_t)e * size);
        double y = tw_dtype_load(want->dtype, (const char *)want->data + (size_t)e * size);
        double allowed = ((const double *)bound->data)[e];
        bool same =
            !memcmp((const char *)got->data + (size_t)e * size, (const char *)want->data + (size_t)e * size, size);
        if (same || (tw_dtype_floating(got->dtype) || allowed > 0 ? within(x, y, got->dtype, allowed) : false))
            continue;
        first = wrong++ ? first : e;
    }
    if (wrong && report) {
        first_difference(got, want, first, report);
        tw_text_add(report, ", at most %.3g apart; %lld of %lld elements differ", ((const double *)bound->data)[first],
                    (long long)wrong, (long long)count);
    }
    return wrong == 0;
}

bool tw_array_same_bits(const tw_array *got, const tw_array *want, tw_text *report)
{
    size_t size = tw_dtype_size(got->dtype);
    int64_t count = tw_array_count(got);
    if (got->dtype != want->dtype || !same_shape(got, want, report))
        return false;
    for (int64_t e = 0; e < count; e++) {
        const char *p = (const char *)got->data + (size_t)e * size, *q = (const char *)want->data + (size_t)e * size;
        bool both_nan = tw_dtype_floating(got->dtype) && isnan(tw_dtype_load(got->dtype, p)) &&
                        isnan(tw_dtype_load(want->dtype, q));
        if (!memcmp(p, q, size) || both_nan)
            continue;
        if (report)
            first_difference(got, want, e, report);
        return false;
    }
    return true;
}
