/* The extension, and what counts all that it has. */

#include "../../pinfut/native/payers.c"

/* NULL where what can be counted is what the accounts say, and each free list holds together. */
__attribute__((visibility("default"))) const char *audit(PyObject *payer)
{
    static char text[200];
    const Payer *p = ((PayerObject *)payer)->payer;
    size_t pages = 0, bytes = 0, freed = 0;
    int good = 1;
    for (size_t at = 1; at < range.top; at = next_of(at)) {
        const Page *page = &range.pages[at];
        if (owner_of(address_of(at)) != p) continue;
        if (page->kind == LARGE) {
            pages += page->run;
            bytes += page->run * PAGE;
            continue;
        }
        unsigned carved = carved_in(p, at);
        char *q = address_of(at), *end = carved <= CLASSES ? p->carve[carved] : q + PAGE;
        good = good && (page->live || carved <= CLASSES);
        pages++;
        freed -= page->live;
        for (size_t size; q < end && q + (size = block_size(q)) <= end; q += size, freed++)
            bytes += size;
    }
    for (unsigned c = 0; c < CLASSES; c++)
        for (Block *each = p->free[c], *before = NULL, *next; each && good; each = next) {
            NOTE_OPEN(each, sizeof *each);
            next = each->next;
            good = (!before || each->prev == before) && owner_of(each) == p
                   && block_size(each) == size_of(c) && freed;
            before = each;
            NOTE_CLOSED(each, sizeof *each);
            freed--;
            bytes -= size_of(c);
        }
    good = good && !freed && pages == p->pages - p->adopted && bytes == p->used;
    if (good) return NULL;
    snprintf(text, sizeof text, "counted %zu pages, %zu bytes, %zd lost; the accounts say %zu, %zu",
             pages, bytes, (Py_ssize_t)freed, p->pages - p->adopted, p->used);
    return text;
}
