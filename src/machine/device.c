/* What one kernel costs on one chip: the larger of arithmetic (in tiles, in waves) and memory traffic.
 *
 * A product of m x n x k runs as ceil(m / tm) * ceil(n / tn) tiles on `units` units. A tile of inner length k costs as
 * much as k + k_half steps: the pipeline fills and drains once. When there are fewer tiles than units, k is split. The
 * last wave leaves units idle; libraries hide a part of that (stream-k, tiles chosen by shape), `wave` is what they
 * don't. */
#include "machine/cost.h"

#include <math.h>
#include <strings.h>

static const struct {
    const char *name;
    double bytes;
} peaks[TW_PEAKS] = {
    [TW_PEAK_FP64] = {"fp64", 8}, [TW_PEAK_FP32] = {"fp32", 4}, [TW_PEAK_TF32] = {"tf32", 4},
    [TW_PEAK_FP16] = {"fp16", 2}, [TW_PEAK_BF16] = {"bf16", 2}, [TW_PEAK_FP8] = {"fp8", 1},
    [TW_PEAK_FP4] = {"fp4", 0.5}, [TW_PEAK_INT8] = {"int8", 1},
};

const char *tw_peak_name(tw_peak peak)
{
    return (unsigned)peak < TW_PEAKS ? peaks[peak].name : "unknown";
}

double tw_peak_bytes(tw_peak peak)
{
    return peaks[peak].bytes;
}

bool tw_peak_parse(const char *name, tw_peak *peak)
{
    for (int p = 0; p < TW_PEAKS; p++)
        if (!strcasecmp(name, peaks[p].name)) {
            *peak = (tw_peak)p;
            return true;
        }
    if (strstr(name, "fp8")) /* fp8-cs (one scale a tensor), fp8-mx and mxfp8 (one a block) */
        *peak = TW_PEAK_FP8;
    else if (strstr(name, "fp4"))
        *peak = TW_PEAK_FP4;
    else
        return false;
    return true;
}

const char *tw_topology_name(int topology)
{
    static const char *const names[TW_TOPOLOGIES] = {"all-to-all", "switch", "fat-tree", "rail",
                                                     "ring",       "torus",  "dragonfly"};
    return topology >= 0 && topology < TW_TOPOLOGIES ? names[topology] : "unknown";
}

/* A type that the chip has no engine for runs at the next wider one that it has. */
static double peak_of(const tw_chip *c, int type)
{
    static const int wider[TW_PEAKS] = {
        [TW_PEAK_FP64] = -1,           [TW_PEAK_FP32] = TW_PEAK_FP64, [TW_PEAK_TF32] = TW_PEAK_FP32,
        [TW_PEAK_FP16] = TW_PEAK_TF32, [TW_PEAK_BF16] = TW_PEAK_TF32, [TW_PEAK_FP8] = TW_PEAK_BF16,
        [TW_PEAK_FP4] = TW_PEAK_FP8,   [TW_PEAK_INT8] = TW_PEAK_BF16};
    for (int t = type; t >= 0; t = wider[t])
        if (!isnan(c->peak[t]))
            return c->peak[t];
    for (int t = TW_PEAK_FP64; t < TW_PEAKS; t++) /* only wider types are missing: the narrowest that is wide enough */
        if (!isnan(c->peak[t]))
            return c->peak[t];
    return 1e12;
}

static bool has_engine(const tw_chip *c, int type)
{
    return !isnan(c->peak[type]);
}

tw_device tw_device_of(const tw_chip *chip, const tw_fit *fit, double power_cap)
{
    const tw_fit *f = fit ? fit : chip->fit;
    double bandwidth = isnan(chip->memory_bandwidth) ? 1e11 : chip->memory_bandwidth;
    tw_device d = {.chip = chip,
                   .fit = f,
                   .sustained = f->sustained,
                   .clock = power_cap < 1 ? pow(power_cap, f->power_exponent) : 1};
    for (int t = 0; t < TW_PEAKS; t++) {
        bool four = t == TW_PEAK_FP4 && has_engine(chip, TW_PEAK_FP4);
        bool eight = !four && (t == TW_PEAK_FP8 || t == TW_PEAK_FP4 || t == TW_PEAK_INT8) &&
                     has_engine(chip, t == TW_PEAK_FP4 ? TW_PEAK_FP8 : t);
        d.matrix[t] = peak_of(chip, t) * d.clock *
                      (four    ? f->mma_4 * f->sustained_8
                       : eight ? f->mma_8 * f->sustained_8
                               : f->mma_16 * f->sustained);
    }
    d.bandwidth = bandwidth;
    d.stream = bandwidth * f->stream;
    d.norm = bandwidth * f->norm;
    d.softmax = bandwidth * f->softmax;
    d.cache_bytes = isnan(chip->l2) ? 0 : chip->l2;
    d.units = isnan(chip->units) ? 128 : chip->units;
    d.host_speed = chip->host && !isnan(chip->host->speed) ? chip->host->speed : 1;
    return d;
}

tw_device tw_device_cool(const tw_device *d)
{
    tw_device c = *d;
    for (int t = 0; t < TW_PEAKS; t++) {
        bool narrow = t == TW_PEAK_FP8 || t == TW_PEAK_FP4 || t == TW_PEAK_INT8;
        bool engine = has_engine(d->chip, t) || (t == TW_PEAK_FP4 && has_engine(d->chip, TW_PEAK_FP8));
        c.matrix[t] /= narrow && engine ? d->fit->sustained_8 : d->fit->sustained;
    }
    c.sustained = 1;
    return c;
}

/* Data that a kernel left in the last cache level is read from there by the next one. Half of the level is taken to
 * hold something useful; the rest holds what streams through. */
static double memory_time(const tw_device *d, double bytes, double rate)
{
    double cached = bytes > 0 ? TW_MIN(1.0, 0.5 * d->cache_bytes / bytes) : 0;
    return bytes * (1 - cached) / rate + bytes * cached / (rate * d->fit->cache);
}

double tw_pass_time(const tw_device *d, tw_pass_class class, double bytes)
{
    double rate = class == TW_PASS_NORM ? d->norm : class == TW_PASS_SOFTMAX ? d->softmax : d->stream;
    return d->fit->gap + d->fit->ramp + memory_time(d, bytes, rate);
}

/* Rows beyond what the registers of a thread block hold are read a second time. */
double tw_norm_time(const tw_device *d, double rows, double columns, double element)
{
    double passes = columns > 12288 ? 3 : 2;
    return tw_pass_time(d, TW_PASS_NORM, passes * rows * columns * element) + rows * d->fit->row / d->units;
}

/* A row of up to 1024 stays in the registers of one warp; longer ones are read twice. */
double tw_softmax_time(const tw_device *d, double rows, double columns, double element)
{
    double passes = columns > 1024 ? 3 : 2;
    return tw_pass_time(d, TW_PASS_SOFTMAX, passes * rows * columns * element);
}

static const struct {
    short m, n;
    float share; /* of the large tile's rate: less reuse of operands */
} tiles[] = {{256, 128, 1.0f}, {128, 256, 1.0f}, {128, 128, 0.95f}, {128, 64, 0.8f}, {64, 128, 0.8f}, {64, 64, 0.6f}};

static double arithmetic_time(const tw_device *d, double rate, double m, double n, double k, double batch)
{
    double best = INFINITY;
    for (size_t i = 0; i < TW_COUNT(tiles); i++) {
        double tile_count = ceil(m / tiles[i].m) * ceil(n / tiles[i].n) * batch;
        double split =
            tile_count * 2 <= d->units ? TW_MIN(floor(d->units / tile_count), TW_MAX(1.0, floor(k / 256))) : 1;
        double waves = tile_count * split / d->units, whole = ceil(waves);
        waves = waves < 1 ? 1 : waves + d->fit->wave * (whole - waves);
        double unit = rate * (double)tiles[i].share / d->units;
        double tile = 2.0 * tiles[i].m * tiles[i].n * (k / split + d->fit->k_half) / unit;
        best = TW_MIN(best, waves * tile);
    }
    return best;
}

double tw_gemm_time(const tw_device *d, tw_peak type, double m, double n, double k, double batch)
{
    double element = tw_peak_bytes(type), arithmetic = arithmetic_time(d, d->matrix[type], m, n, k, batch);
    double bytes = batch * ((m * k + k * n) * element + m * n * TW_MAX(element, 2.0));
    double memory = bytes / d->stream + d->fit->ramp;
    /* The two overlap but for the ends: a soft maximum. */
    double a = arithmetic, b = memory, high = TW_MAX(a, b), low = TW_MIN(a, b), ratio = low / high;
    return d->fit->gap + high * (1 + 0.25 * ratio * ratio * ratio * ratio);
}

double tw_attention_time(const tw_device *d, tw_peak type, double flops, double head_dim, bool backward)
{
    const tw_fit *f = d->fit;
    double share = backward ? f->attention_backward : f->attention_forward, peak = peak_of(d->chip, TW_PEAK_BF16);
    if (tw_peak_bytes(type) < 2 && !backward && has_engine(d->chip, TW_PEAK_FP8)) {
        peak = d->chip->peak[TW_PEAK_FP8];
        share = f->attention_8;
    }
    /* The softmax between the two products takes as long whatever the head's size. */
    double shape = head_dim / (head_dim + 32) * (128.0 + 32) / 128.0;
    return d->fit->gap + d->fit->ramp + flops / (peak * share * shape * d->sustained * d->clock);
}
