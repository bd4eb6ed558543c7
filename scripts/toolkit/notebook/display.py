"""What a notebook shows: HTML from templates, each with a plain text for where there is no HTML; thumbnails; errors."""

import dataclasses
import functools
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from toolkit.core.errors import ToolkitError
from toolkit.core.formats import IMAGE_EXTENSIONS, TaskType
from toolkit.core.text import format_size, printable
from toolkit.report.facts import Dataset, DatasetImage
from toolkit.report.html import TEMPLATES, template_environment
from toolkit.report.sheet import TileMaker, count_thumbnails, make_sheet
from toolkit.transfer.images import Image

if TYPE_CHECKING:
    from jinja2 import Environment


class Output:
    """A place in a cell's output; what is shown there can be replaced.

    It works in every front end, because it is nothing but messages of the Jupyter protocol: no widgets, no scripts.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, template: str, text: str, /, **values: Any) -> None:
        """Show a macro of ``notebook.html.jinja`` in the place of what was shown before.

        ``text`` is the same in plain text, ``values`` are the macro's arguments, whose text is escaped.
        """
        from IPython.display import display

        macro = getattr(_macros(), template)
        style = (TEMPLATES / "notebook.css").read_text("utf-8")
        bundle = {"text/html": f'<style>{style}</style><div class="cvat">{macro(**values)}</div>', "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def show(template: str, text: str, /, **values: Any) -> None:
    """Show something that stays as it is; see :meth:`Output.show`."""
    Output().show(template, text, **values)


@functools.cache
def _macros() -> Any:
    return _environment().get_template("notebook.html.jinja").module


def _environment() -> "Environment":
    environment = template_environment()
    environment.filters["printable"] = printable
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["size"] = format_size
    return environment


def warn(text: str) -> None:
    """Show a warning that stays."""
    show("note", f"warning: {printable(text)}", text=text)


def from_top(path: Path) -> str:
    """Write an absolute path as seen from the repository's top folder, which the notebook lies in, if it is below."""
    tops = [folder for folder in Path.cwd().parents if (folder / "scripts" / "toolkit").is_dir()]
    return str(path.relative_to(tops[0])) if tops and path.is_relative_to(tops[0]) else str(path)


_EVERY = 0.1
"""Seconds between two pictures of a bar: more would only keep the browser busy."""
_PER_CENT = re.compile(r"(\d{1,3})%")


@contextmanager
def progress(what: str, total: int, output: Output | None = None) -> Iterator[Callable[[], None]]:
    """Draw a progress bar; yields a function to call after each step.

    It is drawn in ``output`` if what it leads to takes its place there; otherwise a line stays at the end.
    """
    bar = _Bar(what, total, output or Output())
    bar.draw()
    try:
        yield bar.advance
    except BaseException:
        bar.end("stopped at {done} of {total} after {seconds:.1f} s", good=False)
        raise
    if output is None:
        bar.end("{total} in {seconds:.1f} s", good=True)


@contextmanager
def per_cent(what: str) -> Iterator[Callable[[], None]]:
    """Draw a progress bar for work that counts in hundredths; yields a function to call for each."""
    bar = _Bar(what, 100, Output())
    bar.draw()
    try:
        yield bar.advance
    except BaseException:
        bar.end("stopped at {done} % after {seconds:.1f} s", good=False)
        raise
    bar.end("done in {seconds:.1f} s", good=True)


class _Bar:
    def __init__(self, what: str, total: int, output: Output) -> None:
        self._output = output
        self._what = what
        self._total = total
        self._done = 0
        self._started = self._drawn = time.monotonic()

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._drawn >= _EVERY:
            self.draw()

    def draw(self) -> None:
        self._drawn = time.monotonic()
        text = f"{self._what}: {self._done} of {self._total}"
        self._output.show("bar", text, what=self._what, done=self._done, total=self._total)

    def end(self, words: str, good: bool) -> None:
        seconds = time.monotonic() - self._started
        text = f"{self._what}: {words.format(done=self._done, total=self._total, seconds=seconds)}"
        self._output.show("finished", text, text=text, good=good)


@contextmanager
def status(what: str) -> Iterator[Callable[[str], None]]:
    """Keep one line that shows what goes on; yields a function to call with each new text.

    A percentage in it becomes a bar.
    """
    output = Output()
    started = drawn = time.monotonic()
    last = "starting"

    def update(text: str) -> None:
        nonlocal drawn, last
        last = printable(text.strip())
        if time.monotonic() - drawn >= _EVERY:
            drawn = time.monotonic()
            _draw_status(output, what, last)

    _draw_status(output, what, last)
    try:
        yield update
    except BaseException:
        output.show("finished", f"{what}: stopped at: {last}", text=f"{what}: stopped at: {last}", good=False)
        raise
    text = f"{what}: done in {time.monotonic() - started:.1f} s"
    output.show("finished", text, text=text, good=True)


def _draw_status(output: Output, what: str, line: str) -> None:
    found = _PER_CENT.search(line)
    done = min(100, int(found[1])) if found else None
    output.show("status", f"{what}: {line}", what=what, line=line, done=done)


MOST_SECTIONS = 12
"""Classes or folders of which images are shown; a notebook is a file, which should stay small."""
_NO_FOLDER = "(in no folder)"


def of_folder(images: Sequence[Image]) -> Dataset:
    """See images that are to be imported as a dataset, with their first folders as its classes."""
    found = [
        DatasetImage(image.name, "", image.folder or _NO_FOLDER, str(image.path), image.size, (), None)
        for image in images
    ]
    return _dataset(found, lambda location: Path(location).open("rb"))


def of_zip(archive: zipfile.ZipFile, by_folder: bool) -> Dataset:
    """See the images of a zip as a dataset.

    With ``by_folder`` the first folders are the classes, as in an "ImageNet 1.0" export; else there is one class.
    """
    found = []
    for member in archive.infolist():
        if not member.filename.lower().endswith(IMAGE_EXTENSIONS):
            continue
        first, slash, rest = member.filename.partition("/")
        label, name = (first, rest) if slash and by_folder else ("images", member.filename)
        found.append(DatasetImage(name, "", label, member.filename, member.file_size))
    return _dataset(found, lambda location: cast(BinaryIO, archive.open(location)))


def _dataset(images: list[DatasetImage], open_image: Callable[[str], BinaryIO]) -> Dataset:
    return Dataset(
        kind=TaskType.CLASSIFICATION,
        format_name="",
        source=Path(),
        sides=[""],
        classes=sorted({str(image.label) for image in images}),
        images=images,
        open_image=open_image,
    )


def show_sheet(dataset: Dataset, caption: str, per_class: int = 8) -> None:
    """Show thumbnails of a dataset, with boxes if it has them.

    A class has ``per_class`` of them at most, which are spread evenly over all its images.
    """
    seen = {label for image in dataset.images for label in _labels(image)}
    classes = [name for name in dataset.classes if name in seen]
    shown = dataclasses.replace(dataset, images=_of_classes(dataset, classes[:MOST_SECTIONS]))
    output = Output()
    with progress("drawing thumbnails", count_thumbnails(shown, per_class), output) as advance:
        sections = [section for section in make_sheet(shown, per_class, TileMaker(shown, advance)) if section.total]
    output.show(
        "sheet",
        f"{caption}\n" + "\n".join(f"{section.words}: {section.total} images" for section in sections),
        sections=sections,
        caption=caption,
        classes=dataset.classes,
        is_detection=dataset.kind is TaskType.DETECTION,
        hidden=len(classes[MOST_SECTIONS:]),
    )


def _labels(image: DatasetImage) -> set[str]:
    return {image.label} if image.label is not None else {box.label for box in image.boxes}


def _of_classes(dataset: Dataset, classes: Sequence[str]) -> list[DatasetImage]:
    wanted = set(classes)
    return [image for image in dataset.images if not _labels(image) or _labels(image) & wanted]


INTERRUPTED = "interrupted: run the cell again when you like"
_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"


def show_errors_briefly() -> None:
    """Arrange that errors are shown without a traceback; outside of a notebook nothing happens.

    The toolkit's own errors, those of the file system and the stop button get a message; anything else, which nobody
    expected, gets the one line that IPython calls "minimal". ``%xmode context`` and ``%tb`` then show its traceback.
    """
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return
    shell.InteractiveTB.set_mode(mode="Minimal")
    shell.set_custom_exc((ToolkitError, OSError, KeyboardInterrupt), _show_error)


def _show_error(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    lines = lines_of(error)
    # The attribute is IPython's own way to let an exception say how it is shown; the cell still counts as failed.
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    shell.showtraceback((kind, error, trace))


def lines_of(error: BaseException) -> list[str]:
    """Say what an error or an interrupt means, whose notes say what was undone.

    The first line begins with a coloured "error:".
    """
    details = [*getattr(error, "__notes__", ())]
    if isinstance(error, KeyboardInterrupt):
        return [f"{_RED}{INTERRUPTED}{_PLAIN}", *_listed(details)]
    if isinstance(error, ToolkitError):
        message = error.message
        details = [*error.details, *details]
    else:
        assert isinstance(error, OSError)
        reason = error.strerror or str(error)
        message = f"{reason}: {error.filename}" if error.filename else reason
    return [f"{_RED}error:{_PLAIN} {printable(message)}", *_listed(details)]


def _listed(details: list[str]) -> list[str]:
    return [f"  - {printable(detail)}" for detail in details]
