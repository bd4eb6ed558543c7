"""What all parts of one running stand-in share."""

from dataclasses import dataclass, field
from pathlib import Path

from standin import NEWEST, CvatVersion
from standin.data.accounts import Accounts
from standin.data.background import Background
from standin.data.store import Store
from standin.faults.request_log import RequestLog
from standin.faults.rules import Faults


@dataclass(frozen=True)
class Bucket:
    """A bucket that a cloud storage leads to.

    Attributes:
        name: Its name.
        folder: The folder of this machine that holds its objects.
        prefix: What the keys begin with that the storage shows; empty for all.
    """

    name: str
    folder: Path
    prefix: str = ""


@dataclass
class ServerOptions:
    """How a stand-in behaves.

    Attributes:
        faults: Whether tests may order faults under ``/standin/faults``.
        merge_label_folder: Whether an ImageNet export leaves out a frame name's first folder where it is the label's
            name, as the datumaro fork inside CVAT's images did up to 2024 (``cat/1.jpg`` tagged cat comes out as
            ``cat/1.jpg``); datumaro 1.10 gives ``cat/cat/1.jpg``.
        version: The CVAT whose answers are imitated.
        buckets: What the cloud storages 1, 2 … lead to.
        workers: How many background requests run at once.
    """

    faults: bool = False
    merge_label_folder: bool = False
    version: CvatVersion = NEWEST
    buckets: tuple[Bucket, ...] = ()
    workers: int = 2


@dataclass
class State:
    """The parts of one running stand-in."""

    store: Store
    options: ServerOptions
    accounts: Accounts = field(init=False)
    faults: Faults = field(init=False)
    log: RequestLog = field(init=False)
    background: Background = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.store)
        self.faults = Faults()
        self.log = RequestLog()
        self.background = Background(self.store, self.faults, self.options.workers)

    @classmethod
    def open(cls, folder: Path, options: ServerOptions) -> "State":
        """Open a data directory."""
        return cls(Store(folder), options)

    def close(self) -> None:
        """Stop the background work and let go of the files."""
        self.background.close()
        self.store.close()
