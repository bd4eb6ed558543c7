"""A small CVAT-compatible server for the demo, dry runs and tests; it says of itself that it is a stand-in.

It answers as a CVAT 2.54 was recorded to answer: enough of the API for the unmodified cvat-cli and cvat-sdk to create
projects and tasks, upload images, tag them, export datasets and delete what they made. It is no annotation tool.
"""

SERVER_VERSION = "2.54.1"
"""The CVAT version whose answers are imitated; clients compare it with their own."""
