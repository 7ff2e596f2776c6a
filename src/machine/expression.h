/* Arithmetic over descriptions: "link.NVLink4.lanes * link.NVLink4.lane_rate / 8 / G". What `tw machine eval` computes
 * and the facts of the seed are made of.
 *
 *   numbers    1.5e9   and k, M, G, T, P, GiB, pi, reticle (858 mm2)
 *   paths      chip.H200-SXM-141GB.tdp, in base units (s, byte, bit/s, W, J/bit, mm2, USD)
 *              cost.CHIP.PART with PART dies, io_dies, memory, package, assembly, nre, parts, price, die_yield,
 *              dies_per_wafer, package_area, package_low, package_high
 *              layout.NAME.hbm_edges, .io_edges: sides of the dies that stay free, of two HBM and two IO sides a die
 *              count.KIND: descriptions of that kind
 *   operators  + - * / ^ and < <= > >= == (1 or 0); a '-' in a name is no operator: put spaces around operators
 *   functions  min max sum all sqrt ln log2 exp abs round; dies_per_wafer(area, diameter);
 *              die_yield(area, defects, clustering); die_yield_spare(area, defects, clustering, spare, share);
 *              package_limit(year), package_forecast(year) */
#ifndef TW_MACHINE_EXPRESSION_H
#define TW_MACHINE_EXPRESSION_H

#include "machine/library.h"

/* Paths that the library does not know are asked here. false: not known (no error set). */
typedef bool tw_lookup(const void *data, const char *path, double *value);

/* error: TW_ERR_VALUE with the place in the text. */
tw_status tw_evaluate(const tw_library *l, const char *text, tw_lookup *lookup, const void *data, double *value);

#endif
