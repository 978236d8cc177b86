"""The section ``serve`` of params.yaml: what the server takes, how it batches, and when it looks for a champion."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from graft.core.params.sections import Count, Section

Seconds = Annotated[float, Field(gt=0)]
Megabytes = Annotated[float, Field(gt=0)]
MEGA = 1_000_000


class ServeParams(Section):
    """Limits and times of `graft serve`.

    Attributes:
        max_image_mb: of one image file, in millions of bytes.
        max_megapixels: width times height of an image, and of all images that are decoded at a time; the model's own
            limit holds too.
        max_images: of one request.
        max_request_mb: of the body of one request.
        max_buffer_mb: of the bodies of all requests under way.
        max_batch: images of one forward pass.
        max_wait_ms: that a forward pass waits for images that are still being decoded.
        queue: images under way at a time; a request beyond is refused with 503.
        timeout_seconds: from a request's head to its answer.
        poll_seconds: between two looks at the registry for a new champion.
        log_buffer_mb: of images that are answered and wait to be looked at for the prediction log.
    """

    max_image_mb: Megabytes = 20
    max_megapixels: Annotated[float, Field(gt=0)] = 50
    max_images: Count = 16
    max_request_mb: Megabytes = 64
    max_buffer_mb: Megabytes = 512
    max_batch: Count = 16
    max_wait_ms: Annotated[float, Field(ge=0)] = 5
    queue: Count = 128
    timeout_seconds: Seconds = 30
    poll_seconds: Seconds = 5
    log_buffer_mb: Megabytes = 64

    @model_validator(mode="after")
    def _limits_fit(self) -> ServeParams:
        for smaller, larger in (
            ("max_image_mb", "max_request_mb"),
            ("max_request_mb", "max_buffer_mb"),
            ("max_images", "queue"),
        ):
            low, high = getattr(self, smaller), getattr(self, larger)
            if low > high:
                raise ValueError(
                    f"{smaller} is {low:g}, but {larger} is {high:g}, so that such a request could never be answered. "
                    f"Set {larger} to {low:g} or more"
                )
        if self.log_buffer_mb < self.max_image_mb:
            raise ValueError(
                f"log_buffer_mb is {self.log_buffer_mb:g}, but max_image_mb is {self.max_image_mb:g}, so that such an "
                f"image could never be logged. Set log_buffer_mb to {self.max_image_mb:g} or more"
            )
        return self

    @property
    def max_image_bytes(self) -> int:
        return round(self.max_image_mb * MEGA)

    @property
    def max_request_bytes(self) -> int:
        return round(self.max_request_mb * MEGA)

    @property
    def max_buffer_bytes(self) -> int:
        return round(self.max_buffer_mb * MEGA)

    @property
    def log_buffer_bytes(self) -> int:
        return round(self.log_buffer_mb * MEGA)

    @property
    def max_pixels(self) -> int:
        return round(self.max_megapixels * MEGA)
