/* resources.h - what runs need while they run, and how much of it there is: Triton's rate limiter.
 *
 * A claim is what one run of a model needs of named resources.  Where nobody says how much there is, it is the most
 * that any claim that was joined asks for; where anybody says anything of any, what is not said is not there.  A run
 * takes all of its claim or nothing.  Who is ahead and finds too little keeps those behind from what it waits for
 * (`short_of`), so that many small claims do not starve a large one.
 * This server has one device, the CPU: a resource is its own or global, which differ only in that no name may be both.
 * Bounded: RESOURCES_MAX names.  Not thread-safe. */
#ifndef SCHED_RESOURCES_H
#define SCHED_RESOURCES_H
#include "base/err.h"
#include "base/str.h"

enum { RESOURCES_MAX = 64, RESOURCE_NAME_MAX = 64 };

typedef struct {
    str name;          /* 1 .. RESOURCE_NAME_MAX bytes */
    uint32_t count;
    bool global;
} resource_need;

typedef struct resource_claim resource_claim;
struct resource_claim {
    /* private */
    uint64_t set;                    /* bit i = of the i-th resource */
    uint64_t global;                 /* those that it calls so */
    uint32_t needs[RESOURCES_MAX];
    resource_claim *before, *behind; /* among those that were joined */
};

typedef struct {
    /* private */
    struct resource {
        char name[RESOURCE_NAME_MAX];
        uint32_t name_len;           /* 0 = the place is free */
        uint32_t said, most;         /* how much there is: as somebody said, now */
        uint64_t used;
    } all[RESOURCES_MAX];
    bool told;                       /* somebody said how much there is of any */
    resource_claim *claims;
} resources;

void resources_init(resources *r);
/* How much there is of one; a second time the larger counts.  Before anybody joins.  ERR_LIMIT: too many names. */
err_code resources_say(resources *r, str name, uint32_t count, err *e) MUST_USE;

/* Zeroed and empty where count is 0.  The last word counts where a name stands twice.  ERR_INVALID, in Triton's words:
 * there will never be enough, or the name is another kind of resource elsewhere; ERR_LIMIT: too many names. */
err_code resources_join(resources *r, resource_claim *c, const resource_need *needs, size_t count, err *e) MUST_USE;
void resources_leave(resources *r, resource_claim *c);   /* joined; no run of it has any */

/* Whether all of it is there, but for those that others wait for; else it is short of these itself. */
bool resources_fit(const resources *r, const resource_claim *c, uint64_t *short_of);
void resources_take(resources *r, const resource_claim *c);   /* it fits */
void resources_give(resources *r, const resource_claim *c);   /* was taken */

#endif
