"""The Tempest versions that the node can build now, and the Gearman functions that follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refstack_worker.contract import gearman_functions
from refstack_worker.environments.catalogue import Catalogue, Offer


class AvailableVersions:
    """What the catalogue offers without a problem; :meth:`update` notices installed and removed packages."""

    def __init__(self, catalogue: Catalogue, tags: tuple[str, ...]) -> None:
        self._catalogue = catalogue
        self._tags = tags
        self.offers: list[Offer] = []
        self._wanted: list[dict[str, str]] = []

    def update(self) -> bool:
        """Look at the catalogue. :returns: whether anything changed."""
        offers = [offer for offer in self._catalogue.offers() if not offer.problem]
        is_changed = [_identity(offer) for offer in offers] != [_identity(offer) for offer in self.offers]
        self.offers = offers
        return is_changed

    def want(self, sets: Sequence[dict[str, str]]) -> bool:
        """Take the sets of plugins that runs ask for and large locks do not register by themselves.

        :returns: whether that changed the functions.
        """
        before = self.functions()
        self._wanted = list(sets)
        return self.functions() != before

    def look_again(self) -> None:
        """Make the next :meth:`update` look at the folders without waiting for its interval."""
        self._catalogue.refresh()

    @property
    def labels(self) -> list[str]:
        """The versions, with plugins, as messages name them."""
        return [offer.label for offer in self.offers]

    @property
    def served(self) -> tuple[str, ...]:
        """The versions, with plugins, as servers name them; sorted, each once."""
        words = {gearman_functions.served(offer.version, dict(offer.plugins)) for offer in self.offers}
        return tuple(sorted(words))

    def functions(self) -> list[str]:
        """Return the Gearman functions to register, each once."""
        names: dict[str, None] = {}
        for tag in ("", *self._tags):
            for offer in self.offers:
                for plugins in self._sets(dict(offer.plugins)):
                    names[gearman_functions.for_version(offer.version, tag, plugins)] = None
                    for release in offer.releases:
                        names[gearman_functions.for_release(release, tag, plugins)] = None
        return list(names)

    def _sets(self, plugins: dict[str, str]) -> Iterator[dict[str, str]]:
        yield from gearman_functions.subsets(plugins)
        for asked in self._wanted:
            if gearman_functions.is_registered_on_demand(asked, plugins):
                yield asked


def _identity(offer: Offer) -> tuple[object, ...]:
    return offer.version, offer.plugins, offer.releases
