"""Run a script until it changes the file system for the n-th time, then break it.

Arguments: n, ``kill`` or ``full``, the script, its arguments. Counted are Python's audit events, from the first one
that concerns a conversion's working folder; a forked process goes on with the count of its own. ``kill`` ends the
script on the spot as SIGKILL does; ``full`` lets that call fail as it does on a full disk. When the script gets
through, the number of events is printed last to standard error.
"""

import errno
import os
import runpy
import signal
import sys
import threading

EVENTS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.utime"}
EVENTS |= {"os.scandir", "os.listdir", "ctypes.dlsym", "fcntl.flock", "shutil.rmtree"}
CHANGES = {"open", "os.mkdir", "os.rename", "os.link"}

limit, way, script, *arguments = sys.argv[1:]
script_process = os.getpid()
count = 0
started = False
lock = threading.Lock()


def breaks(event: str, details: tuple[object, ...]) -> None:
    global count, started
    if event not in EVENTS:
        return
    started = started or any(".converting" in str(detail) for detail in details)
    if not started or (way == "full" and (event not in CHANGES or not _writes(event, details))):
        return
    with lock:
        count += 1
        reached = count == int(limit)
    if reached and way == "kill":
        os.kill(script_process, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    if reached:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(details[0]))


def _writes(event: str, details: tuple[object, ...]) -> bool:
    return event != "open" or bool(int(details[2]) & (os.O_WRONLY | os.O_RDWR))  # type: ignore[call-overload]


sys.addaudithook(breaks)
sys.argv = [script, *arguments]
sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120 - pathlib would be counted
try:
    runpy.run_path(script, run_name="__main__")
finally:
    print(count, file=sys.stderr)
