"""Limit how much may be under way at a time: images, and bytes of bodies."""

from __future__ import annotations

from types import TracebackType


class BusyError(Exception):
    """There is no room at the moment; the message says of what."""


class Admission:
    """The counts of what is under way, for one event loop: nothing here may be called from another thread."""

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self.max_images = max_images
        self.max_bytes = max_bytes
        self.images = 0
        self.bytes = 0

    def require_room(self) -> None:
        """Raise BusyError where there is no room for an image; take none.

        Raises:
            BusyError: no image can be taken at the moment.
        """
        if self.images >= self.max_images:
            raise BusyError(f"{self.images} images are under way already")


class Place:
    """One request's share of what may be under way; leaving the block gives all of it back."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._images = 0
        self._bytes = 0

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.bytes -= self._bytes
        self._admission.images -= self._images

    def hold_bytes(self, count: int) -> None:
        """Take room for bytes that have arrived.

        Raises:
            BusyError: the bodies of all requests under way would exceed the limit.
        """
        if self._admission.bytes + count > self._admission.max_bytes:
            raise BusyError(f"requests under way hold {self._admission.bytes / 1e6:.0f} MB already")
        self._admission.bytes += count
        self._bytes += count

    def hold_images(self, count: int) -> None:
        """Take room for images.

        Raises:
            BusyError: there would be more under way than the limit.
        """
        if self._admission.images + count > self._admission.max_images:
            raise BusyError(f"{self._admission.images} images are under way already")
        self._admission.images += count
        self._images += count
