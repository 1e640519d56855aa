/* holes.h - offsets in a block of memory that does not exist yet: a best-fit allocator for the planner.
 *
 * Give back what dies, take what is born, in the order of the run; `end` is then how large the block must be.
 * At most `room` gaps are remembered: the smallest is forgotten beyond that, which wastes memory and time never. */
#ifndef ENGINE_HOLES_H
#define ENGINE_HOLES_H
#include "base/arena.h"

typedef struct {
    size_t offset, bytes;
} hole;

typedef struct {
    hole *items;                 /* by offset; never two that touch */
    uint32_t count, room;
    size_t end;                  /* bytes of the whole block so far */
} holes;

bool holes_init(holes *h, arena *a, uint32_t room) MUST_USE;
size_t holes_take(holes *h, size_t bytes);          /* bytes > 0, a multiple of MEM_ALIGN; SIZE_MAX on overflow */
void holes_give(holes *h, size_t offset, size_t bytes);

#endif
