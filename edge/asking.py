"""What one request asks: its query and headers to the wishes, the model that is to answer, and the file."""

from dataclasses import dataclass

from starlette.requests import Request

from edge.audited import facts_of
from edge.queries import Query, prefers_csv, read_query
from models.catalogue import Catalogue, ServedModel
from processing.cells import Body
from processing.reading import Reader, Rules


@dataclass(frozen=True)
class Asked:
    """What is asked: of which `model`, about which `upload` (the bytes of a CSV), and with which wishes.

    `time_zone` is that of stamps without an offset and of the site's calendar, `rules` are those for reading, and
    `as_csv` tells whether the answer is to be CSV.
    """

    query: Query
    model: ServedModel
    time_zone: str
    rules: Rules
    as_csv: bool
    upload: Body

    @property
    def reader(self) -> Reader:
        """What reads profiles of at least the model's window."""
        return Reader(self.time_zone, self.model.card.window, self.rules)


def understand(request: Request, parameters: tuple[str, ...], catalogue: Catalogue) -> Asked:
    """Find out what a request asks, and take the file out of its state.

    Args:
        request: with the model's name in its path and the file in its state.
        parameters: of the query that the route takes.
        catalogue: the models that serve.

    Raises:
        InvalidQuery: a parameter cannot be used.
        UnknownModel, UnknownVersion, VersionNotLoaded, ModelUnavailable: as `Catalogue.get` does.
    """
    query = read_query(request.query_params.multi_items(), parameters)
    model = catalogue.get(request.path_params["model"], query.version)
    facts_of(request.scope).update(model=model.name, version=model.version)
    zone = query.time_zone or model.card.time_zone
    rules = query.rules(model.card.known_mean_kw)
    asked = Asked(query, model, zone, rules, prefers_csv(request.headers.get("accept")), request.state.upload)
    del request.state.upload  # or it would stay in memory until the answer has been sent
    return asked
