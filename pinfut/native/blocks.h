/* Payers, and the blocks that they pay for.

   A block of up to SMALL bytes stands in a page of its payer's, the rest in whole pages. While a
   payer has fewer than MIX pages, a page holds blocks of all sizes, so that a small client takes
   few; then each page holds blocks of one size, which leaves less unused when much is freed.
   Freed blocks stand in a list for each size class, doubly linked, so that a page in which
   nothing lives can leave with all of its blocks. */

#ifndef PINFUT_BLOCKS_H
#define PINFUT_BLOCKS_H

#include "pages.h"

#define SMALL ((size_t)2048)
#define CLASSES 44 /* 16 to 512 by 16, then to 2,048 by 128 */
#define MIX 24
#define NOWHERE ((size_t)-1)

typedef struct Block {
    struct Block *next, *prev;
} Block;

struct Payer {
    size_t pages;   /* in use, adopted ones included */
    size_t limit;   /* a firm step may not end with more */
    size_t could;   /* how far the limit could go, as far as was known last */
    size_t lot;     /* bought and sold at a time */
    size_t peak;    /* most pages so far */
    size_t bytes;   /* in blocks */
    size_t blocks;  /* in use, adopted ones not included */
    size_t adopted; /* pages of payers that this one is the heir of */
    size_t raised, refused;
    /* Invariant: freed when there is no object, no block, and nobody whose heir it is. It is
       current only in calls that have a reference to its object. */
    PyObject *object; /* the Python object, borrowed; NULL once it is gone */
    size_t heirs;     /* payers that it is the heir of */
    Payer *heir;      /* who pays for what is left, once it was adopted */
    Block *free[CLASSES];
    /* Where the next block of a class is carved; [CLASSES] is of mixed pages. A multiple of PAGE
       (NULL above all) says that there is no room. */
    char *carve[CLASSES + 1];
};

/* What is current in this thread. */
typedef struct {
    Payer *payer; /* NULL: nobody, and the allocator is Python's own */
    PyObject *by; /* the coroutine whose step this is, or NULL; borrowed */
    int firm;
} Current;

#if defined(__GLIBC__)
/* One instruction in place of a call; glibc keeps room for that in what is loaded late. */
static _Thread_local Current now __attribute__((tls_model("initial-exec")));
#else
static _Thread_local Current now;
#endif

static const Current NOBODY = {NULL, NULL, 0};

static size_t allowance = ((size_t)64 << 20) / PAGE; /* pages that a step may overdraw */

/* Over its limit and firm: have MemoryError raised at the next safe point. Defined where threads
   and pending calls are. */
static void ask_for_error(void);

static inline unsigned class_of(size_t size)
{
    return size <= 512 ? (unsigned)((size + 15 + !size) >> 4) - 1
                       : 32 + (unsigned)((size - 513) >> 7);
}

static inline size_t size_of(unsigned c)
{
    return c < 32 ? (size_t)(c + 1) << 4 : 512 + ((size_t)(c - 31) << 7);
}

static inline size_t room(const char *carve)
{
    return -(uintptr_t)carve & (PAGE - 1);
}

/* ---- free lists ---- */

static inline void link_block(Payer *p, void *q, unsigned c)
{
    Block *block = q, *head = p->free[c];
    NOTE_OPEN(block, sizeof *block);
    block->prev = NULL;
    block->next = head;
    NOTE_CLOSED(block, sizeof *block);
    if (head) {
        NOTE_OPEN(head, sizeof *head);
        head->prev = block;
        NOTE_CLOSED(head, sizeof *head);
    }
    p->free[c] = block;
}

static inline void unlink_block(Payer *p, Block *block, unsigned c)
{
    NOTE_OPEN(block, sizeof *block);
    Block *next = block->next, *prev = block->prev;
    NOTE_CLOSED(block, sizeof *block);
    if (prev) {
        NOTE_OPEN(prev, sizeof *prev);
        prev->next = next;
        NOTE_CLOSED(prev, sizeof *prev);
    } else
        p->free[c] = next;
    if (next) {
        NOTE_OPEN(next, sizeof *next);
        next->prev = prev;
        NOTE_CLOSED(next, sizeof *next);
    }
}

/* ---- a payer's pages ---- */

static void return_pages(Payer *p, size_t at, size_t run)
{
    give_back(at, run);
    for (Payer *each = p; each; each = each->heir) {
        each->pages -= run;
        if (each != p) each->adopted -= run;
    }
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
            unsigned c = range.granules[(size_t)(block - range.base) >> 4] - 1u;
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

/* Whether `p` may have `run` more pages. Only a firm step is ever refused, and only when it is
   over its limit by the whole allowance: stock Python does not survive a small refusal. */
static int may_take(Payer *p, size_t run)
{
    if (LIKELY(p->pages + run <= p->limit)) return 1;
    trim(p);
    if (p->pages + run <= p->limit || now.payer != p || !now.firm) return 1;
    size_t most = (p->limit > p->could ? p->limit : p->could) + allowance;
    if (p->pages + run > most) {
        p->refused++;
        return 0;
    }
    ask_for_error();
    return 1;
}

static size_t buy_pages(Payer *p, size_t run, int *zeroed)
{
    if (!may_take(p, run)) return 0;
    size_t at = take_run(run, zeroed);
    if (UNLIKELY(!at)) return 0;
    range.pages[at].as.payer = p;
    for (Payer *each = p; each; each = each->heir) {
        each->pages += run;
        if (each != p) each->adopted += run;
        if (each->pages > each->peak) each->peak = each->pages;
    }
    return at;
}

/* Carve a block of a class whose free list is empty; NULL when it is refused. */
static void *carve(Payer *p, unsigned c)
{
    size_t size = size_of(c);
    unsigned place = c;
    if (size > room(p->carve[c]) && (p->pages < MIX || size <= room(p->carve[CLASSES])))
        place = CLASSES;
    if (size > room(p->carve[place])) {
        int zeroed;
        size_t at = buy_pages(p, 1, &zeroed);
        if (UNLIKELY(!at)) return NULL;
        /* what is left of a mixed page becomes free blocks */
        for (size_t left; place == CLASSES && (left = room(p->carve[CLASSES])) != 0;) {
            char *rest = p->carve[CLASSES];
            unsigned k = class_of(left > SMALL ? SMALL : left);
            while (size_of(k) > left) k--;
            range.granules[(size_t)(rest - range.base) >> 4] = (uint8_t)(k + 1);
            p->carve[CLASSES] = rest + size_of(k);
            link_block(p, rest, k);
            size_t full = page_of(rest);
            if (!room(p->carve[CLASSES]) && range.pages[full].live == 0) drop_page(p, full);
        }
        Page *page = &range.pages[at];
        page->kind = place == CLASSES ? MIXED : CLASS;
        page->size_class = (uint8_t)c;
        page->live = 0;
        if (place == CLASSES) memset(range.granules + at * GRANULES, 0, GRANULES);
        p->carve[place] = address_of(at);
        NOTE_CLOSED(p->carve[place], PAGE);
    }
    char *block = p->carve[place];
    p->carve[place] = block + size;
    if (place == CLASSES) range.granules[(size_t)(block - range.base) >> 4] = (uint8_t)(c + 1);
    else if (room(p->carve[c]) < size)
        p->carve[c] = NULL; /* the page is carved to its end */
    return block;
}

/* ---- blocks ---- */

static void *allocate_large(Payer *p, size_t size, int *zeroed)
{
    if (size > range.bytes) return NULL;
    size_t run = (size + PAGE - 1) / PAGE, at = buy_pages(p, run, zeroed);
    if (!at) return NULL;
    range.pages[at].kind = LARGE;
    p->bytes += run * PAGE;
    p->blocks++;
    NOTE_ALLOCATED(address_of(at), run * PAGE, *zeroed);
    return address_of(at);
}

static inline void *allocate(Payer *p, size_t size, int *zeroed)
{
    *zeroed = 0;
    if (UNLIKELY(size > SMALL)) return allocate_large(p, size, zeroed);
    unsigned c = class_of(size);
    Block *block = p->free[c];
    if (LIKELY(block != NULL))
        unlink_block(p, block, c);
    else if (UNLIKELY((block = carve(p, c)) == NULL))
        return NULL;
    range.pages[page_of(block)].live++;
    p->bytes += size_of(c);
    p->blocks++;
    NOTE_ALLOCATED(block, size_of(c), 0);
    return block;
}

/* The last of it. */
static void bury(Payer *p)
{
    while (p && !p->object && !p->blocks && !p->heirs) {
        trim(p);
        Payer *heir = p->heir;
        PyMem_RawFree(p);
        if (heir) heir->heirs--;
        p = heir;
    }
}

static inline size_t block_size(const void *q)
{
    const Page *page = &range.pages[page_of(q)];
    if (page->kind == MIXED)
        return size_of(range.granules[(size_t)((const char *)q - range.base) >> 4] - 1u);
    return page->kind == CLASS ? size_of(page->size_class) : page->run * PAGE;
}

static void release(void *q)
{
    size_t at = page_of(q);
    Page *page = &range.pages[at];
    Payer *p = page->as.payer;
    p->blocks--;
    if (UNLIKELY(page->kind == LARGE)) {
        p->bytes -= page->run * PAGE;
        NOTE_FREED(q, page->run * PAGE);
        return_pages(p, at, page->run);
    } else {
        unsigned c = page->kind == MIXED
                         ? range.granules[(size_t)((char *)q - range.base) >> 4] - 1u
                         : page->size_class;
        p->bytes -= size_of(c);
        NOTE_FREED(q, size_of(c));
        link_block(p, q, c);
        /* the page that is being carved stays, or the next block would have to buy it again */
        if (--page->live == 0 && (carved_in(p, at) > CLASSES || !p->object)) drop_page(p, at);
    }
    if (UNLIKELY(!p->object)) bury(p);
}

/* ---- what Python calls; `ctx` is the allocator from before ---- */

static void *hook_malloc(void *ctx, size_t size)
{
    int zeroed;
    if (now.payer) return allocate(now.payer, size, &zeroed);
    const PyMemAllocatorEx *own = ctx;
    return own->malloc(own->ctx, size);
}

static void *hook_calloc(void *ctx, size_t count, size_t each)
{
    const PyMemAllocatorEx *own = ctx;
    if (!now.payer) return own->calloc(own->ctx, count, each);
    if (each && count > range.bytes / each) return NULL;
    int zeroed;
    void *q = allocate(now.payer, count * each, &zeroed);
    if (q && !zeroed) memset(q, 0, count * each);
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
            p->bytes -= more * PAGE;
            NOTE_FREED(q, before);
            NOTE_ALLOCATED(q, run * PAGE, 1);
            return_pages(p, at + run, more);
        }
        return q;
    }
    if (size <= before && (size > before / 2 || before <= 64)) return q;
    int zeroed;
    void *moved = allocate(now.payer ? now.payer : p, size, &zeroed);
    if (moved == NULL) return size <= before ? q : NULL;
    memcpy(moved, q, before < size ? before : size);
    release(q);
    return moved;
}

#endif
