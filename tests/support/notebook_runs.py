"""Running the tutorials' notebooks as a person does, in a copy of the tree, on a kernel of this Python."""

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

SECONDS = 240
"""What a notebook may take before its test gives up."""


@dataclass
class Run:
    """A notebook after its run.

    Attributes:
        notebook: The notebook with its outputs.
        error: What the runner says of the cell that failed, or None.
    """

    notebook: nbformat.NotebookNode
    error: str | None

    def texts(self) -> list[str]:
        """Return the plain text of every output, in order."""
        return [text for cell in self.notebook.cells for text in cell_texts(cell)]

    @property
    def text(self) -> str:
        return "\n".join(self.texts())

    @property
    def html(self) -> str:
        """All HTML that was shown."""
        outputs = [output for cell in self.notebook.cells for output in cell.get("outputs", [])]
        return "\n".join(output["data"].get("text/html", "") for output in outputs if "data" in output)

    @property
    def shown_error(self) -> list[str]:
        """The lines that a person sees of the error, without colours."""
        (error,) = [
            output
            for cell in self.notebook.cells
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]
        return [_plain(line) for line in error["traceback"]]

    def everything(self) -> str:
        """Return the whole notebook with its outputs as text, and the error; to look for what must not be there."""
        return nbformat.writes(self.notebook) + (self.error or "")


def cell_texts(cell: nbformat.NotebookNode) -> list[str]:
    texts = []
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            texts += [_plain(line) for line in output["traceback"]]
        elif output["output_type"] == "stream":
            texts.append(output["text"])
        else:
            texts.append(output["data"]["text/plain"])
    return texts


def _plain(line: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", line)


def run_notebook(
    path: Path,
    environment: Mapping[str, str],
    interrupt_at: Callable[[str], bool] | None = None,
    replace: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Run:
    """Run a notebook in its folder, up to its end or its first error.

    Args:
        path: The notebook; it is not changed.
        environment: The kernel's environment.
        interrupt_at: Looks at all text shown so far; when it says so, the kernel is interrupted, once.
        replace: Text in the cells to replace, as a person edits a cell.
        python: The interpreter of the kernel.
    """
    notebook = nbformat.read(path, as_version=4)
    for before, after in (replace or {}).items():
        assert any(before in cell.source for cell in notebook.cells), before
        for cell in notebook.cells:
            cell.source = cell.source.replace(before, after)
    error = asyncio.run(_run(notebook, path.parent, dict(environment), interrupt_at, python))
    return Run(notebook, error)


async def _run(
    notebook: nbformat.NotebookNode,
    folder: Path,
    environment: dict[str, str],
    interrupt_at: Callable[[str], bool] | None,
    python: str,
) -> str | None:
    manager = AsyncKernelManager(kernel_name="python3")
    manager._kernel_spec = KernelSpec(  # whatever kernels are installed where, this is the one under test
        argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], display_name="test", language="python"
    )
    client = NotebookClient(
        notebook, km=manager, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}, coalesce_streams=True
    )
    work = asyncio.create_task(client.async_execute(env=environment, cwd=str(folder)))
    interrupted = interrupt_at is None
    end = time.monotonic() + SECONDS
    try:
        while not work.done():
            await asyncio.wait([work], timeout=0.02)
            if not interrupted and interrupt_at is not None:
                if interrupt_at("\n".join(text for cell in notebook.cells for text in cell_texts(cell))):
                    interrupted = True
                    await manager.interrupt_kernel()
                assert time.monotonic() < end, "the moment for the interrupt never came"
        await work
    except CellExecutionError as failure:
        return str(failure)
    finally:
        if await manager.is_alive():
            await manager.shutdown_kernel()  # not killed: what was measured in it is written at its end
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, CellExecutionError, DeadKernelError):
            await work
    assert interrupted, "the notebook ended before the moment for the interrupt"
    return None


def kernel_environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a kernel leaves no trace outside of a folder and knows no other CVAT."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "CODESPACE"))}
    places = {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    return own | places | dict(variables)
