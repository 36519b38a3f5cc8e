/* lock: one that is free, and one that nobody waits for. */

static PyObject *lock_aenter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *free = SLOT(self, lock_at._free);
    int is_free = free ? PyObject_IsTrue(free) : 0;
    if (UNLIKELY(is_free != 1 || PyDict_GetItemWithError(py.laws, name.recording) != Py_False))
        return is_free < 0 ? NULL : PyObject_CallOneArg(cold.lock_aenter, self);
    put(self, lock_at._free, Py_NewRef(Py_False));
    return Py_NewRef(py.DONE);
}

static PyObject *lock_aexit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *queue = SLOT(self, lock_at._queue);
    if (LIKELY(count == 3 && args[0] != PyExc_GeneratorExit && queue && PyDict_Check(queue) && PyDict_GET_SIZE(queue) == 0)) {
        put(self, lock_at._free, Py_NewRef(Py_True));
        return Py_NewRef(py.DONE);
    }
    PyObject *all[4] = {self, count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL, count > 2 ? args[2] : NULL};
    return PyObject_Vectorcall(cold.lock_aexit, all, 1 + (size_t)(count < 3 ? count : 3), NULL);
}

static PyMethodDef lock_methods[] = {
    {"__aenter__", lock_aenter, METH_NOARGS, "__aenter__($self, /)\n--\n\n"},
    {"__aexit__", FASTCALL(lock_aexit), METH_FASTCALL, "__aexit__($self, kind, error, traceback, /)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};

static int install_lock(PyObject *module)
{
    CLASS(lock_type, "Lock")
    FIND(lock_type, lock_at, _free) FIND(lock_type, lock_at, _queue)
    TAKE(DONE)
    if (take_laws(module) < 0) return -1;
    return replace(lock_type, lock_methods, (PyObject **[]){&cold.lock_aenter, &cold.lock_aexit});
}
