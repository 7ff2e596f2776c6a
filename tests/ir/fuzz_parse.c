/* Any bytes as the text of a graph, or, behind a '!', of a tile program: what is accepted is verified, and printed and
 * read again to the same thing, also after the passes that serve both tables. What is refused is so with a word of why.
 * Nothing may crash, hang or leak. Entry of libFuzzer (make fuzz TARGET=ir). */
#include <stdlib.h>

#include "ops/build.h"
#include "tile/tile_ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool holds, const char *what, const tw_text *text)
{
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n%s", what, tw_error_message(), tw_text_string(text));
    abort();
}

static void round_trip(const tw_graph *g)
{
    tw_text first = {0}, second = {0};
    tw_hash hash[2];
    tw_graph_print(g, &first);
    tw_graph *again = tw_graph_parse(g->table, tw_text_string(&first), strlen(tw_text_string(&first)));
    must(again != NULL, "what is printed is not read", &first);
    must(tw_graph_verify(again) == TW_OK, "what is read again is not valid", &first);
    tw_graph_print(again, &second);
    must(strcmp(tw_text_string(&first), tw_text_string(&second)) == 0, "another text", &second);
    must(tw_graph_hash(g, &hash[0]) == TW_OK && tw_graph_hash(again, &hash[1]) == TW_OK &&
             tw_hash_equal(hash[0], hash[1]),
         "another hash", &first);
    tw_text_free(&first);
    tw_text_free(&second);
    tw_graph_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const tw_text nothing;
    bool tile = bytes > 0 && data[0] == '!', changed;
    tw_error_clear();
    tw_graph *g = tw_graph_parse(tile ? &tw_tile_table : &tw_graph_table, (const char *)data + tile, bytes - tile);
    must(g || *tw_error_message(), "refused without a word", &nothing);
    if (!g)
        return 0;
    must(tw_graph_verify(g) == TW_OK, "what was read is not valid", &nothing);
    round_trip(g);
    must(tw_pass_cse(&g, &changed) == TW_OK && tw_pass_dce(&g, &changed) == TW_OK, "a pass fails", &nothing);
    must(tw_graph_verify(g) == TW_OK, "what the passes made is not valid", &nothing);
    round_trip(g);
    tw_graph_destroy(g);
    return 0;
}
