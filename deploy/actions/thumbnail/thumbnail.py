"""A thumbnail of a picture, NAME.thumb.png: `name` is the picture's, `pixels` how long the longer side becomes."""

import json
import sys
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

NEVER = 65
"""No other try at this picture would go better."""


def main() -> None:
    """Write the thumbnail."""
    outputs, settings = Path(sys.argv[2]), json.loads(sys.argv[3])
    try:
        with Image.open(sys.argv[1]) as picture:
            small = ImageOps.exif_transpose(picture).convert("RGBA" if picture.has_transparency_data else "RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as exc:
        sys.stderr.write(f"no picture of a kind that Pillow knows: {exc}\n")
        sys.exit(NEVER)
    small.thumbnail((settings["pixels"], settings["pixels"]))
    small.save(outputs / f"{settings['name']}.thumb.png")


main()
