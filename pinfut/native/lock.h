/* lock: one that is free, and one that nobody waits for. */

static PyObject *lock_aenter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *free = SLOT(self, lock_at._free);
    if (UNLIKELY((free != Py_True && (!free || PyObject_IsTrue(free) != 1))
                 || PyDict_GetItemWithError(py.laws, name.recording) != Py_False))
        return PyErr_Occurred() ? NULL : PyObject_CallOneArg(cold.lock_aenter, self);
    put(self, lock_at._free, Py_NewRef(Py_False));
    return Py_NewRef(done);
}

static PyObject *lock_aexit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *queue = SLOT(self, lock_at._queue);
    if (LIKELY(count == 3 && args[0] != PyExc_GeneratorExit && queue && PyDict_Check(queue) && PyDict_GET_SIZE(queue) == 0)) {
        put(self, lock_at._free, Py_NewRef(Py_True));
        return Py_NewRef(done);
    }
    PyObject *all[4] = {self, count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL, count > 2 ? args[2] : NULL};
    return PyObject_Vectorcall(cold.lock_aexit, all, 1 + (size_t)(count < 3 ? count : 3), NULL);
}
