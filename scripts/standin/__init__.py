"""A small CVAT-compatible server for the demo, dry runs and tests; it says of itself that it is a stand-in.

It answers as a CVAT was recorded or measured to answer: enough of the API for the unmodified cvat-cli and cvat-sdk to
create projects and tasks, upload images, tag them, export datasets and delete what they made. It is no annotation tool.
"""

from enum import StrEnum


class CvatVersion(StrEnum):
    """A CVAT whose answers can be imitated: the oldest and the newest that the toolkit supports."""

    V2_54 = "2.54"
    V2_73 = "2.73"

    @property
    def release(self) -> str:
        """The number that the server tells; clients compare it with their own."""
        return {"2.54": "2.54.1", "2.73": "2.73.0"}[self]


NEWEST = CvatVersion.V2_73
