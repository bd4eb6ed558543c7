"""What is the same for all kinds of things: which one a path names, which ones a query asks for, what a name may be."""

from typing import Any

from standin.api.web import Call
from standin.data.store import Row
from standin.errors import ApiError, NotFoundError

LONGEST_NAME = 256
SORTED_BY = ("id", "name")


def get_or_404(call: Call, table: str, what: str) -> Row:
    """Return the row that the path names.

    Args:
        call: The request, with the row's ``id`` in its path.
        table: The table.
        what: What an error calls it.

    Raises:
        NotFoundError: There is none.
    """
    row = call.state.store.one(f"SELECT * FROM {table} WHERE id = ?", call.params["id"])
    if row is None:
        raise NotFoundError(what)
    return row


def list_objects(call: Call, table: str, *equal: str) -> list[Row]:
    """Return the rows that the query asks for, newest first unless it says otherwise.

    Args:
        call: The request, with any of ``search``, ``sort`` and the columns in its query.
        table: The table.
        equal: The columns that can be asked for by their value.
    """
    rows = call.state.store.all(f"SELECT * FROM {table} ORDER BY id DESC")
    for column in equal:
        if wanted := call.query.get(column):
            rows = [row for row in rows if row[column] == wanted]
    if text := call.query.get("search"):
        rows = [row for row in rows if text.lower() in row["name"].lower()]
    order = call.query.get("sort")
    if order in SORTED_BY:
        rows = sorted(rows, key=lambda row: row[order])
    return rows


def validate_name(fields: dict[str, Any]) -> str:
    """Give the name of something new, without white space at its ends.

    Raises:
        ApiError: There is none, or it is blank or too long (400).
    """
    name = fields.get("name")
    if not isinstance(name, str) or not name.strip():
        sentence = "This field is required." if name is None else "This field may not be blank."
        raise ApiError(400, {"name": [sentence]})
    if len(name) > LONGEST_NAME:
        raise ApiError(400, {"name": [f"Ensure this field has no more than {LONGEST_NAME} characters."]})
    return name.strip()
