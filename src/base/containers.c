/* Growing arrays and a hash map (open addressing, linear probing, 128-bit keys). */
#include "base/base.h"

bool tw_vec_reserve_(void *vec, size_t element_bytes, size_t wanted)
{
    struct {
        void *data;
        size_t count, capacity;
    } *v = vec;
    if (wanted <= v->capacity)
        return true;
    size_t capacity = TW_MAX(TW_MAX(wanted, 2 * v->capacity), (size_t)8);
    if (capacity > SIZE_MAX / 2 / element_bytes)
        return tw_error(TW_ERR_MEMORY, "out of memory: an array of %zu elements", wanted), false;
    void *data = tw_realloc(v->data, capacity * element_bytes);
    if (!data)
        return false;
    v->data = data;
    v->capacity = capacity;
    return true;
}

typedef struct entry {
    tw_hash key;
    void *value; /* NULL: free */
} entry;

struct tw_map {
    entry *slot;
    size_t count, room; /* room: a power of two */
};

tw_hash tw_hash_bytes(tw_hash h, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    uint64_t word;
    h = tw_hash_u64(h, bytes);
    for (; bytes >= 8; at += 8, bytes -= 8) {
        memcpy(&word, at, 8);
        h = tw_hash_u64(h, word);
    }
    word = 0;
    if (bytes) /* of nothing, data may be NULL */
        memcpy(&word, at, bytes);
    return tw_hash_u64(tw_hash_u64(h, word), 0x5bd1e995);
}

tw_map *tw_map_create(void)
{
    enum { FIRST_ROOM = 16 };
    tw_map *map = tw_alloc_zero(1, sizeof *map);
    if (!map)
        return NULL;
    map->slot = tw_alloc_zero(FIRST_ROOM, sizeof *map->slot);
    map->room = FIRST_ROOM;
    if (map->slot)
        return map;
    tw_free(map);
    return NULL;
}

void tw_map_destroy(tw_map *map)
{
    if (map)
        tw_free(map->slot);
    tw_free(map);
}

static size_t place_of(const tw_map *map, tw_hash key)
{
    size_t i = (size_t)(key.lo ^ key.hi >> 17) & (map->room - 1);
    while (map->slot[i].value && !tw_hash_equal(map->slot[i].key, key))
        i = (i + 1) & (map->room - 1);
    return i;
}

void *tw_map_get(const tw_map *map, tw_hash key)
{
    return map->slot[place_of(map, key)].value;
}

static bool grow(tw_map *map)
{
    tw_map larger = {tw_alloc_zero(2 * map->room, sizeof *map->slot), map->count, 2 * map->room};
    if (!larger.slot)
        return false;
    for (size_t i = 0; i < map->room; i++)
        if (map->slot[i].value)
            larger.slot[place_of(&larger, map->slot[i].key)] = map->slot[i];
    tw_free(map->slot);
    *map = larger;
    return true;
}

bool tw_map_put(tw_map *map, tw_hash key, void *value)
{
    if (!value) {
        tw_map_remove(map, key);
        return true;
    }
    if (3 * (map->count + 1) > 2 * map->room && !grow(map))
        return false;
    size_t i = place_of(map, key);
    map->count += !map->slot[i].value;
    map->slot[i] = (entry){key, value};
    return true;
}

void *tw_map_remove(tw_map *map, tw_hash key)
{
    size_t i = place_of(map, key);
    void *value = map->slot[i].value;
    if (!value)
        return NULL;
    map->slot[i].value = NULL;
    map->count--;
    for (i = (i + 1) & (map->room - 1); map->slot[i].value; i = (i + 1) & (map->room - 1)) { /* close the gap */
        entry moved = map->slot[i];
        map->slot[i].value = NULL;
        map->slot[place_of(map, moved.key)] = moved;
    }
    return value;
}

size_t tw_map_count(const tw_map *map)
{
    return map->count;
}

bool tw_map_next(const tw_map *map, size_t *cursor, tw_hash *key, void **value)
{
    for (; *cursor < map->room; ++*cursor) {
        if (!map->slot[*cursor].value)
            continue;
        *key = map->slot[*cursor].key;
        *value = map->slot[*cursor].value;
        ++*cursor;
        return true;
    }
    return false;
}
