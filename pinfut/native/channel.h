/* channel: the two futures, and what they share. */

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

/* The deque in a slot; NULL where that is something else. */
static inline PyObject *line_of(PyObject *object, Py_ssize_t offset)
{
    PyObject *line = SLOT(object, offset);
    return line && Py_IS_TYPE(line, deque_type) ? line : NULL;
}

/* Whether every await has to go through what runs it. */
static int through_executor(void)
{
    PyObject *found = PyDict_GetItemWithError(py.laws, name.through_executor);
    return found != Py_False;
}

/* `_Shared.offer`: 1 when the value is in, 0 without room, -1 with an error. */
static int offer(PyObject *state, PyObject *value)
{
    PyObject *buffer = line_of(state, shared_at.buffer), *receivers = line_of(state, shared_at.receivers);
    Py_ssize_t capacity = number(state, shared_at.capacity), reserved = number(state, shared_at.reserved);
    if (UNLIKELY(!buffer || !receivers || PyErr_Occurred())) {
        if (!PyErr_Occurred()) missing("buffer");
        return -1;
    }
    if (Py_SIZE(receivers) == 0) {
        if (Py_SIZE(buffer) - reserved >= capacity) return 0;
        return drop_result(deque_append(buffer, value)) < 0 ? -1 : 1;
    }
    if (UNLIKELY(!capacity)) return 0; /* closed, and they wait for what may come back */
    if (UNLIKELY(number(state, shared_at.gaps) != 0)) {
        PyObject *found = PyObject_CallFunctionObjArgs(cold.offer, state, value, NULL);
        int result = found ? PyObject_IsTrue(found) : -1;
        Py_XDECREF(found);
        return result;
    }
    if (drop_result(deque_append(buffer, value)) < 0 || set_number(state, shared_at.reserved, reserved + 1) < 0) return -1;
    PyObject *receiver = popleft(receivers);
    if (UNLIKELY(!receiver)) return -1;
    int result = -1;
    if (LIKELY(PyObject_TypeCheck(receiver, recv_type) && SLOT(receiver, recv_at.waker))) {
        put(receiver, recv_at.woken, Py_NewRef(Py_True));
        PyObject *waker = Py_NewRef(SLOT(receiver, recv_at.waker));
        result = wake(waker) < 0 ? -1 : 1;
        Py_DECREF(waker);
    } else
        missing("waker");
    Py_DECREF(receiver);
    return result;
}

static PyObject *shared_offer(PyObject *self, PyObject *value)
{
    int result = offer(self, value);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

/* `_Shared.taken`, where somebody may care. */
static int taken(PyObject *state)
{
    PyObject *senders = line_of(state, shared_at.senders), *buffer = line_of(state, shared_at.buffer);
    PyObject *gaps = SLOT(state, shared_at.gaps);
    if (UNLIKELY(!senders || !buffer)) return missing("senders");
    if (Py_SIZE(senders) == 0 && SLOT(state, shared_at.closed) == Py_False) return 0;
    if (Py_SIZE(senders) == 0 || PyObject_IsTrue(gaps)) return drop_result(PyObject_CallOneArg(cold.taken, state));
    if (Py_SIZE(buffer) - number(state, shared_at.reserved) >= number(state, shared_at.capacity)) return PyErr_Occurred() ? -1 : 0;
    PyObject *sender = popleft(senders);
    if (UNLIKELY(!sender || !PyObject_TypeCheck(sender, send_type) || !SLOT(sender, send_at.waker) || !SLOT(sender, send_at.value))) {
        Py_XDECREF(sender);
        return missing("waker");
    }
    PyObject *waker = SLOT(sender, send_at.waker);
    SLOT(sender, send_at.waker) = Py_NewRef(py.SENT);
    PyObject *error = wake(waker) < 0 ? take_error() : NULL;
    Py_DECREF(waker);
    PyObject *value = Py_NewRef(SLOT(sender, send_at.value));
    int result = offer(state, value) < 0 ? -1 : 0;
    Py_DECREF(value);
    Py_DECREF(sender);
    if (UNLIKELY(error != NULL)) {
        if (result == 0) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
        result = -1;
    }
    return result;
}

/* The first value, whose place may be a sender's. */
static PyObject *take_value(PyObject *state)
{
    PyObject *buffer = line_of(state, shared_at.buffer);
    if (UNLIKELY(!buffer)) return missing("buffer"), NULL;
    PyObject *value = popleft(buffer);
    if (value && UNLIKELY(taken(state) < 0)) Py_CLEAR(value);
    return value;
}

/* `offer` for a `_Send`, which has nothing more to wait for when its value is in. */
static int offer_of(PyObject *self, PyObject *state, PyObject *value)
{
    Py_INCREF(value);
    int result = offer(state, value);
    Py_DECREF(value);
    if (result > 0) put(self, send_at.waker, Py_NewRef(py.SENT));
    return result;
}

static PyObject *send_poll(PyObject *self, PyObject *cx)
{
    PyObject *waker = SLOT(self, send_at.waker), *state = SLOT(self, send_at._state), *value = SLOT(self, send_at.value);
    if (waker == py.SENT) Py_RETURN_NONE;
    if (UNLIKELY(!state || !value || !waker || SLOT(state, shared_at.closed) != Py_False))
        return PyObject_CallFunctionObjArgs(cold.send_poll, self, cx, NULL);
    if (waker == Py_None) {
        int result = offer_of(self, state, value);
        if (result < 0) return NULL;
        if (result) Py_RETURN_NONE;
        PyObject *senders = line_of(state, shared_at.senders);
        if (!senders || drop_result(deque_append(senders, self)) < 0) return NULL;
    }
    waker = waker_of(cx);
    if (UNLIKELY(!waker)) return NULL;
    put(self, send_at.waker, waker);
    return Py_NewRef(py.PENDING);
}

static PyObject *send_await(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *state = SLOT(self, send_at._state), *value = SLOT(self, send_at.value);
    if (SLOT(self, send_at.waker) == Py_None && state && value && !through_executor()) {
        int result = offer_of(self, state, value);
        if (result < 0) return NULL;
        if (result) return Py_NewRef(py.NOTHING);
    }
    return bridge(NULL, self);
}

static PyObject *recv_poll(PyObject *self, PyObject *cx)
{
    PyObject *state = SLOT(self, recv_at._state), *waker = SLOT(self, recv_at.waker);
    PyObject *buffer = state ? line_of(state, shared_at.buffer) : NULL;
    if (UNLIKELY(!buffer || !waker)) return PyObject_CallFunctionObjArgs(cold.recv_poll, self, cx, NULL);
    Py_ssize_t reserved = number(state, shared_at.reserved);
    if (SLOT(self, recv_at.woken) == Py_True) {
        put(self, recv_at.woken, Py_NewRef(Py_False));
        put(self, recv_at.waker, Py_NewRef(Py_None));
        if (set_number(state, shared_at.reserved, reserved - 1) < 0) return NULL;
    } else if (waker != Py_None || Py_SIZE(buffer) <= reserved) {
        if (waker == Py_None) {
            PyObject *receivers = line_of(state, shared_at.receivers);
            if (UNLIKELY(!receivers || SLOT(state, shared_at.closed) != Py_False))
                return PyObject_CallFunctionObjArgs(cold.recv_poll, self, cx, NULL);
            if (drop_result(deque_append(receivers, self)) < 0) return NULL;
        }
        waker = waker_of(cx);
        if (UNLIKELY(!waker)) return NULL;
        put(self, recv_at.waker, waker);
        return Py_NewRef(py.PENDING);
    }
    return take_value(state);
}

static PyObject *recv_await(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *state = SLOT(self, recv_at._state);
    PyObject *buffer = state ? line_of(state, shared_at.buffer) : NULL;
    if (SLOT(self, recv_at.waker) == Py_None && buffer && Py_SIZE(buffer) > number(state, shared_at.reserved) && !through_executor()) {
        put(self, recv_at.waker, Py_NewRef(py.SENT));
        return at_once(take_value(state));
    }
    return PyErr_Occurred() ? NULL : bridge(NULL, self);
}

static PyObject *sender_send(PyObject *self, PyObject *value)
{
    PyObject *future = make(send_type);
    if (!future) return NULL;
    SLOT(future, send_at._state) = Py_XNewRef(SLOT(self, end_at._state));
    SLOT(future, send_at.value) = Py_NewRef(value);
    SLOT(future, send_at.waker) = Py_NewRef(Py_None);
    return future;
}

static PyObject *receiver_recv(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *future = make(recv_type);
    if (!future) return NULL;
    SLOT(future, recv_at._state) = Py_XNewRef(SLOT(self, end_at._state));
    SLOT(future, recv_at.woken) = Py_NewRef(Py_False);
    SLOT(future, recv_at.waker) = Py_NewRef(Py_None);
    return future;
}

static PyMethodDef shared_methods[] = {
    {"offer", shared_offer, METH_O, "offer($self, value, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef send_methods[] = {
    {"poll", send_poll, METH_O, "poll($self, cx, /)\n--\n\n"},
    {"__await__", send_await, METH_NOARGS, "__await__($self, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef recv_methods[] = {
    {"poll", recv_poll, METH_O, "poll($self, cx, /)\n--\n\n"},
    {"__await__", recv_await, METH_NOARGS, "__await__($self, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef sender_methods[] = {
    {"send", sender_send, METH_O, "send($self, value, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef receiver_methods[] = {
    {"recv", receiver_recv, METH_NOARGS, "recv($self, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static int install_channel(PyObject *module)
{
    PyTypeObject *shared = take_class(module, "_Shared"), *end = take_class(module, "_End");
    PyTypeObject *sender = take_class(module, "Sender"), *receiver = take_class(module, "Receiver");
    send_type = take_class(module, "_Send");
    recv_type = take_class(module, "_Recv");
    if (!shared || !end || !sender || !receiver || !send_type || !recv_type) return -1;
    FIND(shared, shared_at, buffer) FIND(shared, shared_at, capacity) FIND(shared, shared_at, closed)
    FIND(shared, shared_at, gaps) FIND(shared, shared_at, receivers) FIND(shared, shared_at, reserved)
    FIND(shared, shared_at, senders)
    FIND(send_type, send_at, _state) FIND(send_type, send_at, value) FIND(send_type, send_at, waker)
    FIND(recv_type, recv_at, _state) FIND(recv_type, recv_at, waker) FIND(recv_type, recv_at, woken)
    FIND(end, end_at, _state)
    if (take_laws(module) < 0) return -1;
    TAKE(NOTHING)
    if (take(module, "_SENT", &py.SENT) < 0 || take(shared->tp_dict, "taken", &cold.taken) < 0) return -1;
    if (replace(shared, shared_methods, (PyObject **[]){&cold.offer}) < 0) return -1;
    if (replace(send_type, send_methods, (PyObject **[]){&cold.send_poll, NULL}) < 0) return -1;
    if (replace(recv_type, recv_methods, (PyObject **[]){&cold.recv_poll, NULL}) < 0) return -1;
    return replace(sender, sender_methods, NULL) < 0 ? -1 : replace(receiver, receiver_methods, NULL);
}
