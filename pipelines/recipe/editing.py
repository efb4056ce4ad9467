"""The section `edit` of a recipe: the editors that run, in their order, each with its options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import ConfigDict, GetJsonSchemaHandler, ModelWrapValidatorHandler, ValidationInfo, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tamis.pipelines.recipe.field_messages import FieldErrors
from tamis.pipelines.recipe.raters import check_declared, component_type, example_options, make_component
from tamis.pipelines.recipe.rating import FINISHED
from tamis.transforms.core.editor import PREFIX, Editor
from tamis.transforms.core.errors import nearest
from tamis.transforms.core.options import Options
from tamis.transforms.runtime.plugins import Plugin, Plugins

EDITORS = Plugins(
    "tamis.editors",
    {
        "repair": "tamis.transforms.edit.repair:RepairEditor",
        "c4_lines": "tamis.transforms.edit.c4_editor:C4LinesEditor",
        "lines": "tamis.transforms.edit.refinedweb_lines:LinesEditor",
        "cut_lines": "tamis.transforms.edit.cut_lines:CutLinesEditor",
        "pii": "tamis.transforms.edit.pii.pii_editor:PiiEditor",
    },
)
"""The shipped editors, and where they are."""

OBJECTS = "editors"
"""Key of the context in which a recipe is checked: editors that are objects of the program."""


class EditStep(Options):
    """One editor by its name, as in `- repair: {}`."""

    model_config = ConfigDict(extra="allow")

    _object: Editor[Any] | None = None  # of the program
    _complete: bool = True

    @cached_property
    def editor(self) -> Editor[Any] | None:
        """The editor; None if it is not installed, which only that of a finished run need not be."""
        if self._object is not None or not self._complete:
            return self._object
        ((name, options),) = (self.model_extra or {}).items()
        plugin = EDITORS.find(name)
        assert plugin is not None
        return make_editor(plugin, options)

    def __eq__(self, other: object) -> bool:
        """Whether name and options are equal; the editor follows from them."""
        return isinstance(other, EditStep) and self.model_extra == other.model_extra

    @model_validator(mode="wrap")
    @classmethod
    def _options_fit(cls, value: Any, handler: ModelWrapValidatorHandler[EditStep], info: ValidationInfo) -> EditStep:
        if not isinstance(value, dict):
            return handler(value)
        if len(value) != 1:
            raise ValueError("should be one editor with its options, as in `- repair: {}`; each is an item of its own")
        ((name, options),) = value.items()
        context = info.context or {}
        objects = {editor.name: editor for editor in context.get(OBJECTS, ())}
        if name in objects:
            step = handler({name: objects[name].options})
            step._object = objects[name]
            return step
        try:
            plugin = EDITORS.find(name)
            if plugin is None:
                raise ValueError(unknown_editor(str(name)))
            kind = editor_type(plugin)
            checked = create_model("Edit", __base__=Options, **{name: (kind.options_type, ...)})  # type: ignore[call-overload]
            step = handler({name: getattr(checked.model_validate({name: {} if options is None else options}), name)})
            _ = step.editor  # which says what is wrong with it
        except (ImportError, OSError, ValueError) as error:
            if context.get(FINISHED):
                step = handler(value)
                step._complete = False
                return step
            if type(error) not in (ImportError, OSError, FileNotFoundError, ValueError):
                raise
            raise FieldErrors({(name,): str(error)}) from None
        return step

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        fields = create_model("EditStep", __base__=Options, __doc__=cls.__doc__, **_fields())
        return handler.resolve_ref_schema(handler(fields.__pydantic_core_schema__))  # not a definition beside its own

    @classmethod
    def all_fields(cls) -> Mapping[str, FieldInfo]:
        """The editors that an item can be here."""
        return create_model("EditStep", __base__=Options, **_fields()).model_fields


def _fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for plugin in EDITORS.all:
        try:
            fields[plugin.name] = (editor_type(plugin).options_type | None, None)
        except ImportError:  # of another package: `tamis raters` says so
            continue
    return fields


def editor_type(plugin: Plugin) -> type[Editor[Any]]:
    """The class of an editor. Raises ImportError if it cannot be loaded or is none."""
    return component_type(plugin, Editor)


def make_editor(plugin: Plugin, options: Any) -> Editor[Any]:
    """An editor with checked options. Raises ValueError if its name or signals break the contract."""
    editor = make_component(plugin, editor_type(plugin), options)
    check_editor_names(editor)
    return editor


def example_editor(plugin: Plugin) -> Editor[Any]:
    """An editor with default options, or with those that it is shown with."""
    return make_editor(plugin, example_options(editor_type(plugin)))


def check_editor_names(editor: Editor[Any]) -> None:
    """Raises ValueError unless its signals have names that begin with that of the editor, and the
    values that it has of the text before are among them."""
    check_declared(editor.signals, f"{PREFIX}{editor.name}.")
    own = {signal.name for signal in editor.measures}
    if strangers := sorted(set(editor.before.values()) - own):
        raise ValueError(f"`before` names {', '.join(strangers)}, which it does not measure")


def check_editors_differ(editors: Sequence[Editor[Any]]) -> None:
    """Raises ValueError if two editors of a recipe have one name."""
    if twice := [name for name, times in Counter(editor.name for editor in editors).items() if times > 1]:
        raise ValueError(f"two editors are called '{twice[0]}': choose another name for one of them")


def check_editor_objects(objects: Sequence[Any]) -> None:
    """Raises ValueError unless the editors of the program are editors with names of their own."""
    for editor in objects:
        if not isinstance(editor, Editor):
            raise ValueError(f"{editor!r} is no editor: make one of a function with tamis.editor(name=…, version=…)(function)")
        if editor.name in EDITORS.shipped:
            raise ValueError(f"an editor of Tamis is called '{editor.name}': give yours another name")
        check_editor_names(editor)


def unknown_editor(name: str) -> str:
    """The message for an editor that nothing provides."""
    if close := nearest(name, EDITORS.names):
        return f"no such editor; did you mean '{close}'?"
    names = ", ".join(EDITORS.names)
    return f"no installed package provides this editor: pip install the one that does. Editors here are {names}"
