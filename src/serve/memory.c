#include "serve/memory.h"

#include "wire/json.h"
#include "wire/json_text.h"

enum {
    LIST_MEMORY = 2 << 20,   /* SHM_REGIONS_MAX of them, each with two strings of SHM_NAME_MAX */
    BODY_MEMORY = 64 << 10   /* of a registration: far more than its three members need */
};

err_code memory_print(buf *out, shm_set *set, str region, err *e)
{
    arena a;
    shm_region *list;
    size_t count = 0;
    arena_init(&a, NULL, 0, LIST_MEMORY);
    err_code rc = shm_list(set, region, &a, &list, &count, e);
    if (rc == ERR_OK && region.len && count == 0)
        rc = err_set(e, ERR_NOT_FOUND, "Unable to find shared memory region: '" STR_FMT "'", STR_ARG(region));
    buf_put_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        buf_put_z(out, i ? ",{\"name\":" : "{\"name\":");
        json_text_put(out, list[i].name);
        buf_put_z(out, ",\"key\":");
        json_text_put(out, list[i].key);
        buf_printf(out, ",\"offset\":%llu,\"byte_size\":%llu}", (unsigned long long)list[i].offset,
                   (unsigned long long)list[i].bytes);
    }
    buf_put_byte(out, ']');
    arena_fini(&a);
    return rc;
}

err_code memory_register(shm_set *set, str region, str body, err *e)
{
    arena a;
    yyjson_val *root;
    shm_region r = {.name = region};
    arena_init(&a, NULL, 0, BODY_MEMORY);
    err_code rc = json_parse(body, &(json_opts){.memory = &a}, &root, e);
    if (rc == ERR_OK) rc = json_obj(root, "request", e);
    if (rc == ERR_OK) rc = json_str(yyjson_obj_get(root, "key"), "key", &r.key, e);
    if (rc == ERR_OK) rc = json_u64(yyjson_obj_get(root, "byte_size"), "byte_size", &r.bytes, e);
    if (rc == ERR_OK && yyjson_obj_get(root, "offset"))
        rc = json_u64(yyjson_obj_get(root, "offset"), "offset", &r.offset, e);
    if (rc == ERR_OK) rc = shm_register(set, &r, e);
    arena_fini(&a);
    return rc;
}
