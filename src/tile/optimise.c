/* The order of the passes. Sharing comes first, so that a pointer that is written twice in the text is one value: what
 * reads and writes through it then meets element by element. */
#include "tile/optimise.h"

tw_status tw_tile_optimise(tw_graph **g)
{
    static const tw_pass passes[] = {{"fold", tw_tile_pass_fold, TW_LOG_TILE},
                                     {"cse", tw_pass_cse, TW_LOG_TILE},
                                     {"invariant", tw_tile_pass_invariant, TW_LOG_TILE},
                                     {"induction", tw_tile_pass_induction, TW_LOG_TILE},
                                     {"fold", tw_tile_pass_fold, TW_LOG_TILE},
                                     {"cse", tw_pass_cse, TW_LOG_TILE},
                                     {"dce", tw_pass_dce, TW_LOG_TILE}};
    return tw_pass_run_all(passes, (int)TW_COUNT(passes), g);
}
