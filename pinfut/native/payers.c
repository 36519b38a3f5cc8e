/* pinfut._payers: Python's allocators (domains MEM and OBJ) for those who pay.

   What is allocated while a payer is current in a thread comes from pages that the payer bought;
   a block's owner is found by its address, so whoever frees it, the right one is refunded. While
   nobody is current, Python's own allocator works. docs/payers.md says what is promised.

   pages.h   pages of a reserved range, in runs
   blocks.h  payers, their blocks, and the hooks
   here      safe points, and what Python sees */

#include "blocks.h"

#include <time.h>

static const char MESSAGE[] = "out of pages: this step holds more than its payer may";

static int installed;

static PyTypeObject *payer_type, *context_type;

typedef struct {
    PyObject_HEAD
    Payer *payer;
    PyObject *buyer; /* has `buy()` and `look()`; NULL: nobody buys */
} PayerObject;

static PyObject *coroutine_send, *coroutine_throw; /* the methods of CoroutineType */
static PyObject *start;  /* starts the thread that serves `ring` */
static PyObject *let_go; /* called with what a coroutine waits for no more */
/* Interned: the cache of methods keeps each other string that a method was looked up by. */
NAMES(name, buy, look, throw, close, cr_frame, __name__)

/* On nobody's account call a method of an object, or `let_go` with it. An error is nobody's here. */
static void call_off(PyObject *object, PyObject *method)
{
    Current was = now;
    now = NOBODY;
    PyObject *done = method ? PyObject_CallMethodNoArgs(object, method) : PyObject_CallOneArg(let_go, object);
    if (!done) PyErr_WriteUnraisable(object);
    Py_XDECREF(done);
    now = was;
}

/* ---- whose frames ---- */

static int is_ours(PyFrameObject *frame)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    PyObject *module = globals ? PyDict_GetItemWithError(globals, name.__name__) : NULL;
    const char *text = module && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : NULL;
    int ours = text && strncmp(text, "pinfut", 6) == 0 && (text[6] == '.' || text[6] == '\0');
    Py_XDECREF(globals);
    PyErr_Clear();
    return ours;
}

/* Whether the thread stands in pinfut, called by the coroutine `by`; then nothing may be raised
   there. Without a coroutine only the innermost frame is looked at. Looking makes objects that
   live as long as the frames, which are the payer's. */
static int stands_in_pinfut(PyThreadState *thread, Payer *p, PyObject *by)
{
    Current was = now;
    now = (Current){p, NULL, 0};
    PyObject *last = NULL;
    if (by && !(last = PyObject_GetAttr(by, name.cr_frame)))
        PyErr_Clear();
    PyFrameObject *frame = PyThreadState_GetFrame(thread);
    int ours = 0;
    for (int depth = 0; frame && depth < 64; depth++) {
        ours = is_ours(frame);
        int end = ours || !last || (PyObject *)frame == last;
        PyFrameObject *outer = end ? NULL : PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = outer;
    }
    Py_XDECREF(frame);
    Py_XDECREF(last);
    now = was;
    return ours;
}

/* ---- garbage ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Collect before somebody is refused, but in a twentieth of the time at most: what a payer no
   longer uses may stand in cycles and in the interpreter's free lists. */
static void collect(Payer *p)
{
    static double not_before;
    double begin = seconds();
    if (begin >= not_before) {
        Current was = now;
        now = NOBODY;
        PyGC_Collect();
        now = was;
        double end = seconds();
        not_before = end + 20 * (end - begin);
    }
    trim(p);
}

/* Finalizers run on nobody's account, whoever's step the collection interrupts. */
static PyObject *collecting(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t count)
{
    static PER_THREAD Current interrupted;
    if (count < 1 || !PyUnicode_Check(args[0])) Py_RETURN_NONE;
    if (PyUnicode_CompareWithASCIIString(args[0], "start") == 0) {
        interrupted = now;
        now = NOBODY;
    } else if (now.payer == NULL) {
        now = interrupted;
        interrupted = NOBODY;
    }
    Py_RETURN_NONE;
}

/* Have its buyer called: `buy` raises the limit if that can be paid, `look` writes down how far the
   limit could go. */
static void call_buyer(Payer *p, PyObject *what)
{
    PyObject *buyer = p->object ? Py_XNewRef(((PayerObject *)p->object)->buyer) : NULL;
    if (buyer) call_off(buyer, what);
    Py_XDECREF(buyer);
}

/* How many pages it, or who has adopted it, is over the limit when it has bought what it can, and
   garbage is gone. */
static size_t overdrawn(Payer *p)
{
    p = heir_of(p);
    if (LIKELY(p->pages <= p->limit)) return 0;
    trim(p);
    if (p->pages > p->limit) call_buyer(p, name.buy);
    if (p->pages > p->limit) {
        size_t before = p->pages;
        collect(p);
        if (p->pages > p->limit && p->pages < before) call_buyer(p, name.buy);
    }
    return p->pages > p->limit ? p->pages - p->limit : 0;
}

/* ---- MemoryError at a safe point ----

   In the main thread a pending call raises it. Another thread gets it as an asynchronous
   exception, which an allocator cannot send: that takes a lock under which Python allocates. So
   the allocator writes the thread down and rings, and a thread of `payers.py` delivers. */

#define ASKING 64
#define SLACK ((size_t)16)

static struct {
    unsigned long thread; /* 0: free */
    Payer *payer;
    enum { WAITING, LOOKING, SENT } stage;
} asking[ASKING];
static PyThread_type_lock ring; /* held, but for the moment in which it rings */
static int ringing, pending;
static unsigned long main_thread;
static PER_THREAD int asked;             /* 1 + its index in `asking` */
static PER_THREAD enum { UNKNOWN, MAIN, OTHER } role;

static int raise_here(void *Py_UNUSED(unused))
{
    Current was = now;
    Payer *p = was.payer;
    pending = 0;
    if (!p || !was.firm || p->pages <= p->limit) return 0;
    /* an interpreter that is being made does not survive it: the step gets it afterwards */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) return 0;
    now = NOBODY;
    /* Whoever goes on beyond the reserve, because it catches the error or was called by pinfut, is
       asked at each safe point: before a small block is refused. */
    int spent = p->pages > with_reserve(p);
    int quiet = stands_in_pinfut(PyThreadState_Get(), p, spent ? NULL : was.by);
    if (!quiet && overdrawn(p)) {
        p->raised++;
        PyErr_SetString(PyExc_MemoryError, MESSAGE);
    }
    now = was;
    if (spent && p->pages > p->limit) ask_for_error();
    return PyErr_Occurred() ? -1 : 0;
}

/* So much a step of a coroutine may have before it is asked at a safe point, which takes a look at
   its frames: what is bought when it parks or ends, if the payer can still pay for it then. */
static inline size_t bought_at_end(const Payer *p)
{
    size_t most = p->limit + SLACK;
    return p->could < most ? p->could : most;
}

static void ask_for_error(void)
{
    if (role == MAIN) {
        if (now.by && now.payer->pages <= bought_at_end(now.payer)) return;
        if (!pending && Py_AddPendingCall(raise_here, NULL) == 0) pending = 1;
        return;
    }
    if (role != OTHER || !ring || now.payer->pages <= now.payer->could) return;
    for (int i = 0; i < ASKING && !asked; i++)
        if (asking[i].thread == 0) {
            asking[i].thread = PyThread_get_thread_ident();
            asking[i].payer = now.payer;
            asked = i + 1;
        }
    if (!asked) return; /* when it asks for the next page */
    if (asking[asked - 1].stage == LOOKING) return; /* it is seen to; or a busy thread never was */
    asking[asked - 1].stage = WAITING;
    if (!ringing) {
        ringing = 1;
        PyThread_release_lock(ring);
    }
}

/* This thread leaves the step for which it has asked. */
static void retract(void)
{
    int i = asked - 1;
    if (asking[i].stage == SENT) PyThreadState_SetAsyncExc(asking[i].thread, NULL);
    asking[i].thread = 0;
    asking[i].stage = WAITING;
    asked = 0;
}

/* A lock that is held. One that another thread may have held at a fork is never used again. */
static int make_ring(void)
{
    ring = PyThread_allocate_lock();
    return ring && PyThread_acquire_lock(ring, WAIT_LOCK);
}

/* Send the error to the thread that asked at `i`, if it has more than could be bought. Buying is
   for the thread that the account is of. Looking runs Python: meanwhile the thread may leave its
   step, and another may ask at `i`; `retract` ends the stage then. */
static void deliver_to(int i)
{
    unsigned long thread = asking[i].thread;
    Payer *p = asking[i].payer;
    if (!thread || asking[i].stage != WAITING || p->pages <= p->limit) return;
    PyObject *object = Py_XNewRef(p->object); /* without one there is no buyer to call */
    asking[i].stage = LOOKING;
    call_buyer(p, name.look);
    if (asking[i].stage == LOOKING) {
        asking[i].stage = WAITING;
        int collects = PyGC_Disable(); /* making a frame's object may collect: Python again */
        /* a thread leaves this list with the GIL held, and comes in at its head */
        PyThreadState *each = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
        while (each && each->thread_id != thread) each = PyThreadState_Next(each);
        if (each && p->pages > p->limit && p->pages > p->could
            && !stands_in_pinfut(each, p, NULL)) {
            asking[i].stage = SENT;
            p->raised++;
            PyThreadState_SetAsyncExc(thread, PyExc_MemoryError);
        }
        if (collects) PyGC_Enable();
    }
    Py_XDECREF(object);
}

static PyObject *deliver(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    int got;
    Py_BEGIN_ALLOW_THREADS
    got = PyThread_acquire_lock(ring, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    if (!got) Py_RETURN_NONE;
    ringing = 0;
    for (int i = 0; i < ASKING; i++) deliver_to(i);
    Py_RETURN_NONE;
}

/* Which thread this is; the first other one has the delivering thread started. */
static int find_role(void)
{
    int other = PyThread_get_thread_ident() != main_thread;
    if (other && drop_result(PyObject_CallNoArgs(start)) < 0) return -1;
    role = other ? OTHER : MAIN;
    return 0;
}

/* ---- switching ---- */

static inline int change(Payer *p, PyObject *by, int firm)
{
    if (UNLIKELY(asked)) retract();
    if (UNLIKELY(role == UNKNOWN) && p && find_role() < 0) return -1;
    now = (Current){heir_of(p), by, firm};
    return 0;
}

static inline void back_to(Current was)
{
    if (UNLIKELY(asked)) retract();
    now = was;
}

static PyObject *out_of_pages(void)
{
    Current was = now;
    now = NOBODY;
    PyErr_SetString(PyExc_MemoryError, MESSAGE);
    PyObject *error = take_error();
    now = was;
    return error;
}

/* A coroutine has parked over the limit: it gets the error once, and is closed if it parks so
   again. What it was waiting for is given up. Takes and gives a new reference. */
static PyObject *settle_at_park(Payer *p, PyObject *coro, PyObject *leaf)
{
    if (!overdrawn(p)) return leaf;
    call_off(leaf, NULL);
    Py_DECREF(leaf);
    PyObject *error = out_of_pages();
    p->raised++;
    leaf = PyObject_CallMethodOneArg(coro, name.throw, error);
    Py_DECREF(error);
    if (!leaf || !overdrawn(p)) return leaf;
    call_off(leaf, NULL);
    Py_DECREF(leaf);
    if (drop_result(PyObject_CallMethodNoArgs(coro, name.close)) == 0) set_error(out_of_pages());
    return NULL;
}

/* A step was the last one, which leaves what it has left to be paid. */
static void buy_at_end(Payer *p)
{
    if (LIKELY(p->pages <= p->limit)) return;
    PyObject *error = PyErr_Occurred() ? take_error() : NULL;
    call_buyer(p, name.buy);
    if (error) set_error(error);
}

/* A firm step: `value` is sent into `coro`, or raised where it waits. As PyIter_Send, but that a
   coroutine which ends by what is raised leaves StopIteration. */
static PySendResult step(PyObject *self, PyObject *coro, PyObject *value, int raised, PyObject **out)
{
    Payer *p = ((PayerObject *)self)->payer;
    Current was = now;
    *out = NULL;
    if (UNLIKELY(change(p, coro, 1) < 0)) return PYGEN_ERROR;
    PySendResult how = PYGEN_NEXT;
    if (LIKELY(!raised))
        how = PyIter_Send(coro, value, out);
    else if (!(*out = PyObject_CallMethodOneArg(coro, name.throw, value)))
        how = PYGEN_ERROR;
    if (UNLIKELY(how != PYGEN_NEXT))
        buy_at_end(p);
    else if (UNLIKELY(p->pages > p->limit) && !(*out = settle_at_park(p, coro, *out)))
        how = PYGEN_ERROR;
    back_to(was);
    return how;
}

static PyObject *paid_poll(PyObject *self, binaryfunc poll, PyObject *leaf, PyObject *cx)
{
    Payer *p = ((PayerObject *)self)->payer;
    Current was = now;
    if (UNLIKELY(change(p, NULL, 0) < 0)) return NULL;
    PyObject *value = poll(leaf, cx);
    buy_at_end(p);
    back_to(was);
    return value;
}

/* The same as the methods of coroutines: the end is a StopIteration. */
static PyObject *step_or_stop(PyObject *self, PyObject *coro, PyObject *value, int raised)
{
    PyObject *out;
    if (step(self, coro, value, raised, &out) != PYGEN_RETURN) return out;
    /* by a call: a tuple would be taken for its arguments, an exception for itself */
    PyObject *stop = out == Py_None ? PyObject_CallNoArgs(PyExc_StopIteration)
                                    : PyObject_CallOneArg(PyExc_StopIteration, out);
    Py_DECREF(out);
    if (stop) set_error(stop);
    return NULL;
}

static PyObject *payer_send(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count == 2 && PyCoro_CheckExact(args[0])) return step_or_stop(self, args[0], args[1], 0);
    return PyErr_Format(PyExc_TypeError, "send(coro, value) takes a coroutine and a value");
}

static PyObject *payer_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count == 2 && PyCoro_CheckExact(args[0])) return step_or_stop(self, args[0], args[1], 1);
    return PyErr_Format(PyExc_TypeError, "throw(coro, error) takes a coroutine and an error");
}

static PyObject *call_as(Payer *p, int firm, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (UNLIKELY(count < 1)) return PyErr_Format(PyExc_TypeError, "it takes what is to be called");
    Current was = now;
    if (UNLIKELY(change(p, NULL, firm) < 0)) return NULL;
    PyObject *value = PyObject_Vectorcall(args[0], args + 1, (size_t)count - 1, names);
    back_to(was);
    return value;
}

/* ---- contexts ---- */

static inline int is_method(PyObject *f, PyObject *method)
{
    return f == method || (PyCFunction_CheckExact(f) && PyCFunction_GET_FUNCTION(f)
                           == ((PyMethodDescrObject *)method)->d_method->ml_meth);
}

/* As contextvars.Context.run, on the payer's account: a firm step where it is the `send` or the
   `throw` of coroutines that is called, or of one coroutine, else a firm call. */
static PyObject *context_run(PaidContext *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *names)
{
    if (UNLIKELY(count < 1)) return PyErr_Format(PyExc_TypeError, "it takes what is to be called");
    int raised = is_method(args[0], coroutine_throw);
    PyObject *coro = NULL, *value;
    if ((raised || is_method(args[0], coroutine_send)) && !names) {
        PyObject *bound = PyCFunction_CheckExact(args[0]) ? PyCFunction_GET_SELF(args[0]) : NULL;
        if (count == (bound ? 2 : 3)) coro = bound ? bound : args[1];
        if (coro && !PyCoro_CheckExact(coro)) coro = NULL;
    }
    if (UNLIKELY(PyContext_Enter(self->context) < 0)) return NULL;
    if (LIKELY(coro != NULL))
        value = step_or_stop(self->payer, coro, args[count - 1], raised);
    else
        value = call_as(((PayerObject *)self->payer)->payer, 1, args, count, names);
    if (UNLIKELY(PyContext_Exit(self->context) < 0)) Py_CLEAR(value);
    return value;
}

/* Steals `context`. */
static PyObject *make_context(PyObject *payer, PyObject *context)
{
    if (!context) return NULL;
    PaidContext *self = (PaidContext *)context_type->tp_alloc(context_type, 0);
    if (!self) {
        Py_DECREF(context);
        return NULL;
    }
    self->payer = Py_NewRef(payer);
    self->context = context;
    return (PyObject *)self;
}

static PyObject *context_copy(PaidContext *self, PyObject *Py_UNUSED(unused))
{
    return make_context(self->payer, PyContext_Copy(self->context));
}

static int context_traverse(PaidContext *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->payer);
    Py_VISIT(self->context);
    return 0;
}

static int context_clear(PaidContext *self)
{
    Py_CLEAR(self->payer);
    Py_CLEAR(self->context);
    return 0;
}

static void context_dealloc(PaidContext *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    context_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A copy of the context variables of here, and of who pays here. */
static PyObject *copy_context(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Payer *p = heir_of(now.payer);
    return LIKELY(!p || !p->object) ? PyContext_CopyCurrent() : make_context(p->object, PyContext_CopyCurrent());
}

static PyObject *payer_context(PyObject *self, PyObject *context)
{
    if (PyContext_CheckExact(context)) return make_context(self, Py_NewRef(context));
    return PyErr_Format(PyExc_TypeError, "context(variables) takes a contextvars.Context");
}

static PyObject *payer_soft_call(PayerObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return call_as(self->payer, 0, args, count, names);
}

static PyObject *payer_firm_call(PayerObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return call_as(self->payer, 1, args, count, names);
}

static PyObject *off_call(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return call_as(NULL, 0, args, count, names);
}

/* ---- the payer ---- */

static int as_size(PyObject *value, size_t *size)
{
    if (!value) value = Py_None; /* a limit that is deleted: TypeError */
    Py_ssize_t n = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) return -1;
    if (n < 0 || n > PY_SSIZE_T_MAX / 2) {
        PyErr_SetString(PyExc_ValueError, "pages are counted from 0 up");
        return -1;
    }
    *size = (size_t)n;
    return 0;
}

static PyObject *payer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"limit", NULL};
    PyObject *limit;
    size_t pages;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Payer", names, &limit) || as_size(limit, &pages) < 0) return NULL;
    if (!installed)
        return PyErr_Format(PyExc_RuntimeError, "payers are not installed: call payers.install()");
    Current was = now;
    now = NOBODY;
    PayerObject *self = (PayerObject *)type->tp_alloc(type, 0);
    now = was;
    if (!self) return NULL;
    if (!(self->payer = PyMem_RawCalloc(1, sizeof(Payer)))) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->payer->limit = pages;
    self->payer->object = (PyObject *)self;
    return (PyObject *)self;
}

static int payer_traverse(PayerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->buyer);
    return 0;
}

static int payer_clear(PayerObject *self)
{
    Py_CLEAR(self->buyer);
    return 0;
}

static void payer_dealloc(PayerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->buyer);
    if (self->payer) {
        self->payer->object = NULL;
        trim(self->payer);
        bury(self->payer);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *payer_settle(PayerObject *self, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromSize_t(overdrawn(self->payer));
}

/* due(paid, apart=0): so many pages are paid for now, but for so many bytes of them. */
static PyObject *payer_due(PayerObject *self, PyObject *const *args, Py_ssize_t count)
{
    Payer *p = self->payer;
    size_t paid, apart = 0;
    if (count < 1 || count > 2)
        return PyErr_Format(PyExc_TypeError, "due(paid, apart=0) takes pages and bytes");
    if (as_size(args[0], &paid) < 0 || (count == 2 && as_size(args[1], &apart) < 0)) return NULL;
    apart = apart / PAGE + (apart % PAGE != 0);
    p->limit = paid > apart ? paid - apart : 0;
    if (p->pages > 1 && 2 * p->used < p->pages * PAGE) trim(p);
    Py_ssize_t due = (Py_ssize_t)p->pages - (Py_ssize_t)p->limit;
    return PyLong_FromSsize_t(due < 0 ? due + 1 : due); /* a page to spare is kept */
}

static PyObject *payer_adopt(PayerObject *self, PyObject *object)
{
    if (!Py_IS_TYPE(object, payer_type))
        return PyErr_Format(PyExc_TypeError, "adopt(other) takes a payer");
    Payer *heir = self->payer, *p = ((PayerObject *)object)->payer;
    if (p == heir || p->heir || heir->heir)
        return PyErr_Format(PyExc_RuntimeError, "one of the two is adopted, or they are one");
    trim(p);
    p->heir = heir;
    heir->heirs++;
    heir->pages += p->pages;
    heir->adopted += p->pages;
    if (heir->pages > heir->peak) heir->peak = heir->pages;
    return PyLong_FromSize_t(p->pages);
}

/* ---- what is where ---- */

/* The next page, or the one behind a free run. */
static size_t next_of(size_t at)
{
    const Page *page = &range.pages[at];
    return at + (page->kind == FREE ? page->run : 1);
}

static Payer *owner_of(const void *q)
{
    if (!in_range(q)) return NULL;
    const Page *page = &range.pages[page_of(q)];
    int owned = page->kind == MIXED || page->kind == CLASS || page->kind == LARGE;
    return owned ? page->as.payer : NULL;
}

static PyObject *owner(PyObject *Py_UNUSED(self), PyObject *object)
{
    Payer *p = heir_of(owner_of(object));
    return Py_NewRef(p && p->object ? p->object : Py_None);
}

/* Whether it lies in the payer's pages, or in those of one that it has adopted. */
static PyObject *payer_owns(PayerObject *self, PyObject *object)
{
    const Payer *p = owner_of(object);
    while (p && p != self->payer) p = p->heir;
    return PyBool_FromLong(p != NULL);
}

static PyObject *get_counter(PayerObject *self, void *offset)
{
    return PyLong_FromSize_t(*(size_t *)((char *)self->payer + (size_t)offset));
}

static int set_counter(PayerObject *self, PyObject *value, void *offset)
{
    return as_size(value, (size_t *)((char *)self->payer + (size_t)offset));
}

/* By a walk of the page table: to count them all the time would cost each block. */
static PyObject *get_blocks(PayerObject *self, void *Py_UNUSED(unused))
{
    size_t blocks = 0;
    for (size_t at = 1; at < range.top; at = next_of(at))
        if (owner_of(address_of(at)) == self->payer)
            blocks += range.pages[at].kind == LARGE ? 1 : range.pages[at].live;
    return PyLong_FromSize_t(blocks);
}

static PyObject *get_buyer(PayerObject *self, void *Py_UNUSED(unused))
{
    return Py_NewRef(self->buyer ? self->buyer : Py_None);
}

static int set_buyer(PayerObject *self, PyObject *value, void *Py_UNUSED(unused))
{
    Py_XSETREF(self->buyer, value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

#define COUNTER(field, setter) {#field, (getter)get_counter, setter, NULL, (void *)offsetof(Payer, field)}
static PyGetSetDef payer_counters[] = {
    COUNTER(pages, NULL),
    COUNTER(limit, (setter)set_counter),
    COUNTER(could, (setter)set_counter),
    {"buyer", (getter)get_buyer, (setter)set_buyer, NULL, NULL},
    COUNTER(peak, NULL),
    COUNTER(used, NULL),
    {"blocks", (getter)get_blocks, NULL, NULL, NULL},
    COUNTER(adopted, NULL),
    COUNTER(raised, NULL),
    COUNTER(refused, NULL),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef payer_methods[] = {
    {"send", FASTCALL(payer_send), METH_FASTCALL, AS("send($self, coro, value, /)") "As coro.send(value), a firm step."},
    {"throw", FASTCALL(payer_throw), METH_FASTCALL, AS("throw($self, coro, error, /)") "As coro.throw(error), a firm step."},
    {"soft_call", FASTCALL(payer_soft_call), METH_FASTCALL | METH_KEYWORDS,
     AS("soft_call($self, function, /, *args, **kwargs)") "Call it, charged and never refused."},
    {"firm_call", FASTCALL(payer_firm_call), METH_FASTCALL | METH_KEYWORDS,
     AS("firm_call($self, function, /, *args, **kwargs)") "Call it, charged and refused over the limit."},
    {"settle", (PyCFunction)payer_settle, METH_NOARGS, AS("settle($self, /)") "Pages over the limit, without garbage."},
    {"due", FASTCALL(payer_due), METH_FASTCALL, AS("due($self, paid, apart=0, /)") "Pages to buy, or below 0 to sell."},
    {"context", payer_context, METH_O, AS("context($self, variables, /)") "These variables, for what this payer pays."},
    {"adopt", (PyCFunction)payer_adopt, METH_O, AS("adopt($self, other, /)") "Pay for what is left of other."},
    {"owns", (PyCFunction)payer_owns, METH_O, AS("owns($self, value, /)") "Whether it lies here, or was adopted."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot payer_slots[] = {
    {Py_tp_doc, AS("Payer(limit)") "Who pays for memory, in pages of 4,096 bytes."},
    {Py_tp_new, payer_new},
    {Py_tp_dealloc, payer_dealloc},
    {Py_tp_traverse, payer_traverse},
    {Py_tp_clear, payer_clear},
    {Py_tp_methods, payer_methods},
    {Py_tp_getset, payer_counters},
    {0, NULL},
};

static PyMethodDef context_methods[] = {
    {"run", FASTCALL(context_run), METH_FASTCALL | METH_KEYWORDS,
     AS("run($self, function, /, *args, **kwargs)") "As contextvars.Context.run, for who pays."},
    {"copy", (PyCFunction)context_copy, METH_NOARGS, AS("copy($self, /)") "A copy, for the same payer."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot context_slots[] = {
    {Py_tp_doc, "Context variables, and who pays for what is run in them."},
    {Py_tp_methods, context_methods},
    {Py_tp_dealloc, context_dealloc},
    {Py_tp_traverse, context_traverse},
    {Py_tp_clear, context_clear},
    {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
static PyType_Spec payer_spec = {"pinfut._payers.Payer", sizeof(PayerObject), 0, FLAGS, payer_slots};
static PyType_Spec context_spec = {
    "pinfut._payers.PaidContext", sizeof(PaidContext), 0, FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION, context_slots};

/* ---- the module ---- */

/* Hook the allocators, for good. `start()` is called when a thread other than `main` first makes a
   payer current; it has `deliver` called in a thread, again and again. `let_go(leaf)` is called
   with what a coroutine waits for no more. */
static PyObject *install(PyObject *Py_UNUSED(self), PyObject *args)
{
    static PyMemAllocatorEx own[2]; /* those from before */
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    PyObject *starts, *gives_up;
    unsigned long main;
    if (!PyArg_ParseTuple(args, "OkO:install", &starts, &main, &gives_up)) return NULL;
    if (installed) Py_RETURN_NONE;
    if (!range.bytes && !reserve_range())
        return PyErr_Format(PyExc_RuntimeError, "not even 1 GiB of addresses could be reserved");
    if (!make_ring()) return PyErr_NoMemory();
    make_classes();
    start = Py_NewRef(starts);
    let_go = Py_NewRef(gives_up);
    main_thread = main;
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &own[i]);
        PyMemAllocatorEx hooks = {&own[i], hook_malloc, hook_calloc, hook_realloc, hook_free};
        PyMem_SetAllocator(domains[i], &hooks);
    }
    installed = 1;
    Py_RETURN_NONE;
}

/* In the child of a fork: its only thread is the main one. */
static PyObject *forked(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    main_thread = PyThread_get_thread_ident();
    role = MAIN; /* also of a step that goes on here */
    asked = pending = ringing = 0;
    memset(asking, 0, sizeof asking);
    return make_ring() ? Py_NewRef(Py_None) : PyErr_NoMemory();
}

static PyObject *current(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    PyObject *object = now.payer && now.payer->object ? now.payer->object : Py_None;
    return Py_BuildValue("(Os)", object, !now.payer ? "off" : now.firm ? "firm" : "soft");
}

static PyObject *stats(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    size_t top = range.top ? range.top - 1 : 0, all = range.bytes / PAGE;
    return Py_BuildValue("{snsnsnsn}", "used", (Py_ssize_t)range.used, "kept",
        (Py_ssize_t)range.dirty, "top", (Py_ssize_t)top, "range", (Py_ssize_t)all);
}

static PyObject *reserve_pages(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *pages = NULL;
    size_t before = allowance;
    if (!PyArg_ParseTuple(args, "|O:reserve", &pages)) return NULL;
    if (pages && as_size(pages, &allowance) < 0) return NULL;
    return PyLong_FromSize_t(before);
}

static PyMethodDef functions[] = {
    {"install", install, METH_VARARGS, AS("install($module, start, main, let_go, /)") "Hook the allocators, for good."},
    {"deliver", deliver, METH_NOARGS, AS("deliver($module, /)") "Wait until threads ask for a MemoryError, and send it."},
    {"forked", forked, METH_NOARGS, AS("forked($module, /)") "Begin anew in the child of a fork."},
    {"collecting", FASTCALL(collecting), METH_FASTCALL,
     AS("collecting($module, phase, info, /)") "For gc.callbacks: finalizers run on nobody's account."},
    {"off_call", FASTCALL(off_call), METH_FASTCALL | METH_KEYWORDS,
     AS("off_call($module, function, /, *args, **kwargs)") "Call it on nobody's account."},
    {"copy_context", copy_context, METH_NOARGS, AS("copy_context($module, /)") "The variables of here, with who pays here."},
    {"owner", owner, METH_O, AS("owner($module, value, /)") "Whose pages it lies in, or None."},
    {"current", current, METH_NOARGS, AS("current($module, /)") "Who pays here, and 'off', 'soft' or 'firm'."},
    {"stats", stats, METH_NOARGS, AS("stats($module, /)") "Pages in use, kept, ever used, and in the range."},
    {"reserve", reserve_pages, METH_VARARGS,
     AS("reserve($module, pages=None, /)") "Set the pages that a step may overdraw; what it was."},
    {NULL, NULL, 0, NULL},
};

/* The method of coroutines that is known by its C function. */
static PyObject *method_of_coroutines(const char *text)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)&PyCoro_Type, text);
    if (!method || Py_IS_TYPE(method, &PyMethodDescr_Type)) return method;
    Py_DECREF(method);
    return PyErr_Format(PyExc_ImportError, "CoroutineType.%s is no function in C here", text);
}

static int execute(PyObject *self)
{
    static Paying paying = {NULL, step, paid_poll};
    if (require_main("payers") < 0 || intern_names(name_names, (PyObject **)&name) < 0) return -1;
    if (!coroutine_send && !(coroutine_send = method_of_coroutines("send"))) return -1;
    if (!coroutine_throw && !(coroutine_throw = method_of_coroutines("throw"))) return -1;
    if (!payer_type && !(payer_type = (PyTypeObject *)PyType_FromSpec(&payer_spec))) return -1;
    if (!context_type && !(context_type = (PyTypeObject *)PyType_FromSpec(&context_spec))) return -1;
    paying.context_type = context_type;
    PyObject *capsule = PyCapsule_New(&paying, PAYING, NULL);
    int result = !capsule || PyModule_AddType(self, payer_type) < 0 ? -1 : PyModule_AddObjectRef(self, "paying", capsule);
    Py_XDECREF(capsule);
    return result;
}

MODULE(_payers, "Python's allocators, for those who pay. Use it through pinfut.payers.", functions, execute)
