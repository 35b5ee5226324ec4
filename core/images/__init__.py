"""Image files in and out, 8 or 16 bits per channel. Whatever fails becomes one ``ImageError`` line.

Kept from source to result: size, orientation (applied once, then reset), depth, transparency, greyness, and Exif, ICC
profile, XMP and resolution where the format can hold them; ``save`` returns what it cannot. ``docs/formats.md`` is the
table of that, as measured.
"""

from __future__ import annotations

from .finding import find_images
from .formats import FORMATS, MAX_PIXELS, READABLE, WRITABLE, Saving, format_of
from .frames import Frames, load_frames, save_frames
from .holding import Held, held, lost
from .picture import Picture, to_pil
from .provenance import provenance_of
from .reading import Header, from_pil, header_of, load, size_of
from .saving import save
from .streaming import Streamed, open_streamed, wants_streaming

__all__ = [
    "FORMATS",
    "Frames",
    "Header",
    "Held",
    "MAX_PIXELS",
    "Picture",
    "READABLE",
    "Saving",
    "Streamed",
    "WRITABLE",
    "find_images",
    "format_of",
    "from_pil",
    "header_of",
    "held",
    "load",
    "load_frames",
    "lost",
    "open_streamed",
    "provenance_of",
    "save",
    "save_frames",
    "size_of",
    "to_pil",
    "wants_streaming",
]
