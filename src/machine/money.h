/* What chips and machines cost to make and to run. Areas are mm2, money is USD, power W. */
#ifndef TW_MACHINE_MONEY_H
#define TW_MACHINE_MONEY_H

#include "machine/library.h"

enum { TW_RETICLE = 858 }; /* mm2: 26 x 33, what one exposure can draw */

/* Round wafer of `diameter` mm: pi r^2 / A less the ring of dies that the edge cuts. */
double tw_dies_per_wafer(double area, double diameter);
/* Negative binomial: (1 + A D / clustering)^-clustering, D in defects a cm2. */
double tw_die_yield(double area, double defects, double clustering);
/* The same when `spare` units may be broken: defects on the `repairable` share of the die cost one unit each. */
double tw_die_yield_spare(double area, double defects, double clustering, double spare, double repairable);

/* One chip. What nothing is known of is NaN, and so are the sums it enters. */
typedef struct tw_chip_cost {
    double dies_per_wafer, die_yield;
    double dies, io_dies, memory, package; /* the parts */
    double package_area;
    double assembly; /* what is lost with packages that fail */
    double nre;      /* share of design and masks */
    double parts;    /* all of it */
    double price;    /* as published, or parts and the seller's margin */
    bool published;
    const tw_package *carrier;
} tw_chip_cost;
tw_chip_cost tw_chip_cost_of(const tw_library *l, const tw_chip *chip);

/* Dies, stacks and gaps between them; low and high where stacks are known as a range. */
double tw_package_area(const tw_library *l, const tw_chip *chip, double *low, double *high);
const tw_package *tw_chip_carrier(const tw_library *l, const tw_chip *chip);
/* Largest package of advanced packaging in a year, mm2; forecasts count where `forecasts`. */
double tw_package_limit(const tw_library *l, double year, bool forecasts);

/* One device with its share of everything around it. */
typedef struct tw_machine_cost {
    double chip, host, node, price; /* price: their sum, or as given */
    double power;                   /* at full load, with its share of host and fans, site overhead included */
    double rent;                    /* USD a device and second: price over its life, without electricity */
    double electricity;             /* USD/J at the meter of the machine, site overhead included */
} tw_machine_cost;
tw_machine_cost tw_machine_cost_of(const tw_library *l, const tw_machine *machine);

const tw_economy *tw_library_economy(const tw_library *l);

#endif
