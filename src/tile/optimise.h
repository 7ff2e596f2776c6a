/* Passes on tile programs of the tile language, in order. Programs that the scheduler makes don't need them. */
#ifndef TW_TILE_OPTIMISE_H
#define TW_TILE_OPTIMISE_H

#include "tile/tile.h"

/* What a launch knows of its arguments, by argument: of an integer 1 where it is 1; of a pointer 1 + the number of the
 * first pointer with the same address; 0: nothing. */
tw_status tw_tile_specialise(tw_graph *g, const uint8_t *known, int arguments);

tw_status tw_tile_pass_fold(tw_graph **g, bool *changed); /* fold.c: numbers that are known */
tw_status tw_tile_pass_invariant(tw_graph **g,
                                 bool *changed); /* invariant.c: out of loops what doesn't change in them */
tw_status tw_tile_pass_induction(tw_graph **g, bool *changed); /* induction.c: carried pointers as sums */

tw_status tw_tile_optimise(tw_graph **g); /* all of them */

#endif
