/* timers: those that are set, and timeouts that are over before their time. */

/* `Timers.push` of a timer that is marked as live. */
static int push(PyObject *timers, PyObject *deadline, PyObject *timer)
{
    PyObject *heap = SLOT(timers, timers_at.heap);
    Py_ssize_t order = number(timers, timers_at._order);
    if (UNLIKELY(!heap || PyErr_Occurred())) return PyErr_Occurred() ? -1 : missing("heap");
    if (set_number(timers, timers_at._order, order + 1) < 0) return -1;
    PyObject *args[] = {heap, PyTuple_Pack(3, deadline, SLOT(timers, timers_at._order), timer)};
    if (UNLIKELY(!args[1])) return -1;
    int result = drop_result(PyObject_Vectorcall(py.heappush, args, 2, NULL));
    Py_DECREF(args[1]);
    return result;
}

/* `Timers.cancel` of a timeout that is live. */
static int cancel(PyObject *timers, PyObject *timer)
{
    PyObject *heap = SLOT(timers, timers_at.heap);
    Py_ssize_t dead = number(timers, timers_at._dead), size = heap && PyList_CheckExact(heap) ? PyList_GET_SIZE(heap) : 0;
    PyObject *last = size ? PyList_GET_ITEM(heap, size - 1) : NULL;
    if (UNLIKELY(dead < 0)) return -1;
    put(timer, timeout_at.live, Py_NewRef(Py_False));
    if (LIKELY(last && PyTuple_CheckExact(last) && PyTuple_GET_SIZE(last) == 3 && PyTuple_GET_ITEM(last, 2) == timer)) {
        if (PyList_SetSlice(heap, --size, PY_SSIZE_T_MAX, NULL) < 0) return -1;
    } else if (set_number(timers, timers_at._dead, ++dead) < 0)
        return -1;
    return dead > PyLong_AsSsize_t(py.MIN_DEAD) && dead * 2 > size ? drop_result(PyObject_CallOneArg(cold.clean, timers)) : 0;
}

static PyObject *timeout(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    double seconds = count == 1 && !names && PyFloat_CheckExact(args[0]) ? PyFloat_AS_DOUBLE(args[0])
                     : count == 1 && !names && PyLong_CheckExact(args[0]) ? PyLong_AsDouble(args[0]) : -1;
    if (UNLIKELY(!(seconds >= 0))) {
        PyErr_Clear(); /* a number that is too large: on entry */
        return PyObject_Vectorcall(cold.timeout, args, (size_t)count, names);
    }
    PyObject *block = make(timeout_type);
    if (UNLIKELY(!block)) return NULL;
    SLOT(block, timeout_at._owner) = Py_NewRef(Py_None);
    SLOT(block, timeout_at._seconds) = Py_NewRef(args[0]);
    SLOT(block, timeout_at.fired) = Py_NewRef(Py_False);
    return block;
}

static PyObject *timeout_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *executor = everyday(), *seconds = SLOT(self, timeout_at._seconds), *driver;
    if (PyErr_Occurred() || PyContextVar_Get(py._CELL, Py_None, &driver) < 0) return NULL;
    Py_DECREF(driver);
    PyObject *clock = executor ? SLOT(executor, loop_at.clock) : NULL;
    if (UNLIKELY(!clock || driver != Py_None || !seconds || seconds == Py_None || SLOT(self, timeout_at._owner) != Py_None
                 || !is_a(SLOT(executor, loop_at.timers), timers_type) || !is_a(SLOT(executor, loop_at.current), task_type)))
        return PyObject_CallOneArg(cold.timeout_enter, self);
    PyObject *now = PyObject_CallMethodNoArgs(clock, name.now);
    PyObject *deadline = now ? PyNumber_Add(now, seconds) : NULL, *owner = SLOT(executor, loop_at.current);
    Py_XDECREF(now);
    put(self, timeout_at.live, Py_NewRef(Py_True));
    if (UNLIKELY(!deadline || push(SLOT(executor, loop_at.timers), deadline, self) < 0)) {
        Py_XDECREF(deadline);
        return NULL;
    }
    put(self, timeout_at.deadline, deadline);
    put(self, timeout_at.executor, Py_NewRef(executor));
    put(self, timeout_at._passed, Py_NewRef(Py_None));
    put(self, timeout_at.outer, Py_XNewRef(SLOT(owner, task_at.block)));
    put(self, timeout_at._owner, Py_NewRef(owner));
    put(owner, task_at.block, Py_NewRef(self));
    return Py_NewRef(self);
}

static PyObject *timeout_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *owner = SLOT(self, timeout_at._owner), *executor = SLOT(self, timeout_at.executor), *outer = SLOT(self, timeout_at.outer);
    if (count != 3) return PyErr_Format(PyExc_TypeError, "__exit__ takes a class, an error and a traceback");
    if (UNLIKELY(!outer || !is_a(owner, task_type) || SLOT(owner, task_at.block) != self || SLOT(self, timeout_at.live) != Py_True
                 || SLOT(self, timeout_at.fired) != Py_False || SLOT(self, timeout_at._passed) != Py_None
                 || !is_a(executor, executor_type) || !is_a(SLOT(executor, loop_at.timers), timers_type)))
        return PyObject_CallFunctionObjArgs(cold.timeout_exit, self, args[0], args[1], args[2], NULL);
    if (cancel(SLOT(executor, loop_at.timers), self) < 0) return NULL;
    put(owner, task_at.block, Py_NewRef(outer));
    put(self, timeout_at._owner, Py_NewRef(py.closed));
    put(self, timeout_at.outer, Py_NewRef(Py_None));
    Py_RETURN_NONE;
}
