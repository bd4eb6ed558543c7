"""The keys of configuration.json: one typed model that validation, the JSON Schema and the documentation follow from.

The twelve keys and their meanings are those of the "CVAT Image Annotation" specification. A step asks for the keys that
it needs, by reading its own part of the model: :class:`ImportKeys`, :class:`ExportKeys` or :class:`ConvertKeys`.
"""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from toolkit.config.file import DEFAULT_FILE, ConfigurationFile
from toolkit.core.errors import UsageError
from toolkit.core.storage import Place, local, locate

EXTENSIONS = (
    *("jpg", "JPG", "jpeg", "JPEG", "png", "PNG", "bmp", "BMP", "gif", "GIF", "tif", "TIF", "tiff", "TIFF"),
    *("webp", "WEBP", "images"),
)
"""What a list of extensions may hold: the specification's four first, others that CVAT opens, and `images` for all."""
TO_BEGIN_ONE = f"to begin one: cp config/classification.example.json {DEFAULT_FILE}"


def _whole_number(value: object) -> object:
    """JSON knows one kind of number: 1.0 is an integer there, and to JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _path(value: object, info: ValidationInfo) -> Path:
    try:
        return local(_place(value, info), info.field_name or "this key")
    except UsageError as error:
        raise PydanticCustomError("address", "{message}", {"message": error.message}) from None


def _place(value: object, info: ValidationInfo) -> Place:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError  # rule() has the words
    folders: Mapping[str, Path] = info.context["folders"] if info.context else {}
    try:
        return locate(value, folders.get(info.field_name or "", Path.cwd()))
    except UsageError as error:
        raise PydanticCustomError("symbolic_link", "{message}", {"message": error.message}) from None


def _places(value: object, info: ValidationInfo) -> tuple[Place, ...]:
    if not isinstance(value, list | tuple):
        return (_place(value, info),)
    if not value:
        raise ValueError  # rule() has the words
    return tuple(_place(one, info) for one in value)


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
AbsolutePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]
AnyPlace = Annotated[Place, BeforeValidator(_place), WithJsonSchema({"type": "string", "minLength": 1})]

AnyPlaces = Annotated[
    tuple[Place, ...],
    BeforeValidator(_places),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]


class Keys(BaseModel):
    """What the parts of the model share: values are taken as they are written, case sensitive and unconverted."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    file_defaults: ClassVar[Mapping[str, object]] = {}
    """Values for keys that may be absent when there is no configuration file at all."""


class CredentialKeys(Keys):
    """Who signs in to CVAT; not needed where the environment or a stored access token says it."""

    cvat_username: str = Field(min_length=1, description="CVAT user name.", examples=["django"])
    cvat_password: SecretStr = Field(
        min_length=1, description="Password of that user; better kept in CVAT_PASSWORD.", examples=[""]
    )


class ProjectKeys(Keys):
    """Which project of CVAT is meant."""

    cvat_project_id: WholeNumber = Field(ge=1, description="Number of the project, as in its URL.", examples=[1])


class ImportKeys(ProjectKeys):
    """What `import_images` needs."""

    import_dir: AbsolutePath = Field(
        description="Folder with the images, at any depth; relative to this file.", examples=["./images"]
    )
    import_image_extension: (
        Literal["jpg", "JPG", "jpeg", "JPEG"] | Annotated[list[Literal[EXTENSIONS]], Field(min_length=1)]  # type: ignore[valid-type]
    ) = Field(
        description="Extension of the images to take, in exactly this spelling; or an array of such, "
        "`images` for all that CVAT opens.",
        examples=["jpg"],
    )
    import_task_name: str = Field(
        min_length=1, description="Name of the task that is created.", examples=["your_task_name"]
    )


class DatasetKeys(Keys):
    """The one key that says where a converted dataset is."""

    dataset_conversion_dir: AnyPlace = Field()


class ExportKeys(ProjectKeys):
    """What `export_dataset` needs."""

    export_format: str = Field(
        pattern=r"^\S.* \d+(\.\d+)*$",
        description='Format of the dataset, as the server names it: "ImageNet 1.0" for classification, '
        'such as "COCO 1.0" or "Ultralytics YOLO Detection 1.0" for detection.',
        examples=["ImageNet 1.0"],
    )
    export_dir: AnyPlace = Field(
        description="Folder that gets project_id_<id>.zip; made if missing; relative to this file.",
        examples=["../../../_common/dataset/"],
    )


class ConvertKeys(Keys):
    """What `convert_dataset` needs."""

    file_defaults: ClassVar[Mapping[str, object]] = {
        "dataset_conversion_validation_split": 0.2,
        "dataset_conversion_seed": 123,
    }

    dataset_conversion_base_file: AnyPlaces = Field(
        description="The exported zip, or an array of several that make one dataset, patterns such as "
        "`exports/task-*.zip` included; relative to this file.",
        examples=["../../../_common/dataset/project_id_1.zip"],
    )
    dataset_conversion_dir: AnyPlace = Field(
        description="Folder that gets the dataset; made if missing; relative to this file.",
        examples=["../../../_common/dataset/"],
    )
    dataset_conversion_validation_split: float = Field(
        gt=0, lt=1, description="Share of the images that go to validation.", examples=[0.2]
    )
    dataset_conversion_seed: WholeNumber = Field(
        ge=0, le=2**32 - 1, description="Seed of the random split.", examples=[123]
    )


class Configuration(ConvertKeys, ExportKeys, ImportKeys, CredentialKeys):
    """All keys of configuration.json."""


Part = TypeVar("Part", bound=Keys)

ENVIRONMENT = {key: key.upper() for key in Configuration.model_fields if key.startswith("cvat_")}
"""The environment variable of each key that has one."""


def read(
    part: type[Part],
    file: ConfigurationFile | None = None,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Part:
    """Read and check the keys that a step needs; an option wins over the environment, that over the file.

    Args:
        part: The step's part of the model.
        file: The opened configuration file, or None to do without one.
        options: Values from the command line by key; None values count as not given. Relative paths in them count from
            the working directory.
        environ: The environment.

    Returns:
        The part with all values checked and all paths absolute.

    Raises:
        UsageError: One detail line for every problem there is.
    """
    environ = os.environ if environ is None else environ
    given = {key: value for key, value in (options or {}).items() if value is not None}
    values = dict(file.values if file else part.file_defaults)
    folders = dict.fromkeys(values, file.folder) if file else {}
    sources: dict[str, str] = {}
    for key in part.model_fields.keys() & ENVIRONMENT.keys() - given.keys():
        if text := environ.get(ENVIRONMENT[key]):
            values[key] = _number_or_text(text) if key == "cvat_project_id" else text
            sources[key] = ENVIRONMENT[key]
    values.update(given)
    folders.update(dict.fromkeys(given, Path.cwd()))
    sources.update({key: f"--{key.replace('_', '-')}" for key in given})
    try:
        return part.model_validate(values, context={"folders": folders})
    except ValidationError as error:
        found = _problems(error.errors(), values)
        raise ConfigurationProblems(file, [Problem(line, sources.get(key, "")) for key, line in found]) from None


def wrong_values(file: ConfigurationFile) -> list[str]:
    """Find the values in a configuration file that their keys cannot have, whichever step reads it, one line each.

    A missing key is not among them, nor are empty credentials, which the samples ship with and the environment may
    replace.
    """
    unset = {key for key in CredentialKeys.model_fields if file.values.get(key) == ""}
    try:
        Configuration.model_validate(file.values, context={"folders": dict.fromkeys(file.values, file.folder)})
    except ValidationError as error:
        found = [one for one in error.errors() if one["type"] != "missing"]
        return [line for _, line in _problems([one for one in found if one["loc"][0] not in unset], file.values)]
    return []


class Problem(NamedTuple):
    """Something wrong in what a step is told.

    ``source`` is the option or environment variable that a wrong value came from; empty for the file, or for none.
    """

    line: str
    source: str = ""

    @property
    def place(self) -> str:
        """Where such values stand."""
        return "the options" if self.source.startswith("-") else "the environment" if self.source else ""


class ConfigurationProblems(UsageError):
    """All that is wrong in what a step is told, with where each wrong value came from.

    Without a file only options were given.
    """

    def __init__(self, file: ConfigurationFile | None, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        nowhere = str(file.path) if file else f"the options (there is no {DEFAULT_FILE} here; {TO_BEGIN_ONE})"
        found = {problem.place or nowhere for problem in problems}
        places = [place for place in (nowhere, "the options", "the environment") if place in found]
        if not file and nowhere in places and "the options" in places:
            places.remove("the options")
        super().__init__(
            f"{len(problems)} problem{'s' * (len(problems) != 1)} in {' and '.join(places)}",
            [line + (f" (from {source})" if source and source not in line else "") for line, source in problems],
        )


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _problems(errors: Sequence[ErrorDetails], values: Mapping[str, object]) -> list[tuple[str, str]]:
    problems: dict[str, str] = {}
    for found in errors:
        key = str(found["loc"][0])
        if found["type"] == "missing":
            problems[key] = f"{key}: missing, must be {rule(key)} (or {_instead(key)})"
        elif found["type"] == "symbolic_link":
            problems[key] = f"{key}: {found['msg']}"
        else:
            problems[key] = f"{key}: must be {rule(key)}, found {_shown(key, values[key])}"
    return list(problems.items())


def _instead(key: str) -> str:
    option = f"give --{key.replace('_', '-')}"
    variable = f"set {ENVIRONMENT.get(key)}"
    if key == "cvat_password":  # an option would show it in the process list
        return variable
    return f"{option} or {variable}" if key in ENVIRONMENT else option


def _shown(key: str, value: object) -> str:
    """Name a wrong value's JSON type and, where it is no secret, the value itself."""
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a number"),
        ((str, Path), "a string"),
        (list, "an array"),
        (dict, "an object"),
        (type(None), "null"),
    ]
    kind = next(name for types, name in kinds if isinstance(value, types))
    if value in ("", [], {}):
        return f"an empty {kind.split()[1]}"
    if value is None or Configuration.model_fields[key].annotation is SecretStr:
        return kind
    text = str(value) if isinstance(value, str | Path) else json.dumps(value, ensure_ascii=False)
    return f"{kind} ({text if len(text) <= 60 else text[:60] + '…'})"


def rule(key: str) -> str:
    """Say in words what a key's value must be, as the schema has it: such as "an integer from 0 to 4294967295"."""
    schema = Configuration.model_json_schema()["properties"][key]
    if key == "import_image_extension":
        return f"one of {', '.join(EXTENSIONS[:4])}, or an array of some of {', '.join(EXTENSIONS)}"
    if key == "export_format":
        return 'a format as the server names it, such as "ImageNet 1.0" or "COCO 1.0"'
    if "anyOf" in schema:
        return "a non-empty string, or an array of such"
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if schema["type"] == "string":
        return "a non-empty string"
    if schema["type"] == "number":
        return f"a number above {schema['exclusiveMinimum']} and below {schema['exclusiveMaximum']}"
    if "maximum" in schema:
        return f"an integer from {schema['minimum']} to {schema['maximum']}"
    return f"an integer of at least {schema['minimum']}"


def unknown_keys(file: ConfigurationFile) -> list[str]:
    """Warn of each key that nothing reads, in the file's order, with the nearest known name."""
    known = list(Configuration.model_fields)
    warnings = []
    for key in file.values:
        if key not in known and key != "$schema":
            nearest = difflib.get_close_matches(key, known)
            hint = f", did you mean {nearest[0]}?" if nearest else ""
            warnings.append(f"{file.path}: unknown key {key}{hint}")
    return warnings


def target_in(export_dir: Place, project_id: int) -> Place:
    """Return the path that the export of a project has, whatever its format (as specified)."""
    return export_dir / f"project_id_{project_id}.zip"
