/* Payers, and the blocks that they pay for.

   A block of up to SMALL bytes stands in a page of its payer's, the rest in whole pages. While a
   payer has fewer than MIX pages, a page holds blocks of all sizes, so that a small client takes
   few; with more, each size has pages of its own, which leaves less unused when much is freed. What
   a block of more than half a page leaves of its page is for blocks of any size.
   Freed blocks stand in a list for each size class, doubly linked, so that a page in which
   nothing lives can leave with all of its blocks. */

#ifndef PINFUT_BLOCKS_H
#define PINFUT_BLOCKS_H

#include "pages.h"

#define SMALL ((size_t)3840)
#define CLASSES 51 /* 16 to 512 by 16, to 2,048 by 128, then to 3,840 by 256 */
#define APART 44   /* from this class on one page holds one block: they stand in mixed pages only */
#define MIX 48
#define NOWHERE ((size_t)-1)

typedef struct Block {
    struct Block *next, *prev; /* the first of a list keeps no `prev` */
} Block;

struct Payer {
    size_t pages;   /* in use, adopted ones included */
    size_t limit;   /* a firm step may not end with more */
    size_t could;   /* how far the limit could go, as far as was known last */
    size_t peak;    /* most pages so far */
    size_t used;    /* bytes in blocks */
    size_t adopted; /* pages of payers that this one is the heir of */
    size_t raised, refused;
    /* Invariant: freed when there is no object, no page, and nobody whose heir it is. It is
       current only in calls that have a reference to its object. */
    PyObject *object; /* the Python object, borrowed; NULL once it is gone */
    size_t heirs;     /* payers that it is the heir of */
    Payer *heir;      /* who pays for what is left, once it was adopted */
    Block *free[CLASSES];
    /* Where the next block of a class is carved; [CLASSES] is of mixed pages. A multiple of PAGE
       (NULL above all) says that there is no room. */
    char *carve[CLASSES + 1];
};

/* Who pays for what it would pay for. */
static inline Payer *heir_of(Payer *p)
{
    while (UNLIKELY(p && p->heir)) p = p->heir;
    return p;
}

/* What is current in this thread. */
typedef struct {
    Payer *payer; /* NULL: nobody, and the allocator is Python's own */
    PyObject *by; /* the coroutine whose step this is, or NULL; borrowed */
    int firm;
} Current;

#if defined(__GLIBC__)
/* One instruction in place of a call; glibc keeps room for that in what is loaded late. */
#define PER_THREAD _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define PER_THREAD _Thread_local
#endif
static PER_THREAD Current now;

static const Current NOBODY = {NULL, NULL, 0};

/* The reserve: pages that a step may overdraw. */
static size_t allowance = ((size_t)64 << 20) / PAGE;

/* Over its limit and firm: have MemoryError raised at the next safe point. Defined where threads
   and pending calls are. */
static void ask_for_error(void);

/* By granules, rounded up, and by class: on the path of each block a look-up is less than sums. */
static uint8_t classes[SMALL / 16 + 1];
static uint16_t sizes[CLASSES];

static void make_classes(void)
{
    size_t size = 0, granules = 0;
    for (unsigned c = 0; c < CLASSES; c++) {
        size += size < 512 ? 16 : size < 2048 ? 128 : 256;
        sizes[c] = (uint16_t)size;
        for (; granules * 16 <= size; granules++) classes[granules] = (uint8_t)c;
    }
}

static inline unsigned class_of(size_t size)
{
    return classes[(size + 15) >> 4];
}

static inline size_t size_of(unsigned c)
{
    return sizes[c];
}

static inline size_t room(const char *carve)
{
    return -(uintptr_t)carve & (PAGE - 1);
}

static inline uint8_t *granule_of(const void *q)
{
    return &range.granules[(size_t)((const char *)q - range.base) >> 4];
}

/* ---- free lists ---- */

/* What memcheck and AddressSanitizer hold for free is written to. */
#define IN_FREE(block, statement)             \
    do {                                      \
        NOTE_OPEN(block, sizeof *(block));    \
        statement;                            \
        NOTE_CLOSED(block, sizeof *(block));  \
    } while (0)

static inline void link_block(Payer *p, void *q, unsigned c)
{
    Block *block = q, *head = p->free[c];
    IN_FREE(block, block->next = head);
    if (head) IN_FREE(head, head->prev = block);
    p->free[c] = block;
}

static inline void unlink_block(Payer *p, Block *block, unsigned c)
{
    Block *next, *prev;
    IN_FREE(block, (next = block->next, prev = block->prev));
    if (p->free[c] == block)
        p->free[c] = next;
    else {
        IN_FREE(prev, prev->next = next);
        if (next) IN_FREE(next, next->prev = prev);
    }
}

/* ---- a payer's pages ---- */

/* So many more, or fewer, with all who would pay for it. */
static void count_pages(Payer *p, Py_ssize_t more)
{
    for (Payer *each = p; each; each = each->heir) {
        each->pages += (size_t)more;
        if (each != p) each->adopted += (size_t)more;
        if (each->pages > each->peak) each->peak = each->pages;
    }
}

static void return_pages(Payer *p, size_t at, size_t run)
{
    give_back(at, run);
    count_pages(p, -(Py_ssize_t)run);
}

/* Which of its carving places is in this page, or CLASSES + 1. */
static unsigned carved_in(const Payer *p, size_t at)
{
    const Page *page = &range.pages[at];
    unsigned c = page->kind == MIXED ? CLASSES : page->size_class;
    return room(p->carve[c]) && page_of(p->carve[c]) == at ? c : CLASSES + 1;
}

/* A page of small blocks, none of which lives, goes back. */
static void drop_page(Payer *p, size_t at)
{
    const Page *page = &range.pages[at];
    char *block = address_of(at), *end = block + PAGE;
    unsigned carved = carved_in(p, at);
    if (carved <= CLASSES) {
        end = p->carve[carved];
        p->carve[carved] = NULL;
    }
    if (page->kind == CLASS) {
        size_t size = size_of(page->size_class);
        for (; block + size <= end; block += size)
            unlink_block(p, (Block *)block, page->size_class);
    } else
        while (block < end) {
            unsigned c = *granule_of(block) - 1u;
            unlink_block(p, (Block *)block, c);
            block += size_of(c);
        }
    return_pages(p, at, 1);
}

/* Let the pages go that are kept for carving and in which nothing lives. */
static void trim(Payer *p)
{
    for (unsigned c = 0; c <= CLASSES; c++)
        if (room(p->carve[c])) {
            size_t at = page_of(p->carve[c]);
            if (range.pages[at].live == 0) drop_page(p, at);
        }
}

/* What a step may have until it has used up the reserve. */
static inline size_t with_reserve(const Payer *p)
{
    return (p->limit > p->could ? p->limit : p->could) + allowance;
}

/* Whether `p` may have `run` more pages. Only a firm step is ever refused, and only when it is
   over its limit by the whole reserve. For `small` blocks by two: stock Python does not survive
   it where it runs bytecode, which gets its error at each safe point from one reserve on. */
static int may_take(Payer *p, size_t run, int small)
{
    if (LIKELY(p->pages + run <= p->limit)) return 1;
    trim(p);
    if (p->pages + run <= p->limit || now.payer != p || !now.firm) return 1;
    if (p->pages + run > with_reserve(p) + (small ? allowance : 0)) {
        p->refused++;
        return 0;
    }
    ask_for_error();
    return 1;
}

static size_t buy_pages(Payer *p, size_t run, int small, int *zeroed)
{
    if (!may_take(p, run, small)) return 0;
    size_t at = take_run(run, zeroed);
    if (UNLIKELY(!at)) return 0;
    range.pages[at].as.payer = p;
    count_pages(p, (Py_ssize_t)run);
    return at;
}

/* So many bytes of a mixed page become free blocks. */
static void free_rest(Payer *p, char *rest, size_t left)
{
    while (left) {
        unsigned c = class_of(left > SMALL ? SMALL : left);
        while (size_of(c) > left) c--;
        *granule_of(rest) = (uint8_t)(c + 1);
        link_block(p, rest, c);
        rest += size_of(c);
        left -= size_of(c);
    }
}

/* The front of a larger block that is free in a mixed page; NULL where none is. */
static void *split(Payer *p, unsigned c)
{
    for (unsigned k = c + 1; k < CLASSES; k++) {
        Block *block = p->free[k];
        if (!block || range.pages[page_of(block)].kind != MIXED) continue;
        unlink_block(p, block, k);
        *granule_of(block) = (uint8_t)(c + 1);
        free_rest(p, (char *)block + size_of(c), size_of(k) - size_of(c));
        return block;
    }
    return NULL;
}

/* A new page for carving, mixed or of one class; 0 when it is refused. */
static int begin_page(Payer *p, unsigned place, unsigned c)
{
    int zeroed;
    size_t at = buy_pages(p, 1, 1, &zeroed);
    if (UNLIKELY(!at)) return 0;
    if (place == CLASSES) {
        char *rest = p->carve[CLASSES];
        size_t left = room(rest), full = page_of(rest);
        if (left) free_rest(p, rest, left);
        p->carve[CLASSES] = NULL;
        if (left && range.pages[full].live == 0) drop_page(p, full);
        memset(range.granules + at * GRANULES, 0, GRANULES);
    }
    Page *page = &range.pages[at];
    page->kind = place == CLASSES ? MIXED : CLASS;
    page->size_class = (uint8_t)c;
    page->live = 0;
    p->carve[place] = address_of(at);
    NOTE_CLOSED(p->carve[place], PAGE);
    return 1;
}

/* Carve a block of a class whose free list is empty; NULL when it is refused. */
static void *carve(Payer *p, unsigned c)
{
    size_t size = size_of(c);
    /* one size after the other, so that the first pages of all do not come at once */
    int mixes = p->pages < MIX + 4 * (c % 16) || c >= APART;
    unsigned place = c;
    if (size > room(p->carve[c]) && (mixes || size <= room(p->carve[CLASSES]))) place = CLASSES;
    if (size > room(p->carve[place])) {
        void *front = place == CLASSES ? split(p, c) : NULL;
        if (front) return front;
        if (!begin_page(p, place, c)) return NULL;
    }
    char *block = p->carve[place];
    p->carve[place] = block + size;
    if (place == CLASSES)
        *granule_of(block) = (uint8_t)(c + 1);
    else if (room(p->carve[c]) < size)
        p->carve[c] = NULL; /* the page is carved to its end */
    return block;
}

/* ---- blocks ---- */

static NEVER_INLINE void *allocate_large(Payer *p, size_t size, int *zeroed)
{
    if (size > range.bytes) return NULL;
    size_t run = (size + PAGE - 1) / PAGE, at = buy_pages(p, run, 0, zeroed);
    if (!at) return NULL;
    range.pages[at].kind = LARGE;
    p->used += run * PAGE;
    NOTE_ALLOCATED(address_of(at), run * PAGE, *zeroed);
    return address_of(at);
}

static inline void *counted(Payer *p, void *q, unsigned c)
{
    range.pages[page_of(q)].live++;
    p->used += size_of(c);
    NOTE_ALLOCATED(q, size_of(c), 0);
    return q;
}

static NEVER_INLINE void *allocate_carved(Payer *p, unsigned c)
{
    void *q = carve(p, c);
    return q ? counted(p, q, c) : NULL;
}

/* What is rare stands in functions of its own, and in the last place: the rest needs no stack. */
static inline void *allocate_small(Payer *p, size_t size)
{
    unsigned c = class_of(size);
    Block *block = p->free[c];
    if (UNLIKELY(block == NULL)) return allocate_carved(p, c);
    NOTE_OPEN(block, sizeof *block);
    p->free[c] = block->next;
    return counted(p, block, c);
}

static void *allocate(Payer *p, size_t size)
{
    int zeroed;
    return size > SMALL ? allocate_large(p, size, &zeroed) : allocate_small(p, size);
}

/* The last of it, if it is over. */
static void bury(Payer *p)
{
    while (p && !p->object && !p->heirs) {
        trim(p);
        if (p->pages) return;
        Payer *heir = p->heir;
        PyMem_RawFree(p);
        if (heir) heir->heirs--;
        p = heir;
    }
}

/* The class of a block in a page of small ones. */
static inline unsigned class_in(const Page *page, const void *q)
{
    return page->kind == MIXED ? *granule_of(q) - 1u : page->size_class;
}

static inline size_t block_size(const void *q)
{
    const Page *page = &range.pages[page_of(q)];
    return page->kind == LARGE ? page->run * PAGE : size_of(class_in(page, q));
}

static NEVER_INLINE void release_large(Payer *p, void *q)
{
    size_t at = page_of(q), run = range.pages[at].run;
    p->used -= run * PAGE;
    NOTE_FREED(q, run * PAGE);
    return_pages(p, at, run);
    if (UNLIKELY(!p->object)) bury(p);
}

/* Nothing lives in a page any more. */
static NEVER_INLINE void emptied(Payer *p, size_t at)
{
    /* the page that is being carved stays, or the next block would have to buy it again */
    if (carved_in(p, at) > CLASSES || !p->object) drop_page(p, at);
    if (UNLIKELY(!p->object)) bury(p);
}

static inline void release(void *q)
{
    Page *page = &range.pages[page_of(q)];
    Payer *p = page->as.payer;
    if (UNLIKELY(page->kind == LARGE)) {
        release_large(p, q);
        return;
    }
    unsigned c = class_in(page, q);
    p->used -= size_of(c);
    NOTE_FREED(q, size_of(c));
    link_block(p, q, c);
    if (UNLIKELY(--page->live == 0)) emptied(p, page_of(q));
}

/* ---- what Python calls; `ctx` is the allocator from before ---- */

static void *hook_malloc(void *ctx, size_t size)
{
    const PyMemAllocatorEx *own = ctx;
    Payer *p = now.payer;
    if (!p) return own->malloc(own->ctx, size);
    return UNLIKELY(size > SMALL) ? allocate(p, size) : allocate_small(p, size);
}

static void *hook_calloc(void *ctx, size_t count, size_t each)
{
    const PyMemAllocatorEx *own = ctx;
    Payer *p = now.payer;
    if (!p) return own->calloc(own->ctx, count, each);
    if (each && count > range.bytes / each) return NULL;
    size_t size = count * each;
    int zeroed = 0;
    void *q = size > SMALL ? allocate_large(p, size, &zeroed) : allocate_small(p, size);
    if (q && !zeroed) memset(q, 0, size);
    return q;
}

static void hook_free(void *ctx, void *q)
{
    const PyMemAllocatorEx *own = ctx;
    if (in_range(q))
        release(q);
    else
        own->free(own->ctx, q);
}

/* Who makes it larger pays for all of it; while nobody is current, its owner does. A block of
   Python's own stays there, for nobody says how long it is. */
static void *hook_realloc(void *ctx, void *q, size_t size)
{
    const PyMemAllocatorEx *own = ctx;
    if (q == NULL) return hook_malloc(ctx, size);
    if (!in_range(q)) return own->realloc(own->ctx, q, size);
    size_t at = page_of(q), before = block_size(q);
    Page *page = &range.pages[at];
    Payer *p = page->as.payer;
    size_t run = (size + PAGE - 1) / PAGE;
    if (page->kind == LARGE && size > SMALL && run <= page->run) {
        size_t more = page->run - run;
        if (more) {
            page->run = (uint32_t)run;
            p->used -= more * PAGE;
            NOTE_FREED(q, before);
            NOTE_ALLOCATED(q, run * PAGE, 1);
            return_pages(p, at + run, more);
        }
        return q;
    }
    if (size <= before && (size > before / 2 || before <= 64)) return q;
    void *moved = allocate(now.payer ? now.payer : p, size);
    if (moved == NULL) return size <= before ? q : NULL;
    memcpy(moved, q, before < size ? before : size);
    release(q);
    return moved;
}

#endif
