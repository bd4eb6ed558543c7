"""Run a script and send it SIGINT in the middle of its imports, or when its work is done.

Arguments: the number of the import at which the signal comes, counted from the moment that the script answers for it;
or ``end``; then the script and its arguments. When the script gets through, the number of imports is printed last to
standard error.
"""

import atexit
import os
import runpy
import signal
import sys

moment, script, *arguments = sys.argv[1:]
count = 0


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def watch(event: str, _details: tuple[object, ...]) -> None:
    global count
    if event == "import" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        count += 1
        if str(count) == moment:
            interrupt()


sys.addaudithook(watch)
if moment == "end":
    atexit.register(interrupt)
sys.argv = [script, *arguments]
sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120 - pathlib would import what the script is to import
try:
    runpy.run_path(script, run_name="__main__")
finally:
    print(count, file=sys.stderr)
