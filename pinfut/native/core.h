/* What the core knows of Python's side. Every name is said once: a slot that is not there, or is no
   slot, is found when its module is loaded, and pinfut does not start with half of a core. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

/* The slot of an object of Python's at an offset that `find` has found; NULL where nothing is. */
#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static PyTypeObject *context_type, *ready_type, *task_type, *loop_type, *executor_type, *oneshot_type;
static PyTypeObject *send_type, *recv_type, *interrupt_type, *failure_type, *lock_type;

static struct { Py_ssize_t waker; } context_at;
static struct { Py_ssize_t asleep, runner; } ready_at;
static struct { Py_ssize_t _queue, _coro, _context, leaf, queued, _joiner, _outcome, cancels, block; } task_at;
static struct { Py_ssize_t high, ready, low, deferred, tasks, cx, current, went_on; } loop_at;
static struct { Py_ssize_t watching; } executor_at;
static struct { Py_ssize_t _value, _waker; } oneshot_at;
static struct { Py_ssize_t buffer, capacity, closed, gaps, receivers, reserved, senders; } shared_at;
static struct { Py_ssize_t _state, value, waker; } send_at;
static struct { Py_ssize_t _state, waker, woken; } recv_at;
static struct { Py_ssize_t _state; } end_at;
static struct { Py_ssize_t _kind, _leaf; } interrupt_at;
static struct { Py_ssize_t error, traceback, unclaimed; } failure_at;
static struct { Py_ssize_t _free, _queue; } lock_at;

static struct {
    PyObject *PENDING, *YIELD, *NOT_DONE, *OVER, *NOBODY, *DONE, *CancelledError, *let_go, *EMPTY, *TAKEN, *CLOSED;
    PyObject *select_batch, *require_own_thread, *report_call, *running, *copy_context;
    PyObject *SENT, *NOTHING, *laws; /* laws: what the module has */
    PyObject *send, *throw_; /* those of CoroutineType: who pays knows them */
} py;

/* The methods in Python that were replaced. */
static struct {
    PyObject *task_poll, *task_finish, *task_cancel, *lock_aenter, *lock_aexit, *oneshot_poll, *oneshot_send, *spawn;
    PyObject *offer, *taken, *send_poll, *recv_poll;
} cold;

static struct {
    PyObject *poll, *wake, *ended, *run, *leaf, *queued, *throw_into, *fail_step, *finish, *look;
    PyObject *run_deferred, *_outcome, *value, *executor, *append, *through_executor, *recording, *new_, *waker;
} name;

static Py_ssize_t turn_steps, look; /* TURN and LOOK */

static PyTypeObject *deque_type;
static PyCFunction deque_append, deque_popleft;

/* ---- small things ---- */

static int missing(const char *slot)
{
    PyErr_SetString(PyExc_AttributeError, slot);
    return -1;
}

static inline int drop_result(PyObject *result)
{
    if (!result) return -1;
    Py_DECREF(result);
    return 0;
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

/* The error that is set, with its traceback, which is not set any more. */
static PyObject *take_error(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback) PyException_SetTraceback(error, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
#endif
}

static inline PyObject *waker_of(PyObject *cx)
{
    PyObject *waker = Py_TYPE(cx) == context_type ? SLOT(cx, context_at.waker) : NULL;
    if (LIKELY(waker != NULL)) return Py_NewRef(waker);
    return PyObject_GetAttr(cx, name.waker);
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
    return PyObject_CallMethodOneArg((PyObject *)type, name.new_, (PyObject *)type);
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
    Py_XSETREF(*place, Py_NewRef(value));
    return 0;
}

static PyTypeObject *take_class(PyObject *module, const char *text)
{
    PyObject *found = NULL;
    if (take(module, text, &found) < 0) return NULL;
    return (PyTypeObject *)found;
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

#define FIND(type, at, slot) if (find(type, #slot, &at.slot) < 0) return -1;
#define TAKE(text) if (take(module, #text, &py.text) < 0) return -1;
#define CLASS(place, text) if (!(place = take_class(module, text))) return -1;

/* `definition`, with the docstring of the Python that it stands for behind its signature. It is for
   good: a method keeps what it was made of. */
static PyMethodDef *documented(const PyMethodDef *definition, PyObject *python)
{
    PyObject *text = PyObject_GetAttrString(python, "__doc__");
    const char *doc = text && text != Py_None ? PyUnicode_AsUTF8(text) : "";
    size_t before = strlen(definition->ml_doc), size = doc ? before + strlen(doc) + 1 : 0;
    PyMethodDef *made = doc ? PyMem_Malloc(sizeof *made + size) : NULL;
    if (made) {
        char *place = (char *)(made + 1);
        memcpy(place, definition->ml_doc, before);
        memcpy(place + before, doc, size - before);
        *made = *definition;
        made->ml_doc = place;
    } else if (!PyErr_Occurred())
        PyErr_NoMemory();
    Py_XDECREF(text);
    return made;
}

/* Put the methods into the class, and what they replace into `kept` (NULL, or NULL for each that
   is not needed). */
static int replace(PyTypeObject *type, PyMethodDef *methods, PyObject ***kept)
{
    for (int i = 0; methods[i].ml_name; i++) {
        PyObject *python = NULL;
        if (take(type->tp_dict, methods[i].ml_name, &python) < 0) return -1;
        if (kept && kept[i]) Py_XSETREF(*kept[i], Py_NewRef(python));
        PyMethodDef *definition = documented(&methods[i], python);
        PyObject *method = definition ? PyDescr_NewMethod(type, definition) : NULL;
        Py_DECREF(python);
        int result = method ? PyObject_SetAttrString((PyObject *)type, methods[i].ml_name, method) : -1;
        Py_XDECREF(method);
        if (result < 0) return -1;
    }
    return 0;
}

static int replace_function(PyObject *module, PyMethodDef *functions, const char *text, PyObject **kept)
{
    PyMethodDef *found = functions;
    PyObject *python = NULL;
    while (strcmp(found->ml_name, text) != 0) found++;
    if (take(module, text, &python) < 0) return -1;
    if (kept) Py_XSETREF(*kept, Py_NewRef(python));
    PyObject *owner = PyDict_GetItemString(module, "__name__");
    PyMethodDef *definition = owner ? documented(found, python) : NULL;
    PyObject *function = definition ? PyCFunction_NewEx(definition, NULL, owner) : NULL;
    Py_DECREF(python);
    int result = function ? PyDict_SetItemString(module, text, function) : -1;
    Py_XDECREF(function);
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

typedef struct { PyObject **name; const char *text; } Name;

static int intern(const Name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!*names[i].name && !(*names[i].name = PyUnicode_InternFromString(names[i].text))) return -1;
    return 0;
}

static int find_python(void)
{
    static const Name names[] = {
        {&name.poll, "poll"}, {&name.wake, "wake"}, {&name.ended, "ended"}, {&name.run, "run"},
        {&name.leaf, "leaf"}, {&name.queued, "queued"}, {&name.throw_into, "throw_into"},
        {&name.fail_step, "fail_step"}, {&name.finish, "finish"}, {&name.look, "look"},
        {&name.run_deferred, "run_deferred"}, {&name._outcome, "_outcome"}, {&name.value, "value"},
        {&name.executor, "executor"}, {&name.append, "append"},
        {&name.through_executor, "through_executor"}, {&name.recording, "recording"}, {&name.new_, "__new__"}, {&name.waker, "waker"},
    };
    if (intern(names, sizeof names / sizeof *names) < 0) return -1;
    PyObject *collections = PyImport_ImportModule("collections");
    if (!collections) return -1;
    deque_type = (PyTypeObject *)PyObject_GetAttrString(collections, "deque");
    Py_DECREF(collections);
    if (!deque_type || !(deque_append = function_of((PyObject *)deque_type, "append", METH_O))) return -1;
    if (!(deque_popleft = function_of((PyObject *)deque_type, "popleft", METH_NOARGS))) return -1;
    py.send = PyObject_GetAttrString((PyObject *)&PyCoro_Type, "send");
    py.throw_ = PyObject_GetAttrString((PyObject *)&PyCoro_Type, "throw");
    return py.send && py.throw_ ? 0 : -1;
}
