"""The card of a model: everything about it that is not its weights.

In and out: `card.json`, UTF-8, at most 1 MB. It says which columns the model consumes, in which order and
how they were scaled, what it answers and how well, and the SHA-256 of every weight file. Refused: unknown
members, numbers that are not finite, and every contradiction that can be seen without the weights.

`python -m models.card --new DIR` drafts a card for the weights there; `python -m models.card DIR` fills in or
refreshes the digests of a card and checks it.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import InvalidCard, ModelError
from models.fields import (
    COLUMNS,
    ColumnName,
    Count,
    Deviation,
    Digest,
    Levels,
    Name,
    PerHour,
    PerSize,
    PerStep,
    Range,
    RelativePath,
    Steps,
    Text,
    TimeZone,
)
from models.spread import DAY, SHORTEST, measurable

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

CARD = "card.json"
LARGEST_CARD = 1_000_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, serialize_by_alias=True)


class Column(_Part):
    """One input column: its name, and the mean and standard deviation over the training data."""

    name: ColumnName
    mean: float
    std: Deviation


class Target(_Part):
    """What the model answers: normalised power, and the scaling that turns it into kW."""

    name: Literal["power"]
    unit: Literal["kW"]
    mean: float
    std: Deviation


class TrainingData(_Part):
    """What the model learnt from: `rows` quarter-hours; `sha256` is of the CSV, unpacked."""

    name: Text
    source: Text
    from_: Annotated[AwareDatetime, Field(alias="from")]
    to: AwareDatetime
    rows: Count
    licence: Text
    sha256: Digest


class SiteScore(_Part):
    """Mean absolute error in kW over all steps, of this model and of the best naive forecast, at one site."""

    mae_kw: float
    best_naive_kw: float


class Scores(_Part):
    """Mean absolute error in kW, one number a step, of this model and of the naive forecasts.

    `sites` is there where a model learnt from many; `mae_kw` is then the mean over them, in which large ones weigh
    most.
    """

    test_from: AwareDatetime
    test_to: AwareDatetime
    windows: Count
    mae_kw: dict[str, PerStep]
    sites: dict[str, SiteScore] | None = None


class ResidualQuantiles(_Part):
    """Quantiles of actual minus forecast on the validation part: kW, one list of steps for each level."""

    levels: Levels
    kw: list[PerStep]


class LearntIntervals(_Part):
    """How far forecasts miss, learnt from the residuals of many sites (actual minus forecast); see `models.intervals`.

    A residual's spread is `unit * exp(coefficients @ (1, logs of five sizes of the window))` kW, with one list of six
    coefficients for each step in `spread` (`models.spread` tells the sizes and the unit). `quantiles` are of residual /
    spread: for each of the rising `levels` one list of steps for each of the 24 hours that the site's local clock shows
    at the first quarter-hour to be forecast, which is the one after the origin.
    """

    levels: Levels
    spread: list[PerSize]
    quantiles: list[PerHour]


class Libraries(_Part):
    """The versions that the weights were made with."""

    python: Text
    tensorflow: Text
    keras: Text
    numpy: Text


class ModelCard(_Part):
    """A card whose every member is present, finite and free of contradiction.

    `known_mean_kw` is the range of a week's mean power for which the model was made; a week outside it is doubted
    (`scale`). A model without a scale of its own, such as the shipped ones, states none.
    """

    format: Literal[1]
    name: Name
    description: Text
    window: Steps
    interval_minutes: Literal[15]
    horizon: Steps
    columns: Annotated[list[Column], Field(min_length=1)]
    target: Target
    time_zone: TimeZone
    known_mean_kw: Range | None = None
    files: Annotated[dict[RelativePath, Digest], Field(min_length=1)]
    training_data: TrainingData | None = None
    scores: Scores | None = None
    residual_quantiles: ResidualQuantiles | None = None
    intervals: LearntIntervals | None = None
    libraries: Libraries | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the consumed columns, in the model's order."""
        return tuple(column.name for column in self.columns)

    @model_validator(mode="after")
    def _columns_agree(self) -> Self:
        names = self.column_names
        if len(set(names)) < len(names):
            raise ValueError("columns: a name stands there twice; list each column once")
        if "power" not in names:
            raise ValueError("columns: 'power' is missing; every model consumes it")
        power = self.columns[names.index("power")]
        if (self.target.mean, self.target.std) not in {(power.mean, power.std), (0.0, 1.0)}:
            raise ValueError(
                "target: mean and std differ from those of the column 'power'; both scale the same quantity, "
                "so write the same numbers (or mean 0 and std 1 for a model that answers in kW itself)"
            )
        return self

    @model_validator(mode="after")
    def _steps_agree(self) -> Self:
        if (known := self.known_mean_kw) is not None and known[0] >= known[1]:
            raise ValueError(f"known_mean_kw: write the lower number first, not {known[0]:g}, {known[1]:g}")
        mae = {} if self.scores is None else self.scores.mae_kw
        lists = {f"scores.mae_kw.{name}": steps for name, steps in mae.items()}
        if (given := self.residual_quantiles) is not None:
            if given.levels != sorted(set(given.levels)) or len(given.kw) != len(given.levels):
                raise ValueError("residual_quantiles: give rising levels and one list of kW for each of them")
            lists |= {f"residual_quantiles.kw[{i}]": steps for i, steps in enumerate(given.kw)}
        if (learnt := self.intervals) is not None:
            for i, hours in enumerate(learnt.quantiles):
                lists |= {f"intervals.quantiles[{i}][{hour}]": steps for hour, steps in enumerate(hours)}
        for field, steps in lists.items():
            if len(steps) != self.horizon:
                raise ValueError(f"{field}: has {len(steps)} numbers but the horizon is {self.horizon} steps")
        return self

    @model_validator(mode="after")
    def _intervals_agree(self) -> Self:
        if (given := self.intervals) is None:
            return self
        if given.levels != sorted(set(given.levels)) or len(given.quantiles) != len(given.levels):
            raise ValueError("intervals: give rising levels and one table of 24 hours for each of them")
        if len(given.spread) != self.horizon:
            steps = f"the horizon is {self.horizon} steps"
            raise ValueError(f"intervals.spread: has {len(given.spread)} lists of coefficients but {steps}")
        if not measurable(self.window, self.horizon):
            raise ValueError(
                f"intervals: are told from windows of at least {SHORTEST} quarter-hours for at most {DAY} steps, and "
                f"this model takes {self.window} for {self.horizon}; give residual_quantiles instead"
            )
        return self


def parse_card(text: bytes, path: Path) -> ModelCard:
    """Read a card from JSON; `path` is only named in errors.

    Raises:
        InvalidCard: with every problem that was found, each with its field.
    """
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise InvalidCard(path, map(_sentence, error.errors())) from None


def read_card(path: Path) -> ModelCard:
    """Read `card.json`.

    Raises:
        InvalidCard: if it is not there, too large or not valid.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_CARD + 1)
    except OSError:
        hint = "there is no card here; draft one beside the weights with `python -m models.card --new`"
        raise InvalidCard(path, [hint]) from None
    if len(text) > LARGEST_CARD:
        raise InvalidCard(path, [f"is larger than {LARGEST_CARD} bytes; a card is a few kB"])
    return parse_card(text, path)


def card_bytes(card: ModelCard) -> bytes:
    """Give the one spelling of a card, UTF-8 JSON: equal cards give equal bytes."""
    text = card.model_dump_json(indent=2, exclude_none=True)
    # Lists of numbers stay on one line, so that a person can read the scores.
    text = re.sub(r"\[\s+((?:-?[\d.eE+-]+,?\s*)+)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    return f"{text}\n".encode()


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card as JSON."""
    path.write_bytes(card_bytes(card))


def _sentence(problem: "ErrorDetails") -> str:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{field.lstrip('.')}: {message}" if field else message


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m models.card`; give the exit status."""
    from models.weights import complete_card, locate  # noqa: PLC0415  # weights.py itself needs this module

    given = _arguments(arguments)
    try:
        source = locate(given.source, given.card)
        if given.new:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            from models.draft import draft_card, next_steps  # noqa: PLC0415  # loads the weights, and so TensorFlow

            card = draft_card(given.source, source)
            told = next_steps(given.source, given.card, card)
        else:
            card = complete_card(source)
            told = f"{card.name}, {len(card.files)} {'file' if len(card.files) == 1 else 'files'}, complete\n"
    except ModelError as error:
        sys.stderr.write(f"models.card: {error}\n")
        return 1
    sys.stdout.write(f"{source.card}: {told}")
    return 0


_EPILOG = f"""\
Weights tell how long the input and the forecast are and how many columns there are, and --new writes that down.
They do not tell which columns these are, in which order, and with which mean and standard deviation each was
normalised for the training: that is yours to say, and a wrong word there gives wrong forecasts without an error.
There are eleven columns to choose from; times of the calendar are in the card's time zone:
  {", ".join(COLUMNS[:5])},
  {", ".join(COLUMNS[5:])}
A model that answers in kW itself has the target mean 0 and std 1; any other the mean and std of its power.

examples:
  python -m models.card --new my-model/                      draft my-model/card.json
  python -m models.card --new a.keras --card a.json          draft a card for a file elsewhere
  python -m models.card my-model/                            after the weights or the card were changed
  python -m models.card a.keras --card a.json
"""


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.card",
        description="Write the SHA-256 of every weight file into a model's card and check the whole card.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="model folder, SavedModel folder or .keras file")
    parser.add_argument("--card", type=Path, help="the card, if it is not card.json in the model folder")
    parser.add_argument("--new", action="store_true", help="draft a card for weights that have none")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
