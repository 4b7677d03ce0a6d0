# Prints what tifffile says of each page of TIFFs, as JSON: see readers_test.go.
import hashlib
import json
import sys

import tifffile

ORDER = {"<": "little", ">": "big"}


def tag_order(data, tif, page):
    """The codes of a page's tags as they lie in the file, which tifffile sorts."""
    order = ORDER[tif.byteorder]
    n = int.from_bytes(data[page.offset:page.offset + 8], order)
    return [int.from_bytes(data[page.offset + 8 + 20 * i:][:2], order) for i in range(n)]


def text(page, code):
    tag = page.tags.get(code)
    return tag.value if tag else ""


def describe(path):
    with open(path, "rb") as f:
        data = f.read()
    with tifffile.TiffFile(path) as tif:
        out = {"version": tifffile.__version__, "big": tif.is_bigtiff, "endian": tif.byteorder, "undecodable": "", "pages": []}
        for page in tif.pages:
            value = lambda code: page.tags[code].value
            digest = ""
            try:
                digest = hashlib.sha256(page.asarray().tobytes()).hexdigest()
            except ValueError as err:
                out["undecodable"] = str(err)
            out["pages"].append({
                "width": value(256), "height": value(257), "tile": value(322), "tilelength": value(323),
                "compression": int(value(259)), "photometric": int(value(262)), "subfile": int(value(254)),
                "bits": value(258), "samples": value(277), "planar": int(value(284)), "unit": int(value(296)),
                "xresolution": list(value(282)), "yresolution": list(value(283)),
                "software": text(page, 305), "description": text(page, 270),
                "smallestoffset": min(page.dataoffsets), "smallestcount": min(page.databytecounts), "tiles": len(page.dataoffsets),
                "tags": tag_order(data, tif, page), "sha256": digest,
            })
        out["levels"] = len(tif.series[0].levels)
    return out


json.dump([describe(path) for path in sys.argv[1:]], sys.stdout)
