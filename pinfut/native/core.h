/* What the core knows of Python's side. Every name is said once: a slot that is not there, or is no
   slot, is found when its module is loaded, and pinfut does not start with half of a core. */

#include "module.h"

/* The slot of an object of Python's at an offset that `find` has found; NULL where nothing is. */
#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

/* A class of Python's: where it is, and those of its slots that are used here. `X_at` has their
   offsets, in the order of their names. */
typedef struct { const char *module, *name; PyTypeObject **type; const char *slots; Py_ssize_t *at; } Class;

#define CLASS(module, name, class, ...)                   \
    static PyTypeObject *class##_type;                    \
    static struct { Py_ssize_t __VA_ARGS__; } class##_at; \
    static const Class class##_class = {"pinfut." module, #name, &class##_type, #__VA_ARGS__, (Py_ssize_t *)&class##_at};

CLASS("poll", TaskContext, context, waker)
CLASS("executor.ready", ReadyQueue, ready, asleep, runner)
CLASS("executor.task", Task, task, _queue, _coro, _context, leaf, queued, _joiner, _outcome, cancels, block)
CLASS("executor.loop", Loop, loop, high, ready, low, deferred, tasks, cx, current, first, went_on, clock, timers)
CLASS("executor.core", Executor, executor, watching)
CLASS("sync.oneshot", _Oneshot, oneshot, _value, _waker)
CLASS("sync.channel", _Shared, shared, buffer, capacity, closed, gaps, receivers, reserved, senders)
CLASS("sync.channel", _Send, send, _state, value, waker)
CLASS("sync.channel", _Recv, recv, _state, waker, woken)
CLASS("sync.channel", Sender, sender, _state)
CLASS("sync.channel", Receiver, receiver, _state)
CLASS("executor.task", Interrupt, interrupt, _kind, _leaf)
CLASS("executor.task", Failure, failure, error, traceback, unclaimed)
CLASS("sync.lock", Lock, lock, _free, _queue)
CLASS("executor.timers", Timers, timers, heap, _order, _dead)
CLASS("executor.timeout", Timeout, timeout, _owner, _passed, _seconds, deadline, executor, fired, live, outer)

/* What modules have. */
static struct {
    Ref TURN, LOOK, MIN_DEAD, PENDING, YIELD, NOT_DONE, OVER, NOBODY, CancelledError, let_go, _EMPTY, _TAKEN, _CLOSED, _KIND, _SENT;
    Ref select_batch, require_own_thread, report_call, running, copy_context, throw, heappush, closed, _CELL;
    Ref laws;   /* what that module has */
    Ref throw_; /* that of CoroutineType */
} py;

/* The methods in Python that were replaced. */
static struct {
    Ref task_poll, task_finish, task_cancel, lock_aenter, lock_aexit, oneshot_poll, oneshot_send, spawn;
    Ref offer, taken, recv_poll, clean, call_soon, timeout, timeout_enter, timeout_exit;
} cold;

/* Names, interned: the cache of methods keeps each other string that a method was looked up by. */
NAMES(name, __new__, poll, wake, ended, leaf, queued, throw_into, fail_step, finish, look, run_deferred,
      _outcome, value, executor, append, through_executor, recording, waker, now, _end, _first_failed, _first_waits, _give,
      acquire, end_first, fail, free, give, release, reserve, submit, take, take_plain, touch, touched)

/* Those of who pays: no type, where nobody can. */
static Paying paying;

static PyTypeObject *deque_type;
static PyCFunction deque_append, deque_popleft;

/* ---- small things ---- */

static int missing(const char *slot)
{
    PyErr_SetString(PyExc_AttributeError, slot);
    return -1;
}

static inline int is_a(PyObject *object, PyTypeObject *type)
{
    return object && Py_TYPE(object) == type;
}

static inline PyObject *none_if(int result)
{
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* Steals `value`. What was there may run code when it goes: nothing borrowed is good after this. */
static inline void put(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    PyObject *was = SLOT(object, offset);
    SLOT(object, offset) = value;
    Py_XDECREF(was);
}

static Py_ssize_t number(PyObject *object, Py_ssize_t offset)
{
    PyObject *value = SLOT(object, offset);
    return value ? PyLong_AsSsize_t(value) : missing("a number");
}

static int set_number(PyObject *object, Py_ssize_t offset, Py_ssize_t value)
{
    PyObject *made = PyLong_FromSsize_t(value);
    if (!made) return -1;
    put(object, offset, made);
    return 0;
}

static inline PyObject *waker_of(PyObject *cx)
{
    PyObject *waker = Py_TYPE(cx) == context_type ? SLOT(cx, context_at.waker) : NULL;
    if (LIKELY(waker != NULL)) return Py_NewRef(waker);
    return PyObject_GetAttr(cx, name.waker);
}

/* The poll of what is not ready: the waker is kept in a slot. */
static inline PyObject *wait_in(PyObject *object, Py_ssize_t offset, PyObject *cx)
{
    PyObject *waker = waker_of(cx);
    if (UNLIKELY(!waker)) return NULL;
    put(object, offset, waker);
    return Py_NewRef(py.PENDING);
}

static inline int append(PyObject *queue, PyObject *entry)
{
    if (LIKELY(Py_TYPE(queue) == ready_type)) return drop_result(deque_append(queue, entry));
    return drop_result(PyObject_CallMethodOneArg(queue, name.append, entry));
}

static inline int is_deque(PyObject *queue)
{
    return PyObject_TypeCheck(queue, deque_type);
}

static inline PyObject *popleft(PyObject *queue)
{
    return deque_popleft(queue, NULL);
}

/* An object of a class with slots, none of which is filled; by its ``__new__`` where there is one. */
static PyObject *make(PyTypeObject *type)
{
    if (LIKELY(type->tp_new == PyBaseObject_Type.tp_new)) return type->tp_alloc(type, 0);
    return PyObject_CallMethodOneArg((PyObject *)type, name.__new__, (PyObject *)type);
}

/* ---- what modules have ---- */

#define OTHER "pinfut._core was built for another pinfut; install pinfut again, or set PINFUT_PURE=1: "

static int take(PyObject *module, const char *text, PyObject **place)
{
    PyObject *value = PyDict_GetItemString(module, text);
    if (!value) {
        PyErr_Format(PyExc_ImportError, OTHER "there is no %s", text);
        return -1;
    }
    *place = Py_NewRef(value); /* for good */
    return 0;
}

static int take_size(PyObject *module, const char *text, Py_ssize_t *place)
{
    PyObject *found = NULL;
    if (take(module, text, &found) < 0) return -1;
    *place = PyLong_AsSsize_t(found);
    Py_DECREF(found);
    return *place == -1 && PyErr_Occurred() ? -1 : 0;
}

/* What `pinfut.laws` has, by a module that imports it. */
static int take_laws(PyObject *module)
{
    PyObject *laws = NULL;
    if (take(module, "laws", &laws) < 0) return -1;
    py.laws = PyModule_GetDict(laws);
    Py_DECREF(laws); /* it is imported for good */
    return py.laws ? 0 : -1;
}

static int find(PyTypeObject *type, const char *text, Py_ssize_t *offset)
{
    PyObject *slot = PyObject_GetAttrString((PyObject *)type, text);
    if (!slot) return -1;
    int is_slot = Py_IS_TYPE(slot, &PyMemberDescr_Type) && ((PyMemberDescrObject *)slot)->d_member->type == T_OBJECT_EX;
    if (is_slot)
        *offset = ((PyMemberDescrObject *)slot)->d_member->offset;
    else
        PyErr_Format(PyExc_ImportError, OTHER "%s.%s is no slot", type->tp_name, text);
    Py_DECREF(slot);
    return is_slot ? 0 : -1;
}

static int find_slots(PyTypeObject *type, const char *list, Py_ssize_t *place)
{
    for (char text[32]; next_name(&list, text, sizeof text); place++)
        if (find(type, text, place) < 0) return -1;
    return 0;
}

/* `definition`, with the docstring of the Python that it stands for behind its signature. It is for
   good: a method keeps what it was made of. */
static PyMethodDef *documented(const PyMethodDef *definition, PyObject *python)
{
    PyObject *says = PyObject_GetAttrString(python, "__doc__");
    PyObject *text = says ? PyUnicode_FromFormat(says == Py_None ? "%s" : "%s%S", definition->ml_doc, says) : NULL;
    const char *doc = text ? PyUnicode_AsUTF8(text) : NULL; /* the text stays, too */
    PyMethodDef *made = doc ? PyMem_Malloc(sizeof *made) : NULL;
    Py_XDECREF(says);
    if (made) {
        *made = *definition;
        made->ml_doc = doc;
    } else if (!PyErr_Occurred())
        PyErr_NoMemory();
    return made;
}

/* Put a method into a class, or a function into a module (`type` is NULL), and what it replaces
   into `kept`, unless that is NULL. Without a function nothing is replaced. */
static int replace_one(PyObject *module, PyTypeObject *type, const PyMethodDef *definition, PyObject **kept)
{
    PyObject *python = NULL, *made = NULL;
    if (take(type ? type->tp_dict : module, definition->ml_name, &python) < 0) return -1;
    PyMethodDef *own = definition->ml_meth ? documented(definition, python) : NULL;
    if (own) made = type ? PyDescr_NewMethod(type, own) : PyCFunction_NewEx(own, NULL, PyDict_GetItemString(module, "__name__"));
    if (kept) *kept = Py_NewRef(python);
    Py_DECREF(python);
    int result = !made ? (definition->ml_meth ? -1 : 0)
                 : type ? PyObject_SetAttrString((PyObject *)type, own->ml_name, made)
                        : PyDict_SetItemString(module, own->ml_name, made);
    Py_XDECREF(made);
    return result;
}

static PyCFunction function_of(PyObject *type, const char *text, int flags)
{
    PyObject *method = PyObject_GetAttrString(type, text);
    PyCFunction function = NULL;
    if (method && Py_IS_TYPE(method, &PyMethodDescr_Type) && ((PyMethodDescrObject *)method)->d_method->ml_flags == flags)
        function = ((PyMethodDescrObject *)method)->d_method->ml_meth;
    else if (method)
        PyErr_Format(PyExc_ImportError, "this Python's deque.%s is called in another way", text);
    Py_XDECREF(method);
    return function;
}

static int find_python(void)
{
    if (intern_names(name_names, (PyObject **)&name) < 0) return -1;
    PyObject *collections = PyImport_ImportModule("collections");
    if (!collections) return -1;
    deque_type = (PyTypeObject *)PyObject_GetAttrString(collections, "deque");
    Py_DECREF(collections);
    if (!deque_type || !(deque_append = function_of((PyObject *)deque_type, "append", METH_O))) return -1;
    if (!(deque_popleft = function_of((PyObject *)deque_type, "popleft", METH_NOARGS))) return -1;
    if (!(py.throw_ = PyObject_GetAttrString((PyObject *)&PyCoro_Type, "throw"))) return -1;
    PyObject *payers = PyImport_ImportModule("pinfut._payers");
    if (!payers) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError)) return -1;
        PyErr_Clear(); /* it was not built */
        return 0;
    }
    PyObject *capsule = PyObject_GetAttrString(payers, "paying");
    const Paying *found = capsule ? PyCapsule_GetPointer(capsule, PAYING) : NULL;
    if (found) paying = *found; /* the module is imported for good */
    Py_XDECREF(capsule);
    Py_DECREF(payers);
    return found ? 0 : -1;
}
