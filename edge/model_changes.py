"""Which version of a model answers, changed over HTTP: the same rules as those of ``python -m models``."""

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from auth.app import closed, facts
from auth.middleware import bearer_of
from auth.scopes import MODELS_WRITE
from models.labels import STABLE, Label
from models.store import Store
from models.switching import give_label, roll_back


class LabelChange(BaseModel):
    """The version that is to bear a label."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "0f6b2b1e2a5c4d37"}]})
    version: str | None = Field(
        max_length=200, description="A version, its first characters, or another label; null takes the label away."
    )


class Labelled(BaseModel):
    """The version that bears a label now."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "gru", "label": "stable", "version": "0f6b2b1e2a5c4d37"}]}
    )
    model: str
    label: Label
    version: str | None = Field(description="Null where no version bears the label.")


ModelName = Annotated[str, Path(max_length=200)]


def add_model_changes(app: FastAPI, store: Callable[[], Store]) -> None:
    """Add the routes to an application.

    Args:
        app: the application.
        store: gives the store of models.
    """

    @app.put(
        "/models/{model}/labels/{label}",
        summary="Say which version bears a label",
        tags=["models"],
        response_description="The version that bears it now",
        dependencies=closed(MODELS_WRITE),
    )
    def put_label(model: ModelName, label: Label, change: LabelChange, request: Request) -> Labelled:
        """Give `stable` (which answers where no version is asked for) or `canary` to a version, or take it away.

        Every worker takes the change up within `LASTGANG_WATCH_SECONDS`; until then the version before answers.
        """
        by = f"{bearer_of(request).name}, PUT /models/{{model}}/labels/{{label}}"
        version = give_label(store(), model, label, change.version, by=by)
        facts(request).update(model=model, version=version, target=label)
        return Labelled(model=model, label=label, version=version)

    @app.post(
        "/models/{model}/rollback",
        summary="Go back to the version before",
        tags=["models"],
        response_description="The version that is stable now",
        dependencies=closed(MODELS_WRITE),
    )
    def rollback(model: ModelName, request: Request) -> Labelled:
        """Make stable again what was stable before; a second time undoes it."""
        version = roll_back(store(), model, by=f"{bearer_of(request).name}, POST /models/{{model}}/rollback")
        facts(request).update(model=model, version=version, target=STABLE)
        return Labelled(model=model, label=STABLE, version=version)
