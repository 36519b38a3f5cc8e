/* What both extensions use. */

#ifndef PINFUT_MODULE_H
#define PINFUT_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FASTCALL(function) ((PyCFunction)(void (*)(void))function)

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
} Paying;

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
