/* What both extensions use. */

#ifndef PINFUT_MODULE_H
#define PINFUT_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FASTCALL(function) ((PyCFunction)(void (*)(void))function)

/* The docstring of a function in C begins with what it takes. */
#define AS(parameters) parameters "\n--\n\n"

typedef PyObject *Ref;

/* Names, interned by `intern_names(group_names, (PyObject **)&group)`. */
#define NAMES(group, ...)                     \
    static struct { Ref __VA_ARGS__; } group; \
    static const char group##_names[] = #__VA_ARGS__;

#define MODULE(name, doc, functions, execute)                                               \
    static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};           \
    static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "pinfut." #name,   \
                                        .m_doc = doc, .m_methods = functions, .m_slots = module_slots}; \
    PyMODINIT_FUNC PyInit_##name(void)                                                      \
    {                                                                                       \
        return PyModuleDef_Init(&module);                                                   \
    }

/* There is one of everything, for the main interpreter, and its lock guards it. */
static inline int require_main(const char *what)
{
#ifdef Py_GIL_DISABLED
    PyErr_Format(PyExc_ImportError, "%s: not in a build without the global lock", what);
    return -1;
#endif
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return 0;
    PyErr_Format(PyExc_ImportError, "%s: for the main interpreter only", what);
    return -1;
}

/* Context variables, and who pays for what is run in them. */
typedef struct {
    PyObject_HEAD
    PyObject *payer, *context;
} PaidContext;

/* What pinfut._core has of pinfut._payers: in the capsule that is there under "paying". */
#define PAYING "pinfut._payers.paying"

typedef struct {
    PyTypeObject *context_type; /* PaidContext */
    /* On the account of `payer`, `value` is sent into a coroutine, or raised where that waits. As
       PyIter_Send, but that one which ends by what is raised leaves StopIteration. */
    PySendResult (*step)(PyObject *payer, PyObject *coro, PyObject *value, int raised, PyObject **out);
    /* The poll of what a coroutine of `payer` waits for: charged, and never refused. */
    PyObject *(*poll)(PyObject *payer, binaryfunc poll, PyObject *leaf, PyObject *cx);
} Paying;

/* The next of the names that a macro has listed, "one, two": whether there was one. */
static inline int next_name(const char **list, char *text, size_t size)
{
    size_t length = strcspn(*list, ",");
    if (!length || length >= size) return 0;
    memcpy(text, *list, length);
    text[length] = 0;
    *list += length + strspn(*list + length, ", ");
    return 1;
}

static inline int intern_names(const char *list, PyObject **place)
{
    for (char text[32]; next_name(&list, text, sizeof text); place++)
        if (!*place && !(*place = PyUnicode_InternFromString(text))) return -1;
    return 0;
}

static inline int drop_result(PyObject *result)
{
    if (!result) return -1;
    Py_DECREF(result);
    return 0;
}

/* The error that is set, with its traceback, which is not set any more. */
static inline PyObject *take_error(void)
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

/* Steals `error`, which is set again. */
static inline void set_error(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(error);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

#endif
