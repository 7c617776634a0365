"""The Tempest versions that the node can build now, and the Gearman functions that follow from them."""

from __future__ import annotations

from refstack_worker.contract import gearman_functions
from refstack_worker.environments.catalogue import Catalogue, Offer


class AvailableVersions:
    """What the catalogue offers without a problem; :meth:`update` notices installed and removed packages."""

    def __init__(self, catalogue: Catalogue, tags: tuple[str, ...]) -> None:
        self._catalogue = catalogue
        self._tags = tags
        self.offers: list[Offer] = []

    def update(self) -> bool:
        """Look at the catalogue. :returns: whether anything changed."""
        offers = [offer for offer in self._catalogue.offers() if not offer.problem]
        is_changed = [_identity(offer) for offer in offers] != [_identity(offer) for offer in self.offers]
        self.offers = offers
        return is_changed

    def look_again(self) -> None:
        """Make the next :meth:`update` look at the folders without waiting for its interval."""
        self._catalogue.refresh()

    @property
    def labels(self) -> list[str]:
        """The versions, with plugins, as messages name them."""
        return [offer.label for offer in self.offers]

    @property
    def numbers(self) -> tuple[str, ...]:
        """The version numbers, sorted, each once."""
        return tuple(sorted({offer.version for offer in self.offers}))

    def functions(self) -> list[str]:
        """Return the Gearman functions to register, each once."""
        releases = sorted({release for offer in self.offers for release in offer.releases})
        names: list[str] = []
        for tag in ("", *self._tags):
            names += [gearman_functions.for_version(number, tag) for number in self.numbers]
            names += [gearman_functions.for_release(release, tag) for release in releases]
        return names


def _identity(offer: Offer) -> tuple[object, ...]:
    return offer.version, offer.plugins, offer.releases
