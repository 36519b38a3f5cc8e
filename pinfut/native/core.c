/* pinfut._core: the innermost part of pinfut, for CPython.

   The classes are those of Python, with their slots and their rare paths. A module of which there is
   something here ends with `accelerate(globals())`; then the methods of its hot paths are replaced by
   the ones below, which find the same slots by their offsets and leave to the replaced methods
   whatever is rare. docs/core.md says what stands for what. The one class that is made here is the
   iterator of an await.

   core.h   what is known of Python's side: slots, constants, methods, and how they are used
   rpc.h    the path of a plain call
   here     the bridge of await, tasks, the loop, oneshots, and what Python sees

   There is one of everything, for the main interpreter: others import the Python alone. */

#include "core.h"

/* ---- await ---- */

/* The iterator of ``await future``: it yields the future, and its value is what is sent in. It holds
   the future until then only, so it is nothing for the collector. */
typedef struct {
    PyObject_HEAD
    PyObject *held; /* the future, or the value that need not be waited for; then NULL */
    enum { FUTURE, VALUE, WAITS, OVER } state;
} Bridge;

static PyTypeObject *bridge_type, *awaits_type;
static PyObject *hosted; /* gives the iterator of an await instead, while a host is open; or NULL */
static PyObject *done;   /* an iterator, and an awaitable, that is over */
static PyObject *again;  /* an awaitable: `yield_now()` */

/* Steals `held`. */
static PyObject *make_bridge(PyObject *held, int state)
{
    Bridge *made = held ? PyObject_New(Bridge, bridge_type) : NULL;
    if (UNLIKELY(!made)) {
        Py_XDECREF(held);
        return NULL;
    }
    made->held = held;
    made->state = state;
    return (PyObject *)made;
}

static PyObject *bridge(PyObject *Py_UNUSED(module), PyObject *future)
{
    if (UNLIKELY(hosted != NULL)) return PyObject_CallOneArg(hosted, future);
    return make_bridge(Py_NewRef(future), FUTURE);
}

static PyObject *awaits_await(PyObject *self)
{
    return bridge(NULL, self);
}

static PyObject *bridge_await(PyObject *self)
{
    return self == again ? make_bridge(Py_NewRef(py.YIELD), FUTURE) : Py_NewRef(self);
}

static void bridge_dealloc(Bridge *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(self->held);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PySendResult bridge_am_send(Bridge *self, PyObject *value, PyObject **out)
{
    int state = self->state;
    *out = NULL;
    if (state == FUTURE && UNLIKELY(value != Py_None)) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started generator");
        return PYGEN_ERROR;
    }
    if (state == WAITS)
        *out = Py_NewRef(value);
    else if (state == OVER)
        *out = Py_NewRef(Py_None);
    else {
        *out = self->held;
        self->held = NULL;
    }
    self->state = state == FUTURE ? WAITS : OVER;
    return state == FUTURE ? PYGEN_NEXT : PYGEN_RETURN;
}

static PyObject *bridge_send(Bridge *self, PyObject *value)
{
    PyObject *out;
    if (bridge_am_send(self, value, &out) == PYGEN_RETURN) {
        PyObject *error = PyObject_CallOneArg(PyExc_StopIteration, out);
        Py_CLEAR(out);
        if (error) set_error(error);
    }
    return out;
}

static PyObject *bridge_next(Bridge *self)
{
    return bridge_send(self, Py_None);
}

static PyObject *bridge_close(Bridge *self, PyObject *Py_UNUSED(unused))
{
    self->state = OVER;
    Py_CLEAR(self->held);
    Py_RETURN_NONE;
}

static PyObject *bridge_throw(Bridge *self, PyObject *const *args, Py_ssize_t count)
{
    bridge_close(self, NULL);
    /* A StopIteration would look like a value. */
    if (UNLIKELY(count != 1 || !PyExceptionInstance_Check(args[0]) || PyErr_GivenExceptionMatches(args[0], PyExc_StopIteration)))
        return PyObject_Vectorcall(py.throw, args, (size_t)count, NULL);
    PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    return NULL;
}

static PyMethodDef bridge_methods[] = {
    {"send", (PyCFunction)bridge_send, METH_O, NULL},
    {"throw", FASTCALL(bridge_throw), METH_FASTCALL, NULL},
    {"close", (PyCFunction)bridge_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot bridge_slots[] = {
    {Py_tp_doc, "What awaits one future: yields it, and gives what is sent in."},
    {Py_tp_methods, bridge_methods},
    {Py_tp_dealloc, bridge_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_await, bridge_await},
    {Py_tp_iternext, bridge_next},
    {Py_am_send, bridge_am_send},
    {0, NULL},
};

static PyType_Spec bridge_spec = {
    .name = "pinfut._core.Bridge",
    .basicsize = sizeof(Bridge),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bridge_slots,
};

static PyType_Slot awaits_slots[] = {
    {Py_tp_doc, "The part of a future that await sees."},
    {Py_am_await, awaits_await},
    {0, NULL},
};

static PyType_Spec awaits_spec = {
    .name = "pinfut._core.Awaits",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = awaits_slots,
};

static PyObject *set_hosted(PyObject *Py_UNUSED(self), PyObject *function)
{
    Py_XSETREF(hosted, function == Py_None ? NULL : Py_NewRef(function));
    Py_RETURN_NONE;
}

/* ---- tasks ---- */

static int wake_task(PyObject *task)
{
    if (SLOT(task, task_at.queued) == Py_True) return 0;
    put(task, task_at.queued, Py_NewRef(Py_True));
    PyObject *queue = Py_XNewRef(SLOT(task, task_at._queue));
    if (UNLIKELY(!queue)) return missing("_queue");
    int result = append(queue, task);
    if (UNLIKELY(result < 0))
        put(task, task_at.queued, Py_NewRef(Py_False));
    else if (PyObject_TypeCheck(queue, ready_type) && UNLIKELY(SLOT(queue, ready_at.asleep) == Py_True))
        result = drop_result(PyObject_CallFunctionObjArgs(py.require_own_thread, SLOT(queue, ready_at.runner), task, NULL));
    Py_DECREF(queue);
    return result;
}

static PyObject *task_wake(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return none_if(wake_task(self));
}

/* What is held here is the caller's: `waker` stays alive. */
static inline int wake(PyObject *waker)
{
    if (LIKELY(Py_TYPE(waker) == task_type)) return wake_task(waker);
    return drop_result(PyObject_CallMethodNoArgs(waker, name.wake));
}

/* Whoever stands in a slot is woken, and `instead` stands there. */
static inline int wake_from(PyObject *object, Py_ssize_t offset, PyObject *instead)
{
    PyObject *waker = SLOT(object, offset);
    SLOT(object, offset) = Py_NewRef(instead);
    int result = wake(waker);
    Py_DECREF(waker);
    return result;
}

/* The loop that runs a task, borrowed; NULL where that is something else. */
static inline PyObject *loop_of(PyObject *task)
{
    PyObject *queue = SLOT(task, task_at._queue);
    PyObject *runner = queue && PyObject_TypeCheck(queue, ready_type) ? SLOT(queue, ready_at.runner) : NULL;
    return runner && PyObject_TypeCheck(runner, loop_type) ? runner : NULL;
}

static inline int is_cancelled(PyObject *error)
{
    return is_a(error, (PyTypeObject *)py.CancelledError);
}

static PyObject *task_poll(PyObject *self, PyObject *cx)
{
    PyObject *outcome = SLOT(self, task_at._outcome);
    if (outcome == py.NOT_DONE) {
        PyObject *waker = waker_of(cx), *joiner = SLOT(self, task_at._joiner);
        if (UNLIKELY(!waker)) return NULL;
        if (LIKELY(joiner == Py_None || joiner == waker)) {
            put(self, task_at._joiner, waker);
            return Py_NewRef(py.PENDING);
        }
        Py_DECREF(waker);
    } else if (LIKELY(outcome && Py_TYPE(outcome) != failure_type))
        return Py_NewRef(outcome);
    PyObject *error = is_a(outcome, failure_type) ? SLOT(outcome, failure_at.error) : NULL;
    if (is_cancelled(error) && SLOT(outcome, failure_at.unclaimed) == Py_None && PyException_SetTraceback(error, Py_None) == 0) {
        SLOT(outcome, failure_at.error) = Py_NewRef(Py_None);
        set_error(error);
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(cold.task_poll, self, cx, NULL);
}

/* `method` of `object` has raised, and nobody waits for it. */
static int report(PyObject *object, PyObject *method)
{
    PyObject *error = take_error();
    PyObject *call = PyObject_GetAttr(object, method);
    int result = call ? drop_result(PyObject_CallFunctionObjArgs(py.report_call, call, error, NULL)) : -1;
    Py_XDECREF(call);
    Py_DECREF(error);
    return result;
}

static int finish_task(PyObject *task, PyObject *value)
{
    PyObject *loop = loop_of(task), *tasks = loop ? SLOT(loop, loop_at.tasks) : NULL;
    if (UNLIKELY(SLOT(task, task_at.block) != Py_None || !tasks || !PyDict_Check(tasks)))
        return drop_result(PyObject_CallFunctionObjArgs(cold.task_finish, task, value, NULL));
    put(task, task_at._outcome, Py_NewRef(value));
    put(task, task_at.queued, Py_NewRef(Py_True));
    put(task, task_at.leaf, Py_NewRef(py.OVER));
    PyObject *owner = Py_XNewRef(PyDict_GetItemWithError(tasks, task));
    if (UNLIKELY(!owner || PyDict_DelItem(tasks, task) < 0)) {
        Py_XDECREF(owner);
        if (!PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, task);
        return -1;
    }
    int result = 0;
    if (owner != Py_None && UNLIKELY(drop_result(PyObject_CallMethodOneArg(owner, name.ended, task)) < 0))
        result = report(owner, name.ended);
    Py_DECREF(owner);
    PyObject *joiner = SLOT(task, task_at._joiner);
    if (result == 0 && joiner && joiner != Py_None) {
        SLOT(task, task_at._joiner) = Py_NewRef(Py_None);
        if (UNLIKELY(wake(joiner) < 0)) result = report(joiner, name.wake);
        Py_DECREF(joiner);
    }
    return result;
}

/* `Task.interrupt`: what it waits for is wrapped, and raises CancelledError when it is polled. */
static int interrupt(PyObject *task)
{
    PyObject *leaf = SLOT(task, task_at.leaf);
    if (UNLIKELY(!leaf)) return missing("leaf");
    if (Py_TYPE(leaf) == interrupt_type || leaf == py.OVER) return 0;
    PyObject *made = make(interrupt_type);
    if (UNLIKELY(!made)) return -1;
    SLOT(made, interrupt_at._kind) = Py_NewRef(py.CancelledError);
    SLOT(made, interrupt_at._leaf) = leaf;
    SLOT(task, task_at.leaf) = made;
    return wake(task);
}

static PyObject *task_cancel(PyObject *self, PyObject *Py_UNUSED(unused))
{
    if (Py_TYPE(self) != task_type) return PyObject_CallOneArg(cold.task_cancel, self);
    if (SLOT(self, task_at._outcome) != py.NOT_DONE) Py_RETURN_FALSE;
    PyObject *loop = loop_of(self), *cancels = SLOT(self, task_at.cancels);
    if (UNLIKELY(!loop || !cancels || SLOT(loop, loop_at.current) == self || SLOT(self, task_at.leaf) == Py_None
                 || SLOT(self, task_at.block) != Py_None))
        return PyObject_CallOneArg(cold.task_cancel, self);
    long count = PyLong_AsLong(cancels);
    PyObject *more = PyErr_Occurred() ? NULL : PyLong_FromLong(count + 1);
    if (UNLIKELY(!more)) return NULL;
    put(self, task_at.cancels, more);
    return interrupt(self) < 0 ? NULL : Py_NewRef(Py_True);
}

/* ---- oneshots ---- */

static PyObject *oneshot_poll(PyObject *self, PyObject *cx)
{
    PyObject *value = SLOT(self, oneshot_at._value);
    if (value == py._EMPTY) return wait_in(self, oneshot_at._waker, cx);
    if (UNLIKELY(!value || value == py._TAKEN || value == py._CLOSED))
        return PyObject_CallFunctionObjArgs(cold.oneshot_poll, self, cx, NULL);
    SLOT(self, oneshot_at._value) = Py_NewRef(py._TAKEN);
    return value;
}

static PyObject *oneshot_send(PyObject *self, PyObject *value)
{
    if (UNLIKELY(SLOT(self, oneshot_at._value) != py._EMPTY))
        return PyObject_CallFunctionObjArgs(cold.oneshot_send, self, value, NULL);
    put(self, oneshot_at._value, Py_NewRef(value));
    PyObject *waker = SLOT(self, oneshot_at._waker);
    return !waker || waker == Py_None ? Py_NewRef(Py_None) : none_if(wake_from(self, oneshot_at._waker, Py_None));
}

static PyObject *oneshot(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    PyObject *cell = make((PyTypeObject *)py._KIND);
    if (!cell) return NULL;
    SLOT(cell, oneshot_at._value) = Py_NewRef(py._EMPTY);
    SLOT(cell, oneshot_at._waker) = Py_NewRef(Py_None);
    PyObject *ends = PyTuple_Pack(2, cell, cell);
    Py_DECREF(cell);
    return ends;
}

#include "channel.h"
#include "lock.h"

/* ---- the loop ---- */

static inline PyObject *poll(PyObject *leaf, PyObject *cx)
{
    PyTypeObject *type = Py_TYPE(leaf);
    if (type == task_type) return task_poll(leaf, cx);
    if (type == oneshot_type) return oneshot_poll(leaf, cx);
    if (type == recv_type) return recv_poll(leaf, cx);
    PyObject *args[2] = {leaf, cx};
    return PyObject_VectorcallMethod(name.poll, args, 2, NULL);
}

/* Who pays for a task, borrowed; NULL where nobody does. */
static inline PyObject *payer_of(PyObject *task)
{
    PyObject *context = SLOT(task, task_at._context);
    return is_a(context, paying.context_type) ? ((PaidContext *)context)->payer : NULL;
}

/* The context is `entry`'s until the poll is over, and then nobody's. `payer` pays for it, or NULL. */
static inline PyObject *poll_for(PyObject *payer, PyObject *entry, PyObject *leaf, PyObject *cx)
{
    put(cx, context_at.waker, Py_NewRef(entry));
    PyObject *value = LIKELY(!payer) ? poll(leaf, cx) : paying.poll(payer, poll, leaf, cx);
    put(cx, context_at.waker, Py_NewRef(py.NOBODY));
    return value;
}

/* The error that is set is a StopIteration: its value, and no error. */
static PyObject *value_of_stop(void)
{
    PyObject *error = take_error();
    PyObject *value = PyObject_GetAttr(error, name.value);
    Py_DECREF(error);
    return value;
}

/* What a step came to that gave `out`, or raised. */
static PySendResult result_of(PyObject **out)
{
    if (*out) return PYGEN_NEXT;
    return PyErr_ExceptionMatches(PyExc_StopIteration) && (*out = value_of_stop()) ? PYGEN_RETURN : PYGEN_ERROR;
}

/* A step of a coroutine in a context: `value` is sent in, or raised where it waits. `payer` pays for
   it, or NULL. */
static PySendResult step_in(PyObject *payer, PyObject *context, PyObject *coro, PyObject *value, int raised, PyObject **out)
{
    PySendResult result = PYGEN_ERROR;
    *out = NULL;
    if (UNLIKELY(PyContext_Enter(context) < 0)) return PYGEN_ERROR;
    if (payer)
        result = paying.step(payer, coro, value, raised, out);
    else if (LIKELY(!raised))
        result = PyIter_Send(coro, value, out);
    else {
        PyObject *args[] = {coro, value};
        if ((*out = PyObject_Vectorcall(py.throw_, args, 2, NULL))) result = PYGEN_NEXT;
    }
    if (UNLIKELY(PyContext_Exit(context) < 0)) {
        Py_CLEAR(*out);
        return PYGEN_ERROR;
    }
    return result == PYGEN_ERROR ? result_of(out) : result;
}

/* A step of the coroutine of `task`, in its context. */
static PySendResult step_coro(PyObject *task, PyObject *value, int raised, PyObject **out)
{
    PyObject *context = Py_XNewRef(SLOT(task, task_at._context));
    PyObject *coro = Py_XNewRef(SLOT(task, task_at._coro));
    PySendResult result = PYGEN_ERROR;
    *out = NULL;
    if (UNLIKELY(!context || !coro))
        missing("_coro");
    else if (Py_TYPE(context) == paying.context_type) {
        PaidContext *paid = (PaidContext *)context;
        result = step_in(paid->payer, paid->context, coro, value, raised, out);
    } else
        result = step_in(NULL, context, coro, value, raised, out);
    Py_XDECREF(context);
    Py_XDECREF(coro);
    return result;
}

/* `let_go`. */
static int drop(PyObject *leaf)
{
    if (Py_TYPE(leaf) != oneshot_type || PyDict_GetItemWithError(py.laws, name.recording) != Py_False)
        return leaf == py.YIELD ? 0 : drop_result(PyObject_CallOneArg(py.let_go, leaf));
    put(leaf, oneshot_at._waker, Py_NewRef(Py_None));
    if (SLOT(leaf, oneshot_at._value) != py._TAKEN) put(leaf, oneshot_at._value, Py_NewRef(py._CLOSED));
    return 0;
}

/* `Interrupt.poll`, without raising it: what the coroutine is to raise; NULL with an error. */
static PyObject *deliver(PyObject *interrupt)
{
    PyObject *leaf = SLOT(interrupt, interrupt_at._leaf), *kind = SLOT(interrupt, interrupt_at._kind);
    SLOT(interrupt, interrupt_at._leaf) = Py_NewRef(py.YIELD);
    int result = leaf ? drop(leaf) : 0;
    Py_XDECREF(leaf);
    return result < 0 || !kind ? NULL : PyObject_CallNoArgs(kind);
}

/* `Task.fail` with CancelledError: nothing to report, and no frame is kept. */
static int fail_cancelled(PyObject *task, PyObject *error)
{
    PyObject *failure = make(failure_type);
    if (!failure || PyException_SetTraceback(error, Py_None) < 0) {
        Py_XDECREF(failure);
        return -1;
    }
    PyException_SetContext(error, NULL);
    SLOT(failure, failure_at.error) = Py_NewRef(error);
    SLOT(failure, failure_at.traceback) = Py_NewRef(Py_None);
    SLOT(failure, failure_at.unclaimed) = Py_NewRef(Py_None);
    int result = finish_task(task, failure);
    Py_DECREF(failure);
    return result;
}

/* The step of an entry that is no task. */
static int step_entry(PyObject *loop, PyObject *entry, PyObject *cx)
{
    PyObject *leaf = PyObject_GetAttr(entry, name.leaf);
    if (!leaf || PyObject_SetAttr(entry, name.queued, Py_False) < 0) {
        Py_XDECREF(leaf);
        return -1;
    }
    PyObject *value = poll_for(NULL, entry, leaf, cx);
    if (value && PyObject_SetAttr(entry, name.leaf, leaf) < 0) Py_CLEAR(value);
    if (!value) {
        PyObject *error = take_error();
        value = PyObject_CallMethodObjArgs(loop, name.throw_into, entry, leaf, error, NULL);
        Py_DECREF(error);
    }
    Py_DECREF(leaf);
    return drop_result(value);
}

/* The step of `task`; 0, or -1 with what was raised, the return of its coroutine included. */
static int step_task(PyObject *loop, PyObject *task, PyObject *cx, int *burst, Py_ssize_t *steps)
{
    PyObject *leaf = Py_XNewRef(SLOT(task, task_at.leaf)), *value;
    PySendResult result = PYGEN_NEXT;
    if (UNLIKELY(!leaf)) return missing("leaf");
    if (leaf == py.YIELD) {
        Py_DECREF(leaf);
        result = step_coro(task, Py_None, 0, &leaf);
        if (result == PYGEN_NEXT && leaf == py.YIELD) {
            Py_DECREF(leaf);
            PyObject *queue = SLOT(task, task_at._queue);
            return LIKELY(queue != NULL) ? append(queue, task) : missing("_queue");
        }
    }
    if (LIKELY(result == PYGEN_NEXT)) put(task, task_at.queued, Py_NewRef(Py_False));
    while (LIKELY(result == PYGEN_NEXT)) {
        if (UNLIKELY(Py_TYPE(leaf) == interrupt_type)) {
            value = deliver(leaf);
            Py_DECREF(leaf);
            if (!value) return -1; /* it ends the run */
            result = step_coro(task, value, 1, &leaf);
            Py_DECREF(value);
        } else if ((value = poll_for(payer_of(task), task, leaf, cx)) == py.PENDING) {
            Py_DECREF(value);
            put(task, task_at.leaf, leaf);
            return 0;
        } else if (LIKELY(value != NULL)) {
            Py_DECREF(leaf);
            result = step_coro(task, value, 0, &leaf);
            Py_DECREF(value);
        } else {
            PyObject *error = take_error(), *traceback = PyException_GetTraceback(error);
            if (LIKELY(is_cancelled(error) && !traceback)) { /* none of the frames that have to be taken off */
                Py_DECREF(leaf);
                result = step_coro(task, error, 1, &leaf);
            } else {
                Py_SETREF(leaf, PyObject_CallMethodObjArgs(loop, name.throw_into, task, leaf, error, NULL));
                result = result_of(&leaf);
            }
            Py_XDECREF(traceback);
            Py_DECREF(error);
        }
        if (UNLIKELY(result != PYGEN_NEXT)) break;
        if (leaf == py.YIELD || UNLIKELY(--*burst <= 0)) {
            if (leaf == py.YIELD) --*burst;
            if (*burst <= 0) {
                if (*steps < PyLong_AsSsize_t(py.LOOK)) *steps = PyLong_AsSsize_t(py.LOOK);
                put(loop, loop_at.went_on, Py_NewRef(Py_True));
            }
            put(task, task_at.leaf, leaf);
            return wake(task);
        }
    }
    if (result == PYGEN_ERROR) return -1;
    int ended;
    if (LIKELY(Py_TYPE(task) == task_type))
        ended = finish_task(task, leaf);
    else
        ended = drop_result(PyObject_CallMethodOneArg(task, name.finish, leaf));
    Py_DECREF(leaf);
    return ended;
}

static int step(PyObject *loop, PyObject *entry, PyObject *cx, int *burst, Py_ssize_t *steps)
{
    int result = PyObject_TypeCheck(entry, task_type) ? step_task(loop, entry, cx, burst, steps)
                                                      : step_entry(loop, entry, cx);
    if (LIKELY(result == 0)) return 0;
    PyObject *error = take_error();
    if (is_cancelled(error) && Py_TYPE(entry) == task_type) {
        result = fail_cancelled(entry, error);
        if (UNLIKELY(result < 0)) Py_SETREF(error, take_error());
    }
    if (UNLIKELY(result < 0)) result = drop_result(PyObject_CallMethodObjArgs(loop, name.fail_step, entry, error, NULL));
    Py_DECREF(error);
    return result;
}

/* The calls that were put off to the end of the turn. */
static int make_deferred(PyObject *loop, PyObject *deferred)
{
    for (Py_ssize_t count = 2 * Py_SIZE(deferred); count > 0 && Py_SIZE(deferred) > 0; count--) {
        PyObject *entry = popleft(deferred);
        if (!entry) return -1;
        PyObject *call = PyTuple_GetItem(entry, 0), *args = call ? PyTuple_GetItem(entry, 1) : NULL;
        int result = args ? drop_result(PyObject_Call(call, args, NULL)) : -1;
        if (UNLIKELY(result < 0) && args) {
            PyObject *error = take_error();
            result = drop_result(PyObject_CallFunctionObjArgs(py.report_call, call, error, NULL));
            Py_DECREF(error);
        }
        Py_DECREF(entry);
        if (result < 0) return -1;
    }
    return Py_SIZE(deferred) ? drop_result(PyObject_CallMethodNoArgs(loop, name.run_deferred)) : 0;
}

static int is_over(PyObject *until)
{
    if (Py_TYPE(until) == task_type) return SLOT(until, task_at._outcome) != py.NOT_DONE;
    PyObject *outcome = PyObject_GetAttr(until, name._outcome);
    if (!outcome) return -1;
    Py_DECREF(outcome);
    return outcome != py.NOT_DONE;
}

/* One turn, and what follows it: 1 when `until` is done, 0 if not, -1 for what ends the run. */
static int turn(PyObject *loop, PyObject *until, Py_ssize_t most, PyObject *const *queues, PyObject *cx, Py_ssize_t *steps)
{
    PyObject *high = queues[0], *ready = queues[1], *low = queues[2], *deferred = queues[3];
    int burst = (int)PyLong_AsLong(py.TURN);
    Py_ssize_t count = Py_SIZE(ready);
    if (UNLIKELY(count > most || Py_SIZE(high) || Py_SIZE(low))) {
        PyObject *found = PyObject_CallFunction(py.select_batch, "OOOn", high, ready, low, most);
        if (!found) return -1;
        count = PyLong_AsSsize_t(found);
        Py_DECREF(found);
        if (count < 0) return -1;
    }
    *steps += count;
    if (UNLIKELY(PyErr_CheckSignals() < 0)) return -1;
    for (; count > 0; count--) {
        PyObject *entry = popleft(ready);
        if (UNLIKELY(!entry)) return -1;
        put(loop, loop_at.current, Py_NewRef(entry));
        int result = step(loop, entry, cx, &burst, steps);
        Py_DECREF(entry);
        if (UNLIKELY(result < 0)) return -1;
    }
    put(loop, loop_at.current, Py_NewRef(Py_None));
    int over = is_over(until);
    if (over) return over;
    if (Py_SIZE(deferred) > 0 && make_deferred(loop, deferred) < 0) return -1;
    if (*steps < PyLong_AsSsize_t(py.LOOK) && Py_SIZE(ready) > 0) return 0;
    *steps = 0;
    return drop_result(PyObject_CallMethodNoArgs(loop, name.look));
}

static PyObject *loop_run_turns(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t most = PyLong_AsSsize_t(count > 1 ? args[1] : py.TURN), steps = 0;
    if (count < 1 || count > 2) return PyErr_Format(PyExc_TypeError, "run_turns takes what to run until, and a number");
    if (most == -1 && PyErr_Occurred()) return NULL;
    /* They are held, for a step could replace them. */
    PyObject *queues[] = {
        Py_XNewRef(SLOT(self, loop_at.high)), Py_XNewRef(SLOT(self, loop_at.ready)),
        Py_XNewRef(SLOT(self, loop_at.low)), Py_XNewRef(SLOT(self, loop_at.deferred)),
    };
    PyObject *cx = Py_XNewRef(SLOT(self, loop_at.cx));
    int over = -1, sound = cx && PyObject_TypeCheck(cx, context_type);
    for (int i = 0; i < 4; i++) sound = sound && queues[i] && PyObject_TypeCheck(queues[i], deque_type);
    if (UNLIKELY(!sound))
        PyErr_SetString(PyExc_TypeError, "this loop has other queues than deques");
    else
        do over = turn(self, args[0], most, queues, cx, &steps);
        while (!over);
    for (int i = 0; i < 4; i++) Py_XDECREF(queues[i]);
    Py_XDECREF(cx);
    return over < 0 ? NULL : PyLong_FromSsize_t(steps);
}

/* ---- what is called by name ---- */

/* The executor that runs in this thread, if it is an everyday one; borrowed. NULL, perhaps with an
   error, if not. */
static PyObject *everyday(void)
{
    PyObject *executor = PyObject_GetAttr(py.running, name.executor);
    if (!executor) return NULL;
    Py_DECREF(executor); /* the thread's own dictionary has it */
    return Py_TYPE(executor) == executor_type && SLOT(executor, executor_at.watching) == Py_False ? executor : NULL;
}

static PyObject *spawn(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (LIKELY(count == 1 && !names && PyCoro_CheckExact(args[0]))) {
        PyObject *executor = everyday();
        PyObject *queue = executor ? SLOT(executor, loop_at.ready) : NULL, *tasks = executor ? SLOT(executor, loop_at.tasks) : NULL;
        if (LIKELY(queue && Py_TYPE(queue) == ready_type && SLOT(queue, ready_at.asleep) == Py_False && tasks)) {
            PyObject *context = PyObject_CallNoArgs(py.copy_context);
            PyObject *task = context ? make(task_type) : NULL;
            if (!task) {
                Py_XDECREF(context);
                return NULL;
            }
            SLOT(task, task_at._queue) = Py_NewRef(queue);
            SLOT(task, task_at._coro) = Py_NewRef(args[0]);
            SLOT(task, task_at._context) = context;
            SLOT(task, task_at.leaf) = Py_NewRef(py.YIELD);
            SLOT(task, task_at.queued) = Py_NewRef(Py_True);
            SLOT(task, task_at._joiner) = Py_NewRef(Py_None);
            SLOT(task, task_at._outcome) = Py_NewRef(py.NOT_DONE);
            SLOT(task, task_at.cancels) = PyLong_FromLong(0);
            SLOT(task, task_at.block) = Py_NewRef(Py_None);
            if (LIKELY(PyDict_SetItem(tasks, task, Py_None) == 0)) {
                if (LIKELY(append(queue, task) == 0)) return task;
                PyObject *error = take_error();
                if (PyDict_DelItem(tasks, task) < 0) PyErr_Clear();
                set_error(error);
            }
            Py_DECREF(task);
            return NULL;
        }
        if (PyErr_Occurred()) return NULL;
    }
    return PyObject_Vectorcall(cold.spawn, args, (size_t)count, names);
}

static PyObject *call_soon(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t count)
{
    PyObject *executor = count ? everyday() : NULL, *deferred = executor ? SLOT(executor, loop_at.deferred) : NULL;
    if (UNLIKELY(!is_a(deferred, deque_type))) return PyErr_Occurred() ? NULL : PyObject_Vectorcall(cold.call_soon, args, (size_t)count, NULL);
    PyObject *rest = PyTuple_New(count - 1), *call = rest ? PyTuple_Pack(2, args[0], rest) : NULL;
    for (Py_ssize_t i = 1; call && i < count; i++) PyTuple_SET_ITEM(rest, i - 1, Py_NewRef(args[i]));
    int result = call ? drop_result(deque_append(deferred, call)) : -1;
    Py_XDECREF(rest);
    Py_XDECREF(call);
    return none_if(result);
}

#include "timer.h"
#include "rpc.h"

/* ---- what stands for what ---- */

static const Class *const classes[] = {
    &context_class, &ready_class, &task_class, &failure_class, &interrupt_class, &loop_class, &executor_class,
    &oneshot_class, &shared_class, &send_class, &recv_class, &sender_class, &receiver_class, &lock_class,
    &timers_class, &timeout_class, &slot_class, &table_class, &writer_class, &submissions_class,
    &requests_class, &peer_class, &answer_class, &promise_class, &question_class, &target_class,
    &method_class, &out_class, &in_class,
};

#define ROWS(table) (sizeof table / sizeof *table)
#define HAS(module, text) {module, #text, &py.text}
#define RPC(module, text) {"pinfut." module, #text, &rpc.text}

static const struct { const char *module, *name; PyObject **place; } constants[] = {
    HAS("pinfut.core", throw), HAS("pinfut.poll", PENDING), HAS("pinfut.poll", NOBODY), HAS("pinfut.future", let_go),
    HAS("pinfut.executor.ready", TURN), HAS("pinfut.executor.ready", LOOK), HAS("pinfut.executor.timers", MIN_DEAD),
    HAS("pinfut.executor.ready", require_own_thread), HAS("pinfut.executor.ready", select_batch),
    HAS("pinfut.executor.task", NOT_DONE), HAS("pinfut.executor.task", OVER), HAS("pinfut.coroutine", YIELD),
    HAS("pinfut.executor.task", report_call), HAS("pinfut.executor.task", CancelledError),
    HAS("pinfut.executor.core", running), HAS("pinfut.executor.core", copy_context),
    HAS("pinfut.sync.oneshot", _EMPTY), HAS("pinfut.sync.oneshot", _TAKEN), HAS("pinfut.sync.oneshot", _CLOSED), HAS("pinfut.sync.oneshot", _KIND),
    HAS("pinfut.sync.channel", _SENT), HAS("pinfut.coroutine", _CELL),
    HAS("pinfut.executor.timers", heappush),
    {"pinfut.executor.block", "_CLOSED", &py.closed},
    RPC("slots", FREE), RPC("slots", WAITING), RPC("slots", READY),
    RPC("rpc.wire.peer", RUNNING), RPC("rpc.wire.peer", ProtocolError), RPC("rpc.wire.peer", _PLAIN),
    RPC("rpc.objects.promise", IMPORTED), RPC("rpc.objects.promise", _TAKEN),
    RPC("rpc.objects.proxy", CodecError), RPC("rpc.session.calls_in", native),
};

#define SLOT_OF_AWAIT 0 /* not called as a method, which costs a lookup and a call */

/* The methods of these classes, and where what they replace is kept; without a function it is only kept. */
static const struct { PyTypeObject **type; PyObject **kept; PyMethodDef method; } methods[] = {
    {&task_type, &cold.task_cancel, {"cancel", task_cancel, METH_NOARGS, AS("cancel($self, /)")}},
    {&task_type, &cold.task_finish, {.ml_name = "finish"}},
    {&task_type, &cold.task_poll, {"poll", task_poll, METH_O, AS("poll($self, cx, /)")}},
    {&task_type, NULL, {"wake", task_wake, METH_NOARGS, AS("wake($self, /)")}},
    {&loop_type, NULL, {"run_turns", FASTCALL(loop_run_turns), METH_FASTCALL, AS("run_turns($self, until, most=512, /)")}},
    {&oneshot_type, &cold.oneshot_poll, {"poll", oneshot_poll, METH_O, AS("poll($self, cx, /)")}},
    {&oneshot_type, &cold.oneshot_send, {"send", oneshot_send, METH_O, AS("send($self, value, /)")}},
    {&shared_type, &cold.offer, {.ml_name = "offer"}},
    {&shared_type, &cold.taken, {.ml_name = "taken"}},
    {&send_type, NULL, {"__await__", FASTCALL(send_await), SLOT_OF_AWAIT}},
    {&recv_type, NULL, {"__await__", FASTCALL(recv_await), SLOT_OF_AWAIT}},
    {&recv_type, &cold.recv_poll, {"poll", recv_poll, METH_O, AS("poll($self, cx, /)")}},
    {&sender_type, NULL, {"send", sender_send, METH_O, AS("send($self, value, /)")}},
    {&receiver_type, NULL, {"recv", receiver_recv, METH_NOARGS, AS("recv($self, /)")}},
    {&lock_type, &cold.lock_aenter, {"__aenter__", lock_aenter, METH_NOARGS, AS("__aenter__($self, /)")}},
    {&lock_type, &cold.lock_aexit, {"__aexit__", FASTCALL(lock_aexit), METH_FASTCALL, AS("__aexit__($self, kind, error, traceback, /)")}},
    {&timers_type, &cold.clean, {.ml_name = "_clean"}},
    {&timeout_type, &cold.timeout_enter, {"__enter__", timeout_enter, METH_NOARGS, AS("__enter__($self, /)")}},
    {&timeout_type, &cold.timeout_exit, {"__exit__", FASTCALL(timeout_exit), METH_FASTCALL, AS("__exit__($self, kind, error, traceback, /)")}},
    {&table_type, &python.acquire, {"acquire", table_acquire, METH_NOARGS, AS("acquire($self, /)")}},
    {&table_type, &python.release, {"release", table_release, METH_O, AS("release($self, slot)")}},
    {&writer_type, &python.submit, {"submit", ring_submit, METH_O, AS("submit($self, frame, /)")}},
    {&submissions_type, &python.take_plain, {"take_plain", FASTCALL(submissions_take_plain), METH_FASTCALL, AS("take_plain($self, place, x, word, /)")}},
    {&requests_type, &python.complete, {"complete", FASTCALL(requests_complete), METH_FASTCALL, AS("complete($self, place, x, frame, /)")}},
    {&promise_type, &python.promise_poll, {"poll", promise_poll, METH_O, AS("poll($self, cx, /)")}},
    {&out_type, &python.take, {"take", FASTCALL(out_take), METH_FASTCALL, AS("take($self, question, method, /)")}},
    {&peer_type, &python.receive, {"receive", peer_receive, METH_O, AS("receive($self, frame)")}},
    {&peer_type, &python.give, {"give", FASTCALL(peer_give), METH_FASTCALL, AS("give($self, answer, payload)")}},
    {&in_type, &python.on_call, {"on_call", FASTCALL(in_on_call), METH_FASTCALL, AS("on_call($self, answer, called, payload, /)")}},
};

static const struct { const char *module; PyObject **kept; PyMethodDef function; } functions_of[] = {
    {"pinfut.executor", &cold.call_soon, {"call_soon", FASTCALL(call_soon), METH_FASTCALL, AS("call_soon(call, /, *args)")}},
    {"pinfut.executor", &cold.spawn, {"spawn", FASTCALL(spawn), METH_FASTCALL | METH_KEYWORDS, AS("spawn(coro, *, name=None, priority='normal')")}},
    {"pinfut.executor.timeout", &cold.timeout, {"timeout", FASTCALL(timeout), METH_FASTCALL | METH_KEYWORDS, AS("timeout(seconds, awaitable=None)")}},
    {"pinfut.rpc.objects.proxy", &python.submit_plain, {"submit_plain", FASTCALL(submit_plain), METH_FASTCALL, AS("submit_plain(target, one, args, /)")}},
    {"pinfut.sync.oneshot", NULL, {"oneshot", oneshot, METH_NOARGS, AS("oneshot()")}},
};

static int install_coroutine(PyObject *module)
{
    again = make_bridge(Py_NewRef(py.YIELD), FUTURE);
    return again ? PyDict_SetItemString(module, "_YIELD_NOW", again) : -1;
}

/* What else a module asks for. */
static const struct { const char *module; int (*install)(PyObject *module); } parts[] = {
    {"pinfut.future", take_laws}, {"pinfut.coroutine", install_coroutine}, {"pinfut.rpc.wire.peer", install_peer},
};

static int set_await(PyTypeObject *type, PyCFunction function)
{
    PyObject *base = PyObject_GetAttrString((PyObject *)awaits_type, "__await__");
    PyObject *made = base ? PyDescr_NewWrapper(type, ((PyWrapperDescrObject *)base)->d_base, (void *)function) : NULL;
    int result = made ? PyObject_SetAttrString((PyObject *)type, "__await__", made) : -1;
    Py_XDECREF(base);
    Py_XDECREF(made);
    return result;
}

/* A class is found, and its slots, and its methods are replaced. */
static int install_class(PyObject *module, const Class *class)
{
    PyTypeObject *type;
    if (take(module, class->name, (PyObject **)&type) < 0) return -1;
    *class->type = type;
    if (find_slots(type, class->slots, class->at) < 0) return -1;
    for (size_t i = 0; i < ROWS(methods); i++) {
        const PyMethodDef *method = &methods[i].method;
        int is_slot = method->ml_meth && method->ml_flags == SLOT_OF_AWAIT;
        if (methods[i].type != class->type) continue;
        if ((is_slot ? set_await(type, method->ml_meth) : replace_one(NULL, type, method, methods[i].kept)) < 0) return -1;
    }
    return 0;
}

static PyObject *accelerate(PyObject *Py_UNUSED(self), PyObject *module)
{
    PyObject *found = PyDict_Check(module) ? PyDict_GetItemString(module, "__name__") : NULL;
    const char *is = found ? PyUnicode_AsUTF8(found) : "";
    int rows = 0, failed = is ? 0 : -1;
#define EACH(i, table, its) for (size_t i = 0; !failed && i < ROWS(table); i++) if (strcmp(its.module, is) == 0 && ++rows)
    EACH(i, constants, constants[i]) failed = take(module, constants[i].name, constants[i].place);
    EACH(i, classes, (*classes[i])) failed = install_class(module, classes[i]);
    EACH(i, functions_of, functions_of[i]) failed = replace_one(module, NULL, &functions_of[i].function, functions_of[i].kept);
    EACH(i, parts, parts[i]) failed = parts[i].install(module);
    if (!rows && !failed) return PyErr_Format(PyExc_ImportError, "pinfut._core has nothing for %S", found ? found : module);
    return none_if(failed);
}

static PyMethodDef functions[] = {
    {"accelerate", accelerate, METH_O, NULL},
    {"bridge", bridge, METH_O, NULL},
    {"set_hosted", set_hosted, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *self)
{
    if (require_main("the core") < 0 || find_python() < 0) return -1;
    bridge_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &bridge_spec, NULL);
    awaits_type = (PyTypeObject *)PyType_FromModuleAndSpec(self, &awaits_spec, NULL);
    if (!bridge_type || !awaits_type) return -1;
    Py_XSETREF(done, make_bridge(Py_NewRef(Py_None), OVER));
    if (!done) return -1;
    return PyModule_AddType(self, awaits_type) < 0 || PyModule_AddType(self, bridge_type) < 0 ? -1 : 0;
}

MODULE(_core, "The innermost part of pinfut. Use it through pinfut and pinfut.executor.", functions, execute)
