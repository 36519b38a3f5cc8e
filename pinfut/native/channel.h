/* channel: a value that has room or somebody who waits for it, and a receiver. Senders that wait,
   closed channels and gaps in a line are Python's. */

/* The deque in a slot; NULL where that is something else. */
static inline PyObject *line_of(PyObject *object, Py_ssize_t offset)
{
    PyObject *line = SLOT(object, offset);
    return line && Py_IS_TYPE(line, deque_type) ? line : NULL;
}

/* What both ends of a channel share, from a slot; NULL where that is something else. */
static inline PyObject *state_of(PyObject *object, Py_ssize_t offset)
{
    PyObject *state = SLOT(object, offset);
    return is_a(state, shared_type) ? state : NULL;
}

/* Whether an await may be over at once: not where what runs it has to see each. */
static inline int at_once(void)
{
    return PyDict_GetItemWithError(py.laws, name.through_executor) == Py_False;
}

/* `_Shared.offer`: 1 when the value is in, 0 without room, -1 with an error. */
static int offer(PyObject *state, PyObject *value)
{
    PyObject *buffer = line_of(state, shared_at.buffer), *receivers = line_of(state, shared_at.receivers);
    Py_ssize_t capacity = number(state, shared_at.capacity), reserved = number(state, shared_at.reserved);
    if (UNLIKELY(!buffer || !receivers || PyErr_Occurred())) return PyErr_Occurred() ? -1 : missing("buffer");
    if (Py_SIZE(receivers) == 0) {
        if (Py_SIZE(buffer) - reserved >= capacity) return 0;
        return drop_result(deque_append(buffer, value)) < 0 ? -1 : 1;
    }
    if (UNLIKELY(!capacity)) return 0; /* closed, and they wait for what may come back */
    if (UNLIKELY(number(state, shared_at.gaps) != 0)) {
        PyObject *found = PyObject_CallFunctionObjArgs(cold.offer, state, value, NULL);
        return drop_result(found) < 0 ? -1 : found == Py_True;
    }
    if (drop_result(deque_append(buffer, value)) < 0 || set_number(state, shared_at.reserved, reserved + 1) < 0) return -1;
    PyObject *receiver = popleft(receivers);
    if (UNLIKELY(!receiver)) return -1;
    int result;
    if (LIKELY(PyObject_TypeCheck(receiver, recv_type) && SLOT(receiver, recv_at.waker))) {
        put(receiver, recv_at.woken, Py_NewRef(Py_True));
        result = wake_from(receiver, recv_at.waker, SLOT(receiver, recv_at.waker)) < 0 ? -1 : 1;
    } else
        result = missing("waker");
    Py_DECREF(receiver);
    return result;
}

/* The first value, whose place may be a sender's. */
static PyObject *take_value(PyObject *state)
{
    PyObject *buffer = line_of(state, shared_at.buffer), *value = buffer ? popleft(buffer) : NULL, *senders = line_of(state, shared_at.senders);
    int waits = !senders || Py_SIZE(senders) > 0 || SLOT(state, shared_at.closed) != Py_False;
    if (UNLIKELY(!buffer)) missing("buffer");
    if (value && waits && UNLIKELY(drop_result(PyObject_CallOneArg(cold.taken, state)) < 0)) Py_CLEAR(value);
    return value;
}

static PyObject *send_await(PyObject *self)
{
    PyObject *state = state_of(self, send_at._state), *value = SLOT(self, send_at.value);
    if (SLOT(self, send_at.waker) == Py_None && state && value && at_once()) {
        Py_INCREF(value);
        int result = offer(state, value);
        Py_DECREF(value);
        if (result < 0) return NULL;
        if (result) {
            put(self, send_at.waker, Py_NewRef(py._SENT));
            return Py_NewRef(done);
        }
    }
    return bridge(NULL, self);
}

static PyObject *recv_poll(PyObject *self, PyObject *cx)
{
    PyObject *state = state_of(self, recv_at._state), *waker = SLOT(self, recv_at.waker);
    PyObject *buffer = state ? line_of(state, shared_at.buffer) : NULL, *receivers = state ? line_of(state, shared_at.receivers) : NULL;
    if (UNLIKELY(!buffer || !receivers || !waker)) return PyObject_CallFunctionObjArgs(cold.recv_poll, self, cx, NULL);
    Py_ssize_t reserved = number(state, shared_at.reserved);
    if (SLOT(self, recv_at.woken) == Py_True) {
        put(self, recv_at.woken, Py_NewRef(Py_False));
        put(self, recv_at.waker, Py_NewRef(Py_None));
        if (set_number(state, shared_at.reserved, reserved - 1) < 0) return NULL;
    } else if (waker != Py_None || Py_SIZE(buffer) <= reserved) {
        if (waker == Py_None) {
            if (UNLIKELY(SLOT(state, shared_at.closed) != Py_False)) return PyObject_CallFunctionObjArgs(cold.recv_poll, self, cx, NULL);
            if (drop_result(deque_append(receivers, self)) < 0) return NULL;
        }
        return wait_in(self, recv_at.waker, cx);
    }
    return take_value(state);
}

static PyObject *recv_await(PyObject *self)
{
    PyObject *state = state_of(self, recv_at._state), *buffer = state ? line_of(state, shared_at.buffer) : NULL;
    if (SLOT(self, recv_at.waker) == Py_None && buffer && Py_SIZE(buffer) > number(state, shared_at.reserved) && at_once()) {
        put(self, recv_at.waker, Py_NewRef(py._SENT));
        return make_bridge(take_value(state), VALUE);
    }
    return PyErr_Occurred() ? NULL : bridge(NULL, self);
}

static PyObject *sender_send(PyObject *self, PyObject *value)
{
    PyObject *future = make(send_type);
    if (!future) return NULL;
    SLOT(future, send_at._state) = Py_XNewRef(SLOT(self, sender_at._state));
    SLOT(future, send_at.value) = Py_NewRef(value);
    SLOT(future, send_at.waker) = Py_NewRef(Py_None);
    return future;
}

static PyObject *receiver_recv(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *future = make(recv_type);
    if (!future) return NULL;
    SLOT(future, recv_at._state) = Py_XNewRef(SLOT(self, receiver_at._state));
    SLOT(future, recv_at.woken) = Py_NewRef(Py_False);
    SLOT(future, recv_at.waker) = Py_NewRef(Py_None);
    return future;
}
