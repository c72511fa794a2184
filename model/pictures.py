"""Pictures and films from strangers: what a file is, told from its first bytes, and a picture read only once its size is known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from model.errors import SettingError
from model.limits import Limits
from model.spec import ModelSpec

SIDE = 4_096  # pixels; read from the file's head, before a byte of the picture is unpacked
MOST = 16  # pictures with one prompt
KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
FILMS = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"FLV"), (0, b"\x00\x00\x01\xba"))  # where, and what


def check(images: Sequence[bytes], spec: ModelSpec | None, limits: Limits) -> None:
    """Refuse what is too large or too much, or what the model cannot see (spec None: not known yet); raise SettingError."""
    size, most = sum(map(len, images)), limits.image_bytes
    if images and not most:
        raise SettingError(
            "An image with the prompt is taken only by a playground of your own, not on a public page.", "image"
        )
    if len(images) > MOST:
        raise SettingError(f"A prompt may have at most {MOST} images; it has {len(images)}.", "image")
    if size > most:
        together = " together" if len(images) > 1 else ""
        what = "Images" if together else "An image"
        has = "they have" if together else "it has"
        raise SettingError(f"{what} may have at most {most / 1e6:g} MB{together}; {has} {size / 1e6:.1f} MB.", "image")
    if images and spec is not None and not spec.vision:
        raise SettingError(f"{spec.name} takes no image: it has no vision tower.", "image")


def opened(data: bytes) -> Any:
    """Return a visitor's file as an RGB picture, turned as its camera says; raise SettingError where it is none, or no single one."""
    from PIL import Image, ImageOps

    if any(data[at : at + len(head)] == head for at, head in FILMS):
        raise SettingError(
            "This file is a video, which this model's class does not take; send frames as images.", "image"
        )
    try:
        picture = Image.open(io.BytesIO(data), formats=KINDS)
        width, height = picture.size
        if max(width, height) > SIDE:
            raise SettingError(f"An image may have at most {SIDE} pixels a side; it has {width} x {height}.", "image")
        if getattr(picture, "is_animated", False):
            raise SettingError(
                "An image must be a single picture; this one is animated: send one frame of it.", "image"
            )
        return ImageOps.exif_transpose(picture).convert("RGB")
    except SettingError:
        raise
    except Image.DecompressionBombError:  # PIL's own limit, which comes first
        most = f"at most {SIDE} pixels a side; this one has very many more"
        raise SettingError(f"An image may have {most}.", "image") from None
    except Exception:  # PIL raises many kinds on damaged files
        raise SettingError("This image cannot be read; PNG, JPEG, WebP, GIF and BMP files can.", "image") from None
