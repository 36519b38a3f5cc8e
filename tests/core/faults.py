"""Faults of the C, as texts of its sources and what stands there in their place."""

# ruff: noqa: E501  # what is quoted has the lines of C

from __future__ import annotations

from typing import Final, NamedTuple


class Fault(NamedTuple):
    name: str
    file: str
    old: str
    new: str


FAULTS: Final = (
    Fault("a wake is forgotten", "core.c", "int result = append(queue, task);", "int result = 0;"),
    Fault(
        "a task stands in the queue twice",
        "core.c",
        "if (SLOT(task, task_at.queued) == Py_True) return 0;",
        "",
    ),
    Fault(
        "a task woken while it runs is not ready",
        "core.c",
        "if (LIKELY(result == PYGEN_NEXT)) put(task, task_at.queued, Py_NewRef(Py_False));",
        "",
    ),
    Fault(
        "another thread's wake is not refused",
        "core.c",
        "else if (PyObject_TypeCheck(queue, ready_type)"
        " && UNLIKELY(SLOT(queue, ready_at.asleep) == Py_True))",
        "else if (0)",
    ),
    Fault(
        "a second task may await a task",
        "core.c",
        "if (LIKELY(joiner == Py_None || joiner == waker)) {",
        "if (1) {",
    ),
    Fault(
        "a failed task gives its failure as a value",
        "core.c",
        "outcome && Py_TYPE(outcome) != failure_type",
        "outcome",
    ),
    Fault(
        "who joins is not woken", "core.c", "if (UNLIKELY(wake(joiner) < 0)) result", "if (0) result"
    ),
    Fault("an owner hears nothing", "core.c", "if (owner != Py_None && UNLIKELY(", "if (0 && ("),
    Fault(
        "a task that is over stays in the list",
        "core.c",
        "if (UNLIKELY(!owner || PyDict_DelItem(tasks, task) < 0)) {",
        "if (UNLIKELY(!owner)) {",
    ),
    Fault(
        "a block is not told of the end of its task",
        "core.c",
        "if (UNLIKELY(SLOT(task, task_at.block) != Py_None || !tasks",
        "if (UNLIKELY(!tasks",
    ),
    Fault(
        "a cancel in a block does not ask it",
        "core.c",
        "|| SLOT(self, task_at.block) != Py_None))\n        return PyObject_CallOneArg(cold.task_cancel",
        "))\n        return PyObject_CallOneArg(cold.task_cancel",
    ),
    Fault("a cancel is not counted", "core.c", "put(self, task_at.cancels, more);", "Py_DECREF(more);"),
    Fault("an interrupted task is not woken", "core.c", "SLOT(task, task_at.leaf) = made;\n    return wake(task);", "SLOT(task, task_at.leaf) = made;\n    return 0;"),
    Fault("what is interrupted is not dropped", "core.c", "int result = leaf ? drop(leaf) : 0;", "int result = 0;"),
    Fault("a oneshot is taken twice", "core.c", "SLOT(self, oneshot_at._value) = Py_NewRef(py._TAKEN);\n    return value;", "return Py_NewRef(value);"),
    Fault("a oneshot wakes nobody", "core.c", "none_if(wake_from(self, oneshot_at._waker, Py_None))", "none_if(0)"),
    Fault("a bridge keeps what was sent", "core.c", "*out = Py_NewRef(value);", "*out = Py_NewRef(Py_NewRef(value));"),
    Fault("a bridge is not given back", "core.c", "Py_CLEAR(self->held);\n    PyObject_Free(self);", "Py_CLEAR(self->held);"),
    Fault("a StopIteration thrown in is a value", "core.c", " || PyErr_GivenExceptionMatches(args[0], PyExc_StopIteration)))", "))"),
    Fault("the context of a step is not left", "core.c", "if (UNLIKELY(PyContext_Exit(context) < 0)) {", "if (0) {"),
    Fault("a turn has no end while futures are ready", "core.c", "UNLIKELY(--*burst <= 0)) {", "0) {"),
    Fault("the urgent are not first", "core.c", "count > most || Py_SIZE(high) || Py_SIZE(low)", "count > most"),
    Fault("calls put off are dropped", "core.c", "int result = args ? drop_result(PyObject_Call(call, args, NULL)) : -1;", "int result = args ? 0 : -1;"),
    Fault("an error of a call that was put off ends the run", "core.c", "if (UNLIKELY(result < 0) && args) {", "if (0) {"),
    Fault("a poll's error is not thrown in", "core.c", "result = result_of(&leaf);", "result = PYGEN_ERROR;"),
    Fault("a spawned task is not listed", "core.c", "if (LIKELY(PyDict_SetItem(tasks, task, Py_None) == 0)) {", "if (1) {"),
    Fault("a full channel takes one more", "channel.h", "if (Py_SIZE(buffer) - reserved >= capacity) return 0;", "if (Py_SIZE(buffer) - reserved > capacity) return 0;"),
    Fault("nothing is reserved for a woken receiver", "channel.h", "|| set_number(state, shared_at.reserved, reserved + 1) < 0) return -1;", ") return -1;"),
    Fault("a reservation is not taken", "channel.h", "if (set_number(state, shared_at.reserved, reserved - 1) < 0) return NULL;", ""),
    Fault("a receiver takes what is reserved", "channel.h", "else if (waker != Py_None || Py_SIZE(buffer) <= reserved) {", "else if (waker != Py_None || !Py_SIZE(buffer)) {"),
    Fault("a sender that waits is forgotten", "channel.h", "!senders || Py_SIZE(senders) > 0 || ", "!senders || "),
    Fault("a value taken is kept", "channel.h", "    if (value && waits", "    Py_XINCREF(value);\n    if (value && waits"),
    Fault("a free lock is not taken", "lock.h", "put(self, lock_at._free, Py_NewRef(Py_False));", ""),
    Fault("a lock that is waited for is free", "lock.h", "&& PyDict_GET_SIZE(queue) == 0", ""),
    Fault("the error of a cancel is given twice", "core.c", "SLOT(outcome, failure_at.error) = Py_NewRef(Py_None);\n        set_error(error);", "set_error(Py_NewRef(error));"),
    Fault("who was interrupted at a oneshot may be sent to", "core.c", "if (SLOT(leaf, oneshot_at._value) != py._TAKEN) put(", "if (0) put("),
    Fault("a yield is kept", "core.c", "return self == again ? make_bridge(Py_NewRef(py.YIELD), FUTURE)", "return self == again ? make_bridge(Py_NewRef(Py_NewRef(py.YIELD)), FUTURE)"),
    Fault("a call that was put off loses an argument", "core.c", "Py_NewRef(args[i])", "Py_NewRef(args[1])"),
    Fault("a timeout that is over stays set", "timer.h", "if (cancel(SLOT(executor, loop_at.timers), self) < 0) return NULL;", ""),
    Fault("a timeout that is over is around its task", "timer.h", "put(owner, task_at.block, Py_NewRef(outer));", ""),
    Fault("a timeout is entered twice", "timer.h", "Py_NewRef(py.closed)", "Py_NewRef(Py_None)"),
    Fault("a timeout ends as it begins", "timer.h", "PyNumber_Add(now, seconds)", "Py_NewRef(now)"),
    Fault("a timeout in a future is its task's", "timer.h", "driver != Py_None || ", ""),
    Fault("a cancel ends in a timeout", "timer.h", "|| SLOT(self, timeout_at._passed) != Py_None", ""),
    Fault("dead timers are not counted", "timer.h", "set_number(timers, timers_at._dead, ++dead) < 0", "0"),
    Fault("dead timers are not cleaned away", "timer.h", "return dead > PyLong_AsSsize_t(py.MIN_DEAD) && dead * 2 > size ?", "return 0 ?"),
    Fault("two timers have one place", "timer.h", "order + 1", "order"),
    Fault("an entry of the heap is kept", "timer.h", "Py_DECREF(args[1]);", ""),
    Fault("an answer is given to another", "rpc.h", "put_number(at + 8, 8, number);", "put_number(at + 8, 8, number + 1);"),
    Fault("an id that went by is taken again", "rpc.h", "&& count_at(answer, answer_at.x, &last) == 0 && x > last", "&& count_at(answer, answer_at.x, &last) == 0"),
    Fault("a handler that ended stays charged", "rpc.h", "PyObject_SetAttr(account, name.free, before)", "0"),
    Fault("the slot of an answer stays taken", "rpc.h", "return deque_append(free, slot);", "Py_RETURN_NONE;"),
    Fault("an answer is longer than its place", "rpc.h", "length >= RETURN_BYTES && length <= small", "length >= RETURN_BYTES"),
    Fault("a frame overwrites what was not read", "rpc.h", "fits = end <= limit &&", "fits ="),
    Fault("a call is sent on a session that is over", "rpc.h", "SLOT(caller, out_at.flowing) != Py_True ||", ""),
    Fault("a reference to an answer's bytes is kept", "rpc.h", "Py_XDECREF(payload);\n    Py_DECREF(called);", "Py_DECREF(called);"),
)  # fmt: skip
