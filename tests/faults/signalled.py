"""Run a script and send it a signal at a moment that is counted, not timed.

Arguments: the moment, the signal's name, the script, its arguments. Moments are:

- ``import:N``: the N-th import, counted from when the script answers for Ctrl-C itself;
- ``work:N``: the N-th time that its work is about to open a file, look into or change a folder, start a process or
  send a request;
- ``end``: after all work.

When the script gets through, the numbers of imports and of steps of work are printed last to standard error.
"""

import atexit
import os
import runpy
import signal
import sys
import threading

moment, name, script, *arguments = sys.argv[1:]
number = getattr(signal, name)
counts = {"import": 0, "work": 0}
lock = threading.Lock()
STEPS = {"open", "os.scandir", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"}
STEPS |= {"subprocess.Popen", "http.client.send"}
CODE = (".py", ".pyc", ".so")


def strike() -> None:
    os.kill(os.getpid(), number)


def watch(event: str, details: tuple[object, ...]) -> None:
    if event == "import" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        count("import")
    elif event in STEPS and is_work() and not is_code(details[0]):
        count("work")


def is_code(path: object) -> bool:
    """Tell what Python reads of a program, and keeps of it when it is read for the first time (by a descriptor)."""
    return isinstance(path, int) or str(path).endswith(CODE) or "__pycache__" in str(path)


def is_work() -> bool:
    """Tell whether Ctrl-C raises again what Python makes of it: before and after the work it does not."""
    return "toolkit.cli.script" in sys.modules and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def count(kind: str) -> None:
    with lock:
        counts[kind] += 1
        is_now = moment == f"{kind}:{counts[kind]}"
    if is_now:
        strike()


sys.addaudithook(watch)
if moment == "end":
    atexit.register(strike)
sys.argv = [script, *arguments]
sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120 - pathlib would import what the script is to import
try:
    runpy.run_path(script, run_name="__main__")
finally:
    print(counts["import"], counts["work"], file=sys.stderr)
