/* The path of a plain call: the stub, the ring, the handler's first step, the answer, and its place.
   What is not plain goes to the Python. Nothing here believes what stands in shared memory: it is
   copied once, and then looked at. */

static PyTypeObject *target_type, *slot_type, *question_type, *promise_type, *calls_out_type, *answer_type, *method_type;

static struct { Py_ssize_t capacity, _slots, free, _last; } table_at;
static struct { Py_ssize_t index, state, value, waker, x; } slot_at;
static struct { Py_ssize_t place; } question_at;
static struct { Py_ssize_t caller, _slot, _method, _kept; } promise_at;
static struct { Py_ssize_t caller, id, state; } target_at;
static struct { Py_ssize_t _owing, flowing, questions, returns, submissions, touched; } out_at;
static struct { Py_ssize_t _buffer, _limit, _mask, capacity, largest, tail; } ring_at;
static struct { Py_ssize_t _cells, places, small; } submissions_at;
static struct { Py_ssize_t _cell, _cells, _post; } requests_at;
static struct { Py_ssize_t calling, serving; } method_at;
static struct { Py_ssize_t _calling, _line, answers, complete, slots; } peer_at;
static struct { Py_ssize_t caps, flags, method, place, room, state, waiting, x; } answer_at;
static struct { Py_ssize_t _account, _context, _ended, _executor, _peer, _starting, _watched, short_; } in_at;
static Py_ssize_t first_at; /* of a loop in which first steps are run */

static struct {
    PyObject *FREE, *WAITING, *READY, *RUNNING, *IMPORTED, *_TAKEN, *_PLAIN, *cannot_send, *unreadable;
    PyObject *CodecError, *ProtocolError, *native;
} rpc;

static struct {
    PyObject *acquire, *release, *promise_poll, *submit_plain, *submit, *complete, *take_plain, *take;
    PyObject *receive, *give, *on_call;
} python; /* what was replaced */

static struct {
    PyObject *_end, *_first_failed, *_first_waits, *_give, *_refuse, *acquire, *end_first;
    PyObject *fail, *free, *give, *release, *reserve, *submit, *take, *take_plain, *touch, *touched, *value;
} says;

#define CALL_BYTES 34   /* frames.PLAIN_CALL */
#define RETURN_BYTES 16 /* frames.PLAIN_RETURN */

static Py_ssize_t plain_word, least_room;

/* A whole number that can be reckoned with; -1 for anything else. */
static inline int count_of(PyObject *value, int64_t *count)
{
    int over;
    if (UNLIKELY(!value || !PyLong_CheckExact(value))) return -1;
    *count = PyLong_AsLongLongAndOverflow(value, &over);
    return over || *count > (int64_t)1 << 61 ? -1 : 0;
}

static inline uint64_t get_number(const unsigned char *at, int bytes)
{
    uint64_t number = 0;
    for (int i = bytes; i-- > 0;) number = number << 8 | at[i];
    return number;
}

static inline void put_number(char *at, int bytes, uint64_t number)
{
    for (int i = 0; i < bytes; i++, number >>= 8) at[i] = (char)(number & 0xff);
}

static inline PyObject *call_method(PyObject *method, PyObject *self, PyObject *one, PyObject *two, PyObject *three)
{
    PyObject *args[4] = {self, one, two, three};
    return PyObject_VectorcallMethod(method, args, 1 + !!one + !!two + !!three, NULL);
}

/* Bytes into memory that others see, at a position that is checked once more. */
static int write_at(PyObject *memory, int64_t position, PyObject *bytes)
{
    Py_buffer view;
    if (PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE) < 0) return -1;
    int fits = position >= 0 && position <= view.len && PyBytes_GET_SIZE(bytes) <= view.len - position;
    if (LIKELY(fits))
        memcpy((char *)view.buf + position, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    else
        PyErr_SetString(PyExc_ValueError, "a frame lies outside of its memory");
    PyBuffer_Release(&view);
    return fits ? 0 : -1;
}

/* The page of a place, borrowed, and where in it the cell begins; NULL where it is not known. */
static inline PyObject *cell_at(PyObject *cells, PyObject *place, int64_t *start)
{
    int64_t at;
    if (!cells || !PyList_CheckExact(cells) || count_of(place, &at) < 0 || at < 0 || at >= PyList_GET_SIZE(cells)) return NULL;
    PyObject *cell = PyList_GET_ITEM(cells, at);
    if (!PyTuple_CheckExact(cell) || PyTuple_GET_SIZE(cell) != 2 || count_of(PyTuple_GET_ITEM(cell, 1), start) < 0) return NULL;
    return PyMemoryView_Check(PyTuple_GET_ITEM(cell, 0)) ? PyTuple_GET_ITEM(cell, 0) : NULL;
}

/* The error that is set becomes what `make` makes of `subject` and it. */
static void raise_from(PyObject *make_error, PyObject *subject)
{
    PyObject *cause = take_error();
    PyObject *error = PyObject_CallFunctionObjArgs(make_error, subject, cause, NULL);
    if (error) {
        PyException_SetCause(error, Py_NewRef(cause));
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    Py_DECREF(cause);
}

/* ---- slots ---- */

static PyObject *table_acquire(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *free = SLOT(self, table_at.free);
    PyObject *slot = free && is_deque(free) && PySequence_Size(free) > 0 ? PySequence_GetItem(free, 0) : NULL;
    int64_t last, capacity, index;
    if (UNLIKELY(!slot || !PyObject_TypeCheck(slot, slot_type) || count_of(SLOT(self, table_at._last), &last) < 0
                 || count_of(SLOT(self, table_at.capacity), &capacity) < 0 || capacity < 1
                 || count_of(SLOT(slot, slot_at.index), &index) < 0)) {
        Py_XDECREF(slot);
        return PyErr_Occurred() ? NULL : PyObject_CallOneArg(python.acquire, self);
    }
    int64_t x = last + 1, ahead = (index - x) % capacity;
    PyObject *number = PyLong_FromLongLong(x + (ahead < 0 ? ahead + capacity : ahead));
    if (UNLIKELY(!number || drop_result(popleft(free)) < 0)) {
        Py_XDECREF(number);
        Py_DECREF(slot);
        return NULL;
    }
    put(self, table_at._last, Py_NewRef(number));
    put(slot, slot_at.x, number);
    put(slot, slot_at.state, Py_NewRef(rpc.WAITING));
    return slot;
}

static PyObject *table_release(PyObject *self, PyObject *slot)
{
    PyObject *free = SLOT(self, table_at.free);
    if (UNLIKELY(!free || !is_deque(free) || !PyObject_TypeCheck(slot, slot_type)))
        return PyObject_CallFunctionObjArgs(python.release, self, slot, NULL);
    put(slot, slot_at.state, Py_NewRef(rpc.FREE));
    put(slot, slot_at.value, Py_NewRef(Py_None));
    put(slot, slot_at.waker, Py_NewRef(Py_None));
    return deque_append(free, slot);
}

static PyMethodDef table_methods[] = {
    {"acquire", table_acquire, METH_NOARGS, "acquire($self, /)\n--\n\n"},
    {"release", table_release, METH_O, "release($self, slot)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

/* ---- the caller ---- */

static PyObject *ring_submit(PyObject *self, PyObject *frame)
{
    PyObject *memory = SLOT(self, ring_at._buffer);
    int64_t tail, mask, limit, capacity, end = 0, position = 0;
    int fits = PyBytes_CheckExact(frame) && memory && PyMemoryView_Check(memory) && count_of(SLOT(self, ring_at.tail), &tail) == 0
               && count_of(SLOT(self, ring_at._mask), &mask) == 0 && count_of(SLOT(self, ring_at._limit), &limit) == 0
               && count_of(SLOT(self, ring_at.capacity), &capacity) == 0;
    if (LIKELY(fits)) {
        position = tail & mask;
        end = tail + ((PyBytes_GET_SIZE(frame) + 7) & -8);
        fits = end <= limit && position + PyBytes_GET_SIZE(frame) <= capacity;
    }
    if (UNLIKELY(!fits)) return PyObject_CallFunctionObjArgs(python.submit, self, frame, NULL);
    PyObject *count = PyLong_FromLongLong(end);
    if (UNLIKELY(!count || write_at(memory, position, frame) < 0)) {
        Py_XDECREF(count);
        return NULL;
    }
    put(self, ring_at.tail, count);
    Py_RETURN_TRUE;
}

/* Undo what was taken for a call that is not sent: its place, if it has one, and its slot. */
static int unsend(PyObject *submissions, PyObject *place, PyObject *questions, PyObject *question)
{
    int result = place ? drop_result(call_method(says.release, submissions, place, NULL, NULL)) : 0;
    return drop_result(call_method(says.release, questions, question, NULL, NULL)) < 0 ? -1 : result;
}

/* The frame of a plain call, submitted: 1, 0 where there is no room, or -1. */
static int submit_call(PyObject *submissions, PyObject *const *numbers, PyObject *target_id, PyObject *x, PyObject *place, PyObject *payload)
{
    Py_ssize_t size = CALL_BYTES + PyBytes_GET_SIZE(payload);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, size);
    if (UNLIKELY(!frame)) return -1;
    char *at = PyBytes_AS_STRING(frame);
    put_number(at, 4, (uint64_t)size);
    put_number(at + 4, 4, PyLong_AsUnsignedLongLong(numbers[2]));
    put_number(at + 8, 8, PyLong_AsUnsignedLongLong(x));
    put_number(at + 16, 8, PyLong_AsUnsignedLongLong(target_id));
    put_number(at + 24, 4, PyLong_AsUnsignedLongLong(numbers[3]));
    put_number(at + 28, 4, PyLong_AsUnsignedLongLong(place));
    put_number(at + 32, 2, 0);
    memcpy(at + CALL_BYTES, PyBytes_AS_STRING(payload), (size_t)PyBytes_GET_SIZE(payload));
    PyObject *written = PyErr_Occurred() ? NULL : call_method(says.submit, submissions, frame, NULL, NULL);
    Py_DECREF(frame);
    if (UNLIKELY(!written)) {
        if (!PyErr_ExceptionMatches(rpc.ProtocolError)) return -1;
        PyErr_Clear(); /* the general way ends the session */
        return 0;
    }
    Py_DECREF(written);
    return written == Py_True;
}

static PyObject *submit_plain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    PyObject *target = count == 3 ? args[0] : Py_None, *method = count == 3 ? args[1] : Py_None;
    PyObject *caller = Py_TYPE(target) == target_type ? SLOT(target, target_at.caller) : NULL;
    PyObject *plan = Py_TYPE(method) == method_type ? SLOT(method, method_at.calling) : NULL;
    PyObject *recording = PyDict_GetItemWithError(py.laws, name.recording);
    if (UNLIKELY(!caller || Py_TYPE(caller) != calls_out_type || !plan || !PyTuple_CheckExact(plan) || recording != Py_False))
        return PyErr_Occurred() ? NULL : PyObject_Vectorcall(python.submit_plain, args, (size_t)count, NULL);
    if (SLOT(caller, out_at.flowing) != Py_True || SLOT(target, target_at.state) != rpc.IMPORTED) Py_RETURN_NONE;
    PyObject *submissions = SLOT(caller, out_at.submissions), *questions = SLOT(caller, out_at.questions);
    PyObject *free = questions ? SLOT(questions, table_at.free) : NULL;
    if (!submissions || !free || PyObject_Size(free) <= 0) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    PyObject *payload = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 0), args[2]);
    if (UNLIKELY(!payload)) {
        if (PyErr_ExceptionMatches(rpc.CodecError)) raise_from(rpc.cannot_send, method);
        return NULL;
    }
    PyObject *question = NULL, *place = NULL, *result = NULL, *room = PyTuple_GET_ITEM(plan, 3);
    int64_t largest, small, wanted;
    Py_INCREF(submissions); /* the session may end in what is called from here on */
    Py_INCREF(questions);
    if (UNLIKELY(!PyBytes_CheckExact(payload) || count_of(SLOT(submissions, ring_at.largest), &largest) < 0
                 || count_of(SLOT(submissions, submissions_at.small), &small) < 0 || count_of(room, &wanted) < 0
                 || CALL_BYTES + PyBytes_GET_SIZE(payload) > largest)) {
        result = Py_NewRef(Py_None);
        goto end;
    }
    /* First: behind what was submitted nothing may fail but this promise. */
    PyObject *promise = make(promise_type);
    if (UNLIKELY(!promise)) goto end;
    SLOT(promise, promise_at._slot) = Py_NewRef(rpc._TAKEN);
    if (SLOT(caller, out_at.touched) != Py_True && drop_result(call_method(says.touch, caller, NULL, NULL, NULL)) < 0) goto drop;
    question = call_method(says.acquire, questions, NULL, NULL, NULL);
    if (UNLIKELY(!question)) goto drop;
    PyObject *places = SLOT(submissions, submissions_at.places);
    if (LIKELY(wanted <= small && places && is_deque(places) && PySequence_Size(places) > 0))
        place = popleft(places);
    else
        place = call_method(says.reserve, submissions, room, NULL, NULL);
    int written = place ? submit_call(submissions, &PyTuple_GET_ITEM(plan, 0), SLOT(target, target_at.id),
                                      SLOT(question, slot_at.x), place, payload) : -1;
    if (UNLIKELY(written < 0)) {
        PyObject *error = take_error();
        if (unsend(submissions, place, questions, question) == 0) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    } else if (UNLIKELY(!written)) {
        if (unsend(submissions, place, questions, question) == 0) result = Py_NewRef(Py_None);
    } else {
        put(question, question_at.place, Py_NewRef(place));
        SLOT(promise, promise_at.caller) = Py_NewRef(caller);
        put(promise, promise_at._slot, Py_NewRef(question));
        SLOT(promise, promise_at._method) = Py_NewRef(method);
        SLOT(promise, promise_at._kept) = Py_NewRef(Py_None);
        result = Py_NewRef(promise);
    }
drop:
    Py_DECREF(promise);
end:
    Py_XDECREF(question);
    Py_XDECREF(place);
    Py_DECREF(payload);
    Py_DECREF(submissions);
    Py_DECREF(questions);
    return result;
}

static PyObject *promise_poll(PyObject *self, PyObject *cx)
{
    PyObject *slot = SLOT(self, promise_at._slot), *caller = SLOT(self, promise_at.caller);
    if (LIKELY(slot && Py_TYPE(slot) == question_type && caller)) {
        if (SLOT(slot, slot_at.state) == rpc.WAITING) {
            PyObject *waker = waker_of(cx);
            if (UNLIKELY(!waker)) return NULL;
            put(slot, slot_at.waker, waker);
            return Py_NewRef(py.PENDING);
        }
        if (LIKELY(SLOT(slot, slot_at.state) == rpc.READY)) {
            SLOT(self, promise_at._slot) = Py_NewRef(rpc._TAKEN);
            put(self, promise_at._kept, Py_NewRef(Py_None));
            PyObject *value = call_method(says.take, caller, slot, SLOT(self, promise_at._method), NULL);
            Py_DECREF(slot);
            return value;
        }
    }
    return PyObject_CallFunctionObjArgs(python.promise_poll, self, cx, NULL);
}

static PyObject *submissions_take_plain(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    int64_t start, x, word, small;
    Py_buffer view;
    PyObject *places = SLOT(self, submissions_at.places), *payload = NULL;
    PyObject *page = count == 3 ? cell_at(SLOT(self, submissions_at._cells), args[0], &start) : NULL;
    if (UNLIKELY(!page || !places || !is_deque(places) || count_of(args[1], &x) < 0 || count_of(args[2], &word) < 0
                 || count_of(SLOT(self, submissions_at.small), &small) < 0)) {
        PyObject *all[4] = {self, args[0], args[1], args[2]};
        if (count == 3) return PyObject_Vectorcall(python.take_plain, all, 4, NULL);
        return PyErr_Format(PyExc_TypeError, "take_plain takes a place, an id and a word");
    }
    if (PyObject_GetBuffer(page, &view, PyBUF_SIMPLE) < 0) return NULL;
    unsigned char head[RETURN_BYTES];
    int there = start >= 0 && start <= view.len - RETURN_BYTES;
    /* Byte by byte and once: the other side may be writing. */
    for (int i = 0; there && i < RETURN_BYTES; i++) head[i] = ((const volatile unsigned char *)view.buf)[start + i];
    int64_t length = there ? (int64_t)get_number(head, 4) : 0;
    if (LIKELY(there && get_number(head + 4, 4) == (uint64_t)word && get_number(head + 8, 8) == (uint64_t)x
               && length >= RETURN_BYTES && length <= small && length <= view.len - start)) {
        payload = PyBytes_FromStringAndSize((char *)view.buf + start + RETURN_BYTES, length - RETURN_BYTES);
        if (payload && drop_result(deque_append(places, args[0])) < 0) Py_CLEAR(payload);
    } else
        payload = Py_NewRef(Py_None);
    PyBuffer_Release(&view);
    return payload;
}

static PyObject *out_take(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) return PyErr_Format(PyExc_TypeError, "take takes a question and a method");
    PyObject *question = args[0], *method = args[1];
    PyObject *plan = Py_TYPE(method) == method_type ? SLOT(method, method_at.calling) : NULL;
    if (UNLIKELY(!plan || !PyTuple_CheckExact(plan) || Py_TYPE(question) != question_type || SLOT(self, out_at.flowing) != Py_True
                 || !SLOT(self, out_at.submissions) || !SLOT(self, out_at.returns)))
        return PyObject_CallFunctionObjArgs(python.take, self, question, method, NULL);
    PyObject *payload = call_method(says.take_plain, SLOT(self, out_at.submissions), SLOT(question, question_at.place),
                                    SLOT(question, slot_at.x), rpc._PLAIN);
    if (UNLIKELY(!payload)) return NULL;
    if (UNLIKELY(payload == Py_None)) {
        Py_DECREF(payload);
        return call_method(says.take, SLOT(self, out_at.returns), question, method, NULL);
    }
    PyObject *value = NULL;
    if (LIKELY(drop_result(call_method(says.release, SLOT(self, out_at.questions), question, NULL, NULL)) == 0)) {
        if (SLOT(self, out_at._owing) != Py_False) {
            PyObject *nothing = PyTuple_New(0);
            if (nothing) value = call_method(says.value, SLOT(self, out_at.returns), method, nothing, payload);
            Py_XDECREF(nothing);
        } else {
            value = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 1), payload);
            if (UNLIKELY(!value && PyErr_ExceptionMatches(rpc.CodecError))) raise_from(rpc.unreadable, method);
        }
    }
    Py_DECREF(payload);
    return value;
}

static PyMethodDef promise_methods[] = {{"poll", promise_poll, METH_O, "poll($self, cx, /)\n--\n\n"}, {NULL, NULL, 0, NULL}};
static PyMethodDef ring_methods[] = {{"submit", ring_submit, METH_O, "submit($self, frame, /)\n--\n\n"}, {NULL, NULL, 0, NULL}};
static PyMethodDef out_methods[] = {
    {"take", FASTCALL(out_take), METH_FASTCALL, "take($self, question, method, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef submissions_methods[] = {
    {"take_plain", FASTCALL(submissions_take_plain), METH_FASTCALL, "take_plain($self, place, x, word, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

/* ---- the callee ---- */

static PyObject *requests_complete(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    int64_t start, room;
    PyObject *page = count == 3 ? cell_at(SLOT(self, requests_at._cells), args[0], &start) : NULL;
    if (UNLIKELY(count != 3)) return PyErr_Format(PyExc_TypeError, "complete takes a place, an id and a frame");
    if (UNLIKELY(!page || !PyBytes_CheckExact(args[2]) || count_of(SLOT(self, requests_at._cell), &room) < 0
                 || PyBytes_GET_SIZE(args[2]) > room || !SLOT(self, requests_at._post)))
        return PyObject_CallFunctionObjArgs(python.complete, self, args[0], args[1], args[2], NULL);
    return write_at(page, start, args[2]) < 0 ? NULL : PyObject_CallOneArg(SLOT(self, requests_at._post), args[1]);
}

static PyObject *peer_give(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) return PyErr_Format(PyExc_TypeError, "give takes an answer and its bytes");
    PyObject *answer = args[0], *payload = args[1], *complete = SLOT(self, peer_at.complete), *line = SLOT(self, peer_at._line);
    int64_t room, flags;
    if (UNLIKELY(Py_TYPE(answer) != answer_type || !PyBytes_CheckExact(payload) || !complete || !line
                 || count_of(SLOT(answer, answer_at.room), &room) < 0 || count_of(SLOT(answer, answer_at.flags), &flags) < 0
                 || flags || SLOT(answer, answer_at.waiting) != Py_None || RETURN_BYTES + PyBytes_GET_SIZE(payload) > room))
        return PyObject_CallFunctionObjArgs(python.give, self, answer, payload, NULL);
    Py_ssize_t size = RETURN_BYTES + PyBytes_GET_SIZE(payload);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, size), *x = Py_XNewRef(SLOT(answer, answer_at.x));
    uint64_t number = x && frame ? PyLong_AsUnsignedLongLong(x) : 0;
    PyObject *done = NULL, *touched = NULL;
    if (LIKELY(frame && !PyErr_Occurred())) {
        char *at = PyBytes_AS_STRING(frame);
        put_number(at, 4, (uint64_t)size);
        put_number(at + 4, 4, (uint64_t)plain_word);
        put_number(at + 8, 8, number);
        memcpy(at + RETURN_BYTES, PyBytes_AS_STRING(payload), (size_t)PyBytes_GET_SIZE(payload));
        put(answer, answer_at.state, Py_NewRef(rpc.FREE));
        PyObject *all[3] = {SLOT(answer, answer_at.place), x, frame};
        done = PyObject_Vectorcall(complete, all, 3, NULL);
        if (LIKELY(done != NULL)) {
            touched = PyObject_GetAttr(line, says.touched);
            Py_SETREF(done, touched == Py_True ? Py_NewRef(Py_None) : touched ? call_method(says.touch, line, NULL, NULL, NULL) : NULL);
        } else if (PyErr_ExceptionMatches(rpc.ProtocolError)) {
            PyObject *error = take_error();
            done = call_method(says.fail, line, error, NULL, NULL);
            Py_DECREF(error);
        }
    }
    Py_XDECREF(touched);
    Py_XDECREF(frame);
    Py_XDECREF(x);
    return done;
}

static PyObject *peer_receive(PyObject *self, PyObject *frame)
{
    const unsigned char *at = PyBytes_CheckExact(frame) ? (const unsigned char *)PyBytes_AS_STRING(frame) : NULL;
    Py_ssize_t size = at ? PyBytes_GET_SIZE(frame) : 0;
    PyObject *answers = SLOT(self, peer_at.answers), *calling = SLOT(self, peer_at._calling), *numbers[5] = {NULL};
    PyObject *answer = NULL, *called = NULL, *payload = NULL, *result = NULL;
    int64_t slots, last;
    uint64_t x = size < CALL_BYTES ? UINT64_MAX : get_number(at + 8, 8), room = x == UINT64_MAX ? 0 : get_number(at + 24, 4);
    if (UNLIKELY(x > INT64_MAX || (get_number(at + 4, 4) & 0xffff) != 1 || get_number(at + 32, 2) || get_number(at, 4) != (uint64_t)size
                 || room < (uint64_t)least_room || !answers || !PyList_CheckExact(answers) || !calling || !PyTuple_CheckExact(calling)
                 || count_of(SLOT(self, peer_at.slots), &slots) < 0 || slots < 1 || (int64_t)x % slots >= PyList_GET_SIZE(answers)))
        goto general;
    answer = PyList_GET_ITEM(answers, (int64_t)x % slots);
    if (UNLIKELY(Py_TYPE(answer) != answer_type || SLOT(answer, answer_at.state) != rpc.FREE
                 || count_of(SLOT(answer, answer_at.x), &last) < 0 || (int64_t)x <= last || !PyDict_CheckExact(PyTuple_GET_ITEM(calling, 1))))
        goto general;
    if (!(numbers[4] = PyLong_FromUnsignedLongLong(get_number(at + 16, 8)))) return NULL;
    called = Py_XNewRef(PyDict_GetItemWithError(PyTuple_GET_ITEM(calling, 1), numbers[4]));
    Py_DECREF(numbers[4]);
    if (UNLIKELY(!called)) goto general;
    numbers[0] = PyLong_FromUnsignedLongLong(x);
    numbers[1] = PyLong_FromUnsignedLongLong(room);
    numbers[2] = PyLong_FromUnsignedLongLong(get_number(at + 28, 4));
    numbers[3] = PyLong_FromUnsignedLongLong(get_number(at + 6, 2));
    payload = PyBytes_FromStringAndSize((const char *)at + CALL_BYTES, size - CALL_BYTES);
    if (LIKELY(numbers[0] && numbers[1] && numbers[2] && numbers[3] && payload)) {
        Py_INCREF(answer);
        put(answer, answer_at.x, Py_NewRef(numbers[0]));
        put(answer, answer_at.flags, Py_NewRef(rpc.FREE)); /* 0, too */
        put(answer, answer_at.room, Py_NewRef(numbers[1]));
        put(answer, answer_at.place, Py_NewRef(numbers[2]));
        put(answer, answer_at.method, Py_NewRef(numbers[3]));
        put(answer, answer_at.state, Py_NewRef(rpc.RUNNING));
        PyObject *all[3] = {answer, called, payload};
        result = PyObject_Vectorcall(PyTuple_GET_ITEM(calling, 0), all, 3, NULL);
        if (result) Py_SETREF(result, Py_NewRef(Py_None));
        Py_DECREF(answer);
    }
    for (int i = 0; i < 4; i++) Py_XDECREF(numbers[i]);
    Py_XDECREF(payload);
    Py_DECREF(called);
    return result;
general:
    return PyErr_Occurred() ? NULL : PyObject_CallFunctionObjArgs(python.receive, self, frame, NULL);
}

/* What a handler returned that ended in its first step, encoded and given. */
static PyObject *give_value(PyObject *self, PyObject *answer, PyObject *method, PyObject *plan, PyObject *value)
{
    if (LIKELY((PyObject *)Py_TYPE(value) == PyTuple_GET_ITEM(plan, 3))) {
        PyObject *payload = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 4), value);
        if (LIKELY(payload != NULL)) {
            PyObject *given = call_method(says.give, SLOT(self, in_at._peer), answer, payload, NULL);
            Py_DECREF(payload);
            return given;
        }
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) return NULL;
        PyErr_Clear(); /* `_give` says why it cannot be sent */
    }
    return call_method(says._give, self, answer, method, value);
}

static PyObject *in_on_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) return PyErr_Format(PyExc_TypeError, "on_call takes an answer, what is called and its bytes");
    PyObject *answer = args[0], *called = args[1], *payload = args[2], *account = SLOT(self, in_at._account);
    PyObject *executor = SLOT(self, in_at._executor), *context = SLOT(self, in_at._context), *plan = NULL, *method = NULL;
    int64_t number, price, longest, free_bytes;
    if (LIKELY(executor && PyObject_TypeCheck(executor, loop_type) && first_at && SLOT(executor, loop_at.current) == Py_None && context
               && SLOT(self, in_at._watched) == Py_False && SLOT(self, in_at.short_) == Py_None && Py_TYPE(answer) == answer_type
               && PyTuple_CheckExact(called) && PyTuple_CheckExact(PyTuple_GET_ITEM(called, 1)) && PyBytes_CheckExact(payload)
               && SLOT(answer, answer_at.caps) && PyObject_Size(SLOT(answer, answer_at.caps)) == 0
               && count_of(SLOT(answer, answer_at.method), &number) == 0 && number >= 0
               && number < PyTuple_GET_SIZE(PyTuple_GET_ITEM(called, 1)))) {
        method = PyTuple_GET_ITEM(PyTuple_GET_ITEM(called, 1), number);
        plan = Py_TYPE(method) == method_type ? SLOT(method, method_at.serving) : NULL;
    }
    PyObject *before = plan ? PyObject_GetAttr(account, says.free) : NULL;
    if (UNLIKELY(!before || count_of(before, &free_bytes) < 0 || count_of(PyTuple_GET_ITEM(plan, 2), &price) < 0 || free_bytes < price
                 || PyTuple_GET_ITEM(plan, 1) == Py_None || count_of(PyTuple_GET_ITEM(plan, 5), &longest) < 0 || PyBytes_GET_SIZE(payload) > longest)) {
        Py_XDECREF(before);
        return PyErr_Occurred() ? NULL : PyObject_CallFunctionObjArgs(python.on_call, self, answer, called, payload, NULL);
    }
    PyObject *held = NULL, *coro = NULL, *own = NULL, *first = NULL, *out = NULL, *result = NULL;
    Py_INCREF(plan);
    PyObject *taken = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 1), payload);
    PyObject *all = taken ? PySequence_Tuple(taken) : NULL;
    Py_XDECREF(taken);
    if (LIKELY(all && (held = PyLong_FromLongLong(free_bytes - price)))) {
        if (PyObject_SetAttr(account, says.free, held) < 0) goto end;
    } else {
        PyObject *error = take_error();
        if (PyErr_GivenExceptionMatches(error, PyExc_KeyboardInterrupt))
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        else
            result = call_method(says._refuse, self, answer, called, error);
        Py_DECREF(error);
        goto end;
    }
    PySendResult sent = PYGEN_ERROR;
    Py_ssize_t given = PyTuple_GET_SIZE(all);
    if (UNLIKELY(!(first = PyTuple_New(given + 1)))) goto end;
    for (Py_ssize_t i = 0; i <= given; i++)
        PyTuple_SET_ITEM(first, i, Py_NewRef(i ? PyTuple_GET_ITEM(all, i - 1) : PyTuple_GET_ITEM(called, 0)));
    coro = PyObject_CallObject(PyTuple_GET_ITEM(plan, 0), first);
    Py_CLEAR(first);
    PyObject *payer = NULL;
    if (Py_TYPE(context) == paying.context_type) {
        payer = ((PaidContext *)context)->payer;
        context = ((PaidContext *)context)->context;
    }
    own = coro ? PyContext_Copy(context) : NULL;
    if (UNLIKELY(!own)) goto end;
    if (UNLIKELY(!PyCoro_CheckExact(coro))) Py_SETREF(coro, PyObject_CallOneArg(rpc.native, coro));
    if (LIKELY(coro && (first = PyTuple_Pack(4, coro, own, answer, payer ? payer : Py_None)))) {
        put(executor, first_at, Py_NewRef(first));
        put(self, in_at._starting, Py_NewRef(Py_True));
        sent = step_in(payer, own, coro, Py_None, 0, &out);
    }
    if (UNLIKELY(sent == PYGEN_ERROR)) {
        PyObject *error = take_error();
        PyObject *many[5] = {self, error, answer, method, PyTuple_GET_ITEM(plan, 2)};
        result = PyObject_VectorcallMethod(says._first_failed, many, 5, NULL);
        Py_DECREF(error);
    } else if (sent == PYGEN_NEXT) {
        PyObject *many[6] = {self, out, coro, answer, method, PyTuple_GET_ITEM(plan, 2)};
        result = PyObject_VectorcallMethod(says._first_waits, many, 6, NULL);
    } else {
        put(self, in_at._starting, Py_NewRef(Py_False));
        if (UNLIKELY(SLOT(executor, loop_at.current) != Py_None)
            && drop_result(call_method(says.end_first, executor, out, Py_None, NULL)) < 0) goto end;
        PyObject *now = PyObject_GetAttr(account, says.free);
        if (UNLIKELY(!now)) goto end;
        Py_DECREF(now); /* only looked at */
        if ((now == held ? PyObject_SetAttr(account, says.free, before) : drop_result(call_method(says.give, account, PyTuple_GET_ITEM(plan, 2), NULL, NULL))) < 0) goto end;
        result = UNLIKELY(SLOT(self, in_at._ended) != Py_False) ? call_method(says._end, self, NULL, NULL, NULL)
                                                                : give_value(self, answer, method, plan, out);
    }
end:
    if (result) Py_SETREF(result, Py_NewRef(Py_None));
    Py_XDECREF(out);
    Py_XDECREF(first);
    Py_XDECREF(own);
    Py_XDECREF(coro);
    Py_XDECREF(held);
    Py_XDECREF(all);
    Py_DECREF(before);
    Py_DECREF(plan);
    return result;
}

static PyMethodDef requests_methods[] = {
    {"complete", FASTCALL(requests_complete), METH_FASTCALL, "complete($self, place, x, frame, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef peer_methods[] = {
    {"receive", peer_receive, METH_O, "receive($self, frame)\n--\n\n"},
    {"give", FASTCALL(peer_give), METH_FASTCALL, "give($self, answer, payload)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef in_methods[] = {
    {"on_call", FASTCALL(in_on_call), METH_FASTCALL, "on_call($self, answer, called, payload, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

/* ---- the modules of Python ---- */

#define KEEP(module, text) if (take(module, #text, &rpc.text) < 0) return -1;

static int install_slots(PyObject *module)
{
    static const Name names[] = {
        {&says._end, "_end"}, {&says._first_failed, "_first_failed"}, {&says._first_waits, "_first_waits"},
        {&says._give, "_give"}, {&says._refuse, "_refuse"}, {&says.acquire, "acquire"}, {&says.end_first, "end_first"}, {&says.fail, "fail"}, {&says.free, "free"}, {&says.give, "give"},
        {&says.release, "release"}, {&says.reserve, "reserve"}, {&says.submit, "submit"}, {&says.take, "take"},
        {&says.take_plain, "take_plain"}, {&says.touch, "touch"}, {&says.touched, "touched"}, {&says.value, "value"},
    };
    if (intern(names, sizeof names / sizeof *names) < 0) return -1;
    PyTypeObject *table;
    CLASS(slot_type, "Slot") CLASS(table, "SlotTable")
    FIND(table, table_at, capacity) FIND(table, table_at, _slots) FIND(table, table_at, free) FIND(table, table_at, _last)
    FIND(slot_type, slot_at, index) FIND(slot_type, slot_at, state) FIND(slot_type, slot_at, value)
    FIND(slot_type, slot_at, waker) FIND(slot_type, slot_at, x)
    KEEP(module, FREE) KEEP(module, WAITING) KEEP(module, READY)
    return replace(table, table_methods, (PyObject **[]){&python.acquire, &python.release});
}

static int install_ring(PyObject *module)
{
    PyTypeObject *type;
    CLASS(type, "RingWriter")
    FIND(type, ring_at, _buffer) FIND(type, ring_at, _limit) FIND(type, ring_at, _mask)
    FIND(type, ring_at, capacity) FIND(type, ring_at, largest) FIND(type, ring_at, tail)
    return replace(type, ring_methods, (PyObject **[]){&python.submit});
}

static int install_lane(PyObject *module)
{
    PyTypeObject *type, *other;
    CLASS(type, "RingSubmissions") CLASS(other, "RingRequests")
    FIND(type, submissions_at, _cells) FIND(type, submissions_at, places) FIND(type, submissions_at, small)
    FIND(other, requests_at, _cell) FIND(other, requests_at, _cells) FIND(other, requests_at, _post)
    return replace(type, submissions_methods, (PyObject **[]){&python.take_plain}) < 0
           || replace(other, requests_methods, (PyObject **[]){&python.complete}) < 0 ? -1 : 0;
}

static int install_peer(PyObject *module)
{
    PyTypeObject *type;
    Py_ssize_t call, answer;
    CLASS(type, "Peer") CLASS(answer_type, "Answer")
    FIND(type, peer_at, _calling) FIND(type, peer_at, _line) FIND(type, peer_at, answers)
    FIND(type, peer_at, complete) FIND(type, peer_at, slots)
    FIND(answer_type, answer_at, caps) FIND(answer_type, answer_at, flags) FIND(answer_type, answer_at, method)
    FIND(answer_type, answer_at, place) FIND(answer_type, answer_at, room) FIND(answer_type, answer_at, state)
    FIND(answer_type, answer_at, waiting) FIND(answer_type, answer_at, x)
    KEEP(module, RUNNING) KEEP(module, ProtocolError) KEEP(module, _PLAIN)
    if (take_size(module, "_PLAIN", &plain_word) < 0 || take_size(module, "MIN_ROOM", &least_room) < 0) return -1;
    if (take_size(module, "_CALL", &call) < 0 || take_size(module, "_RETURN", &answer) < 0) return -1;
    if (call != CALL_BYTES || answer != RETURN_BYTES) return missing("CALL_HEAD");
    return replace(type, peer_methods, (PyObject **[]){&python.receive, &python.give});
}

static int install_promise(PyObject *module)
{
    CLASS(promise_type, "Promise") CLASS(question_type, "Question") CLASS(target_type, "Target")
    FIND(promise_type, promise_at, caller) FIND(promise_type, promise_at, _slot)
    FIND(promise_type, promise_at, _method) FIND(promise_type, promise_at, _kept)
    FIND(question_type, question_at, place)
    FIND(target_type, target_at, caller) FIND(target_type, target_at, id) FIND(target_type, target_at, state)
    KEEP(module, IMPORTED) KEEP(module, _TAKEN)
    return replace(promise_type, promise_methods, (PyObject **[]){&python.promise_poll});
}

static PyMethodDef proxy_functions[] = {
    {"submit_plain", FASTCALL(submit_plain), METH_FASTCALL, "submit_plain(target, one, args, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static int install_proxy(PyObject *module)
{
    CLASS(method_type, "Method")
    FIND(method_type, method_at, calling) FIND(method_type, method_at, serving)
    KEEP(module, cannot_send) KEEP(module, CodecError)
    return take_laws(module) < 0 ? -1 : replace_function(module, proxy_functions, "submit_plain", &python.submit_plain);
}

static int install_calls_out(PyObject *module)
{
    CLASS(calls_out_type, "CallsOut")
    FIND(calls_out_type, out_at, _owing) FIND(calls_out_type, out_at, flowing) FIND(calls_out_type, out_at, questions)
    FIND(calls_out_type, out_at, returns) FIND(calls_out_type, out_at, submissions) FIND(calls_out_type, out_at, touched)
    KEEP(module, unreadable)
    return replace(calls_out_type, out_methods, (PyObject **[]){&python.take});
}

static int install_calls_in(PyObject *module)
{
    PyTypeObject *type;
    CLASS(type, "CallsIn")
    FIND(type, in_at, _account) FIND(type, in_at, _context) FIND(type, in_at, _ended) FIND(type, in_at, _executor)
    FIND(type, in_at, _peer) FIND(type, in_at, _starting) FIND(type, in_at, _watched)
    if (find(type, "short", &in_at.short_) < 0 || find(loop_type, "first", &first_at) < 0) return -1;
    KEEP(module, native)
    return replace(type, in_methods, (PyObject **[]){&python.on_call});
}
