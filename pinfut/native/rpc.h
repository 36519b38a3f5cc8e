/* The path of a plain call: the stub, the ring, the handler's first step, the answer, and its place.
   What is not plain goes to the Python. Nothing here believes what stands in shared memory: it is
   copied once, and then looked at. */

CLASS("slots", SlotTable, table, capacity, free, _last)
CLASS("slots", Slot, slot, index, state, value, waker, x)
CLASS("rpc.objects.promise", Question, question, place)
CLASS("rpc.objects.promise", Promise, promise, caller, _slot, _method, _kept)
CLASS("rpc.objects.promise", Target, target, caller, id, state)
CLASS("rpc.session.calls_out", CallsOut, out, _owing, flowing, questions, returns, submissions, touched)
CLASS("rpc.memory.ring", RingWriter, writer, _buffer, _limit, _mask, capacity, largest, tail)
CLASS("rpc.memory.lane", RingSubmissions, submissions, _cells, places, small)
CLASS("rpc.memory.lane", RingRequests, requests, _cell, _cells, _post)
CLASS("rpc.objects.proxy", Method, method, calling, serving)
CLASS("rpc.wire.peer", Peer, peer, _calling, _line, answers, complete, slots)
CLASS("rpc.wire.peer", Answer, answer, caps, flags, method, place, room, state, waiting, x)
CLASS("rpc.session.calls_in", CallsIn, in, _account, _context, _ended, _executor, _peer, _starting, _watched, refusal)

static struct {
    Ref FREE, WAITING, READY, RUNNING, IMPORTED, _TAKEN, _PLAIN, CodecError, ProtocolError, native;
} rpc;

/* The methods in Python that were replaced. */
static struct {
    Ref acquire, release, promise_poll, submit_plain, submit, complete, take_plain, take, receive, give, on_call;
} python;

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

static inline int count_at(PyObject *object, Py_ssize_t offset, int64_t *count)
{
    return count_of(SLOT(object, offset), count);
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

/* A new frame of so many bytes and a payload: its length stands first, the rest of the head is to
   be written. */
static PyObject *frame_with(Py_ssize_t head, PyObject *payload)
{
    Py_ssize_t size = head + PyBytes_GET_SIZE(payload);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, size);
    if (UNLIKELY(!frame)) return NULL;
    put_number(PyBytes_AS_STRING(frame), 4, (uint64_t)size);
    memcpy(PyBytes_AS_STRING(frame) + head, PyBytes_AS_STRING(payload), (size_t)(size - head));
    return frame;
}

static inline PyObject *call_method(PyObject *method, PyObject *self, PyObject *one, PyObject *two, PyObject *three)
{
    PyObject *args[4] = {self, one, two, three};
    if (UNLIKELY(!self)) return PyErr_Format(PyExc_AttributeError, "nothing has %U here", method);
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

/* What a method has for one of its sides, borrowed: a tuple of so many; NULL where it is none. */
static inline PyObject *plan_of(PyObject *method, Py_ssize_t offset, Py_ssize_t size)
{
    PyObject *plan = Py_TYPE(method) == method_type ? SLOT(method, offset) : NULL;
    return plan && PyTuple_CheckExact(plan) && PyTuple_GET_SIZE(plan) == size ? plan : NULL;
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

/* ---- slots ---- */

static PyObject *table_acquire(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *free = SLOT(self, table_at.free);
    PyObject *slot = free && is_deque(free) && PySequence_Size(free) > 0 ? PySequence_GetItem(free, 0) : NULL;
    int64_t last, capacity, index;
    if (UNLIKELY(!slot || !PyObject_TypeCheck(slot, slot_type) || count_at(self, table_at._last, &last) < 0
                 || count_at(self, table_at.capacity, &capacity) < 0 || capacity < 1
                 || count_at(slot, slot_at.index, &index) < 0)) {
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

/* ---- the caller ---- */

static PyObject *ring_submit(PyObject *self, PyObject *frame)
{
    PyObject *memory = SLOT(self, writer_at._buffer);
    int64_t tail, mask, limit, capacity, end = 0, position = 0;
    int fits = PyBytes_CheckExact(frame) && memory && PyMemoryView_Check(memory) && count_at(self, writer_at.tail, &tail) == 0
               && count_at(self, writer_at._mask, &mask) == 0 && count_at(self, writer_at._limit, &limit) == 0
               && count_at(self, writer_at.capacity, &capacity) == 0;
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
    put(self, writer_at.tail, count);
    Py_RETURN_TRUE;
}

/* Undo what was taken for a call that is not sent: its place, if it has one, and its slot. */
static int unsend(PyObject *submissions, PyObject *place, PyObject *questions, PyObject *question)
{
    int result = place ? drop_result(call_method(name.release, submissions, place, NULL, NULL)) : 0;
    return drop_result(call_method(name.release, questions, question, NULL, NULL)) < 0 ? -1 : result;
}

/* The frame of a plain call, submitted: 1, 0 where there is no room, or -1. */
static int submit_call(PyObject *submissions, PyObject *plan, PyObject *target_id, PyObject *x, PyObject *place,
                       PyObject *payload)
{
    PyObject *frame = frame_with(CALL_BYTES, payload);
    if (UNLIKELY(!frame)) return -1;
    char *at = PyBytes_AS_STRING(frame);
    put_number(at + 4, 4, PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(plan, 2)));
    put_number(at + 8, 8, PyLong_AsUnsignedLongLong(x));
    put_number(at + 16, 8, PyLong_AsUnsignedLongLong(target_id));
    put_number(at + 24, 4, PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(plan, 3)));
    put_number(at + 28, 4, PyLong_AsUnsignedLongLong(place));
    put_number(at + 32, 2, 0);
    PyObject *written = PyErr_Occurred() ? NULL : call_method(name.submit, submissions, frame, NULL, NULL);
    Py_DECREF(frame);
    if (LIKELY(written != NULL)) {
        Py_DECREF(written);
        return written == Py_True;
    }
    if (!PyErr_ExceptionMatches(rpc.ProtocolError)) return -1;
    PyErr_Clear(); /* the general way ends the session */
    return 0;
}

static PyObject *submit_plain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    PyObject *target = count == 3 ? args[0] : Py_None, *method = count == 3 ? args[1] : Py_None;
    PyObject *caller = Py_TYPE(target) == target_type ? SLOT(target, target_at.caller) : NULL;
    PyObject *plan = plan_of(method, method_at.calling, 4);
    PyObject *recording = PyDict_GetItemWithError(py.laws, name.recording);
    if (UNLIKELY(!caller || Py_TYPE(caller) != out_type || !plan || recording != Py_False))
        return PyErr_Occurred() ? NULL : PyObject_Vectorcall(python.submit_plain, args, (size_t)count, NULL);
    if (SLOT(caller, out_at.flowing) != Py_True || SLOT(target, target_at.state) != rpc.IMPORTED) Py_RETURN_NONE;
    PyObject *submissions = SLOT(caller, out_at.submissions), *questions = SLOT(caller, out_at.questions);
    if (UNLIKELY(!is_a(submissions, submissions_type) || !questions || !PyObject_TypeCheck(questions, table_type))) /* a kernel may have its own */
        return PyObject_Vectorcall(python.submit_plain, args, (size_t)count, NULL);
    PyObject *free = SLOT(questions, table_at.free);
    if (!free || PyObject_Size(free) <= 0) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    PyObject *payload = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 0), args[2]);
    if (UNLIKELY(!payload)) {
        if (!PyErr_ExceptionMatches(rpc.CodecError)) return NULL;
        PyErr_Clear(); /* the Python says why it cannot be sent */
        return PyObject_Vectorcall(python.submit_plain, args, (size_t)count, NULL);
    }
    PyObject *question = NULL, *place = NULL, *promise = NULL, *result = NULL;
    int64_t largest, small, wanted;
    Py_INCREF(submissions); /* the session may end in what is called from here on */
    Py_INCREF(questions);
    if (UNLIKELY(!PyBytes_CheckExact(payload) || count_at(submissions, writer_at.largest, &largest) < 0
                 || count_at(submissions, submissions_at.small, &small) < 0
                 || count_of(PyTuple_GET_ITEM(plan, 3), &wanted) < 0
                 || CALL_BYTES + PyBytes_GET_SIZE(payload) > largest)) {
        result = Py_NewRef(Py_None);
        goto end;
    }
    /* First: behind what was submitted nothing may fail but this promise. */
    if (UNLIKELY(!(promise = make(promise_type)))) goto end;
    SLOT(promise, promise_at._slot) = Py_NewRef(rpc._TAKEN);
    if (SLOT(caller, out_at.touched) != Py_True && drop_result(call_method(name.touch, caller, NULL, NULL, NULL)) < 0)
        goto end;
    question = call_method(name.acquire, questions, NULL, NULL, NULL);
    if (UNLIKELY(!question)) goto end;
    PyObject *places = SLOT(submissions, submissions_at.places);
    if (LIKELY(wanted <= small && places && is_deque(places) && PySequence_Size(places) > 0))
        place = popleft(places);
    else
        place = call_method(name.reserve, submissions, PyTuple_GET_ITEM(plan, 3), NULL, NULL);
    int written = !place ? -1 : submit_call(submissions, plan, SLOT(target, target_at.id), SLOT(question, slot_at.x),
                                            place, payload);
    if (LIKELY(written > 0)) {
        put(question, question_at.place, Py_NewRef(place));
        SLOT(promise, promise_at.caller) = Py_NewRef(caller);
        put(promise, promise_at._slot, Py_NewRef(question));
        SLOT(promise, promise_at._method) = Py_NewRef(method);
        SLOT(promise, promise_at._kept) = Py_NewRef(Py_None);
        result = Py_NewRef(promise);
    } else {
        PyObject *error = written < 0 ? take_error() : NULL;
        if (unsend(submissions, place, questions, question) < 0)
            Py_XDECREF(error);
        else if (error)
            set_error(error);
        else
            result = Py_NewRef(Py_None);
    }
end:
    Py_XDECREF(promise);
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
            PyObject *value = call_method(name.take, caller, slot, SLOT(self, promise_at._method), NULL);
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
                 || count_at(self, submissions_at.small, &small) < 0)) {
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
    PyObject *plan = plan_of(method, method_at.calling, 4);
    if (UNLIKELY(!plan || Py_TYPE(question) != question_type || SLOT(self, out_at.flowing) != Py_True
                 || !SLOT(self, out_at.submissions) || !SLOT(self, out_at.returns)))
        return PyObject_CallFunctionObjArgs(python.take, self, question, method, NULL);
    PyObject *payload = call_method(name.take_plain, SLOT(self, out_at.submissions), SLOT(question, question_at.place),
                                    SLOT(question, slot_at.x), rpc._PLAIN);
    if (UNLIKELY(!payload)) return NULL;
    if (UNLIKELY(payload == Py_None)) {
        Py_DECREF(payload);
        return call_method(name.take, SLOT(self, out_at.returns), question, method, NULL);
    }
    PyObject *value = NULL, *nothing;
    int released = drop_result(call_method(name.release, SLOT(self, out_at.questions), question, NULL, NULL)) == 0;
    if (LIKELY(released && SLOT(self, out_at._owing) == Py_False)) {
        value = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 1), payload);
        if (UNLIKELY(!value && PyErr_ExceptionMatches(rpc.CodecError))) PyErr_Clear();
    }
    if (UNLIKELY(!value && !PyErr_Occurred() && (nothing = PyTuple_New(0)))) {
        /* it is paid for, or it is said why it cannot be read */
        value = call_method(name.value, SLOT(self, out_at.returns), method, nothing, payload);
        Py_DECREF(nothing);
    }
    Py_DECREF(payload);
    return value;
}

/* ---- the callee ---- */

static PyObject *requests_complete(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    int64_t start, room;
    PyObject *page = count == 3 ? cell_at(SLOT(self, requests_at._cells), args[0], &start) : NULL;
    if (UNLIKELY(count != 3)) return PyErr_Format(PyExc_TypeError, "complete takes a place, an id and a frame");
    if (UNLIKELY(!page || !PyBytes_CheckExact(args[2]) || count_at(self, requests_at._cell, &room) < 0
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
                 || count_at(answer, answer_at.room, &room) < 0 || count_at(answer, answer_at.flags, &flags) < 0
                 || flags || SLOT(answer, answer_at.waiting) != Py_None || RETURN_BYTES + PyBytes_GET_SIZE(payload) > room))
        return PyObject_CallFunctionObjArgs(python.give, self, answer, payload, NULL);
    PyObject *frame = frame_with(RETURN_BYTES, payload), *x = Py_XNewRef(SLOT(answer, answer_at.x));
    uint64_t number = x && frame ? PyLong_AsUnsignedLongLong(x) : 0;
    PyObject *done = NULL, *touched = NULL;
    if (LIKELY(frame && !PyErr_Occurred())) {
        char *at = PyBytes_AS_STRING(frame);
        put_number(at + 4, 4, (uint64_t)plain_word);
        put_number(at + 8, 8, number);
        put(answer, answer_at.state, Py_NewRef(rpc.FREE));
        PyObject *all[3] = {SLOT(answer, answer_at.place), x, frame};
        done = PyObject_Vectorcall(complete, all, 3, NULL);
        if (LIKELY(done != NULL)) {
            touched = PyObject_GetAttr(line, name.touched);
            Py_SETREF(done, touched == Py_True ? Py_NewRef(Py_None) : touched ? call_method(name.touch, line, NULL, NULL, NULL) : NULL);
        } else if (PyErr_ExceptionMatches(rpc.ProtocolError)) {
            PyObject *error = take_error();
            done = call_method(name.fail, line, error, NULL, NULL);
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
    PyObject *answers = SLOT(self, peer_at.answers), *calling = SLOT(self, peer_at._calling), *answer = NULL, *called = NULL;
    int64_t slots, last, x = size < CALL_BYTES || at[15] >> 7 ? -1 : (int64_t)get_number(at + 8, 8);
    /* A call in as many bytes as it says, without capabilities, and with room for an answer. */
    if (LIKELY(x >= 0 && get_number(at, 4) == (uint64_t)size && get_number(at + 4, 2) == 1 && !get_number(at + 32, 2)
               && get_number(at + 24, 4) >= (uint64_t)least_room && answers && PyList_CheckExact(answers)
               && calling && PyTuple_CheckExact(calling) && PyTuple_GET_SIZE(calling) == 2 && PyDict_CheckExact(PyTuple_GET_ITEM(calling, 1))
               && count_at(self, peer_at.slots, &slots) == 0 && slots > 0 && x % slots < PyList_GET_SIZE(answers)))
        answer = PyList_GET_ITEM(answers, x % slots);
    if (LIKELY(answer && Py_TYPE(answer) == answer_type && SLOT(answer, answer_at.state) == rpc.FREE
               && count_at(answer, answer_at.x, &last) == 0 && x > last)) {
        PyObject *id = PyLong_FromUnsignedLongLong(get_number(at + 16, 8));
        if (!id) return NULL;
        called = Py_XNewRef(PyDict_GetItemWithError(PyTuple_GET_ITEM(calling, 1), id));
        Py_DECREF(id);
    }
    if (UNLIKELY(!called)) return PyErr_Occurred() ? NULL : PyObject_CallFunctionObjArgs(python.receive, self, frame, NULL);
    PyObject *payload = PyBytes_FromStringAndSize((const char *)at + CALL_BYTES, size - CALL_BYTES), *result = NULL;
    PyObject *number = PyLong_FromLongLong(x), *room = PyLong_FromUnsignedLongLong(get_number(at + 24, 4));
    PyObject *place = PyLong_FromUnsignedLongLong(get_number(at + 28, 4)), *method = PyLong_FromUnsignedLongLong(get_number(at + 6, 2));
    if (LIKELY(payload && number && room && place && method)) {
        Py_INCREF(answer);
        put(answer, answer_at.x, Py_NewRef(number));
        put(answer, answer_at.flags, Py_NewRef(rpc.FREE)); /* 0, too */
        put(answer, answer_at.room, Py_NewRef(room));
        put(answer, answer_at.place, Py_NewRef(place));
        put(answer, answer_at.method, Py_NewRef(method));
        put(answer, answer_at.state, Py_NewRef(rpc.RUNNING));
        PyObject *all[3] = {answer, called, payload};
        result = PyObject_Vectorcall(PyTuple_GET_ITEM(calling, 0), all, 3, NULL);
        Py_DECREF(answer);
    }
    Py_XDECREF(number);
    Py_XDECREF(room);
    Py_XDECREF(place);
    Py_XDECREF(method);
    Py_XDECREF(payload);
    Py_DECREF(called);
    return none_if(drop_result(result));
}

/* What a handler returned that ended in its first step, encoded and given. */
static PyObject *give_value(PyObject *self, PyObject *answer, PyObject *method, PyObject *plan, PyObject *value)
{
    if (LIKELY((PyObject *)Py_TYPE(value) == PyTuple_GET_ITEM(plan, 3))) {
        PyObject *payload = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 4), value);
        if (LIKELY(payload != NULL)) {
            PyObject *given = call_method(name.give, SLOT(self, in_at._peer), answer, payload, NULL);
            Py_DECREF(payload);
            return given;
        }
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) return NULL;
        PyErr_Clear(); /* `_give` says why it cannot be sent */
    }
    return call_method(name._give, self, answer, method, value);
}

/* The method that an answer is for, borrowed, where it is called in the plain way: by its number, and
   with all that the first step needs at hand. */
static PyObject *plain_method(PyObject *self, PyObject *answer, PyObject *called)
{
    PyObject *executor = SLOT(self, in_at._executor), *context = SLOT(self, in_at._context);
    PyObject *methods = PyTuple_CheckExact(called) && PyTuple_GET_SIZE(called) == 3 ? PyTuple_GET_ITEM(called, 1) : NULL;
    int64_t number;
    if (UNLIKELY(!executor || !loop_type || !PyObject_TypeCheck(executor, loop_type) || !context || !methods
                 || SLOT(executor, loop_at.current) != Py_None || SLOT(self, in_at._watched) != Py_False
                 || SLOT(self, in_at.refusal) != Py_None || !PyTuple_CheckExact(methods) || Py_TYPE(answer) != answer_type
                 || !SLOT(answer, answer_at.caps) || PyObject_Size(SLOT(answer, answer_at.caps))
                 || count_at(answer, answer_at.method, &number) < 0 || number < 0 || number >= PyTuple_GET_SIZE(methods)))
        return NULL;
    PyObject *method = PyTuple_GET_ITEM(methods, number);
    return plan_of(method, method_at.serving, 6) ? method : NULL;
}

/* A handler's coroutine: `function(thing, *arguments)`. */
static PyObject *call_handler(PyObject *function, PyObject *thing, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_GET_SIZE(arguments);
    PyObject *all = PyTuple_New(count + 1);
    if (UNLIKELY(!all)) return NULL;
    PyTuple_SET_ITEM(all, 0, Py_NewRef(thing));
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(all, i + 1, Py_NewRef(PyTuple_GET_ITEM(arguments, i)));
    PyObject *coro = PyObject_CallObject(function, all);
    Py_DECREF(all);
    if (UNLIKELY(coro && !PyCoro_CheckExact(coro))) Py_SETREF(coro, PyObject_CallOneArg(rpc.native, coro));
    return coro;
}

/* A handler has ended in its first step: its price, `held` being free beside it, is given back, and
   its answer given. */
static PyObject *end_at_once(PyObject *self, PyObject *answer, PyObject *method, PyObject *plan, PyObject *held, PyObject *before,
                             PyObject *value)
{
    PyObject *account = SLOT(self, in_at._account), *executor = SLOT(self, in_at._executor);
    put(self, in_at._starting, Py_NewRef(Py_False));
    if (UNLIKELY(SLOT(executor, loop_at.current) != Py_None)
        && drop_result(call_method(name.end_first, executor, value, Py_None, NULL)) < 0) return NULL;
    PyObject *now = PyObject_GetAttr(account, name.free);
    if (UNLIKELY(!now)) return NULL;
    Py_DECREF(now); /* only looked at */
    int given = now == held ? PyObject_SetAttr(account, name.free, before)
                            : drop_result(call_method(name.give, account, PyTuple_GET_ITEM(plan, 2), NULL, NULL));
    if (UNLIKELY(given < 0)) return NULL;
    if (UNLIKELY(SLOT(self, in_at._ended) != Py_False)) return call_method(name._end, self, NULL, NULL, NULL);
    return give_value(self, answer, method, plan, value);
}

static PyObject *in_on_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) return PyErr_Format(PyExc_TypeError, "on_call takes an answer, what is called and its bytes");
    PyObject *answer = args[0], *called = args[1], *payload = args[2], *account = SLOT(self, in_at._account);
    PyObject *method = plain_method(self, answer, called), *plan = method ? Py_NewRef(SLOT(method, method_at.serving)) : NULL;
    PyObject *before = plan && account ? PyObject_GetAttr(account, name.free) : NULL, *taken = NULL, *arguments = NULL;
    int64_t price, longest, free;
    if (LIKELY(before && count_of(before, &free) == 0 && count_of(PyTuple_GET_ITEM(plan, 2), &price) == 0 && free >= price
               && PyTuple_GET_ITEM(plan, 1) != Py_None && count_of(PyTuple_GET_ITEM(plan, 5), &longest) == 0
               && PyBytes_CheckExact(payload) && PyBytes_GET_SIZE(payload) <= longest)) {
        taken = PyObject_CallOneArg(PyTuple_GET_ITEM(plan, 1), payload);
        arguments = taken ? PySequence_Tuple(taken) : NULL;
        Py_XDECREF(taken);
        /* the Python refuses what cannot be read */
        if (UNLIKELY(!arguments && !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))) PyErr_Clear();
    }
    if (UNLIKELY(!arguments)) {
        Py_XDECREF(before);
        Py_XDECREF(plan);
        return PyErr_Occurred() ? NULL : PyObject_CallFunctionObjArgs(python.on_call, self, answer, called, payload, NULL);
    }
    PyObject *executor = SLOT(self, in_at._executor), *context = SLOT(self, in_at._context), *payer = Py_None;
    PyObject *coro = NULL, *own = NULL, *first = NULL, *out = NULL, *result = NULL, *held = PyLong_FromLongLong(free - price);
    if (UNLIKELY(!held || PyObject_SetAttr(account, name.free, held) < 0)) goto end;
    if (Py_TYPE(context) == paying.context_type) {
        payer = ((PaidContext *)context)->payer;
        context = ((PaidContext *)context)->context;
    }
    coro = call_handler(PyTuple_GET_ITEM(plan, 0), PyTuple_GET_ITEM(called, 0), arguments);
    own = coro ? PyContext_Copy(context) : NULL;
    if (UNLIKELY(!own)) goto end;
    first = PyTuple_Pack(4, coro, own, answer, payer);
    PySendResult sent = PYGEN_ERROR;
    if (LIKELY(first != NULL)) {
        put(executor, loop_at.first, Py_NewRef(first));
        put(self, in_at._starting, Py_NewRef(Py_True));
        sent = step_in(payer == Py_None ? NULL : payer, own, coro, Py_None, 0, &out);
    }
    if (LIKELY(sent == PYGEN_RETURN))
        result = end_at_once(self, answer, method, plan, held, before, out);
    else if (sent == PYGEN_NEXT)
        result = PyObject_CallMethodObjArgs(self, name._first_waits, out, coro, answer, method, PyTuple_GET_ITEM(plan, 2), NULL);
    else {
        PyObject *error = take_error();
        result = PyObject_CallMethodObjArgs(self, name._first_failed, error, answer, method, PyTuple_GET_ITEM(plan, 2), NULL);
        Py_DECREF(error);
    }
end:
    Py_XDECREF(out);
    Py_XDECREF(first);
    Py_XDECREF(own);
    Py_XDECREF(coro);
    Py_XDECREF(held);
    Py_DECREF(arguments);
    Py_DECREF(before);
    Py_DECREF(plan);
    return none_if(drop_result(result));
}

/* ---- what is of no class ---- */

static int install_peer(PyObject *module)
{
    Py_ssize_t call, answer;
    if (take_size(module, "_PLAIN", &plain_word) < 0 || take_size(module, "MIN_ROOM", &least_room) < 0) return -1;
    if (take_size(module, "_CALL", &call) < 0 || take_size(module, "_RETURN", &answer) < 0) return -1;
    return call == CALL_BYTES && answer == RETURN_BYTES ? 0 : missing("CALL_HEAD");
}
