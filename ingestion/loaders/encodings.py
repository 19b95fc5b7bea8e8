"""Text bytes to text, whatever encoding they were written in."""

import codecs

__all__ = ["decode"]

_SAMPLE_BYTES = 256 * 1024
_ZEROS_OF_UTF16 = 0.2
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes) -> str:
    """Return `data` as text: by its byte order mark, as UTF-8, or by the best guess."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    sample = data[:_SAMPLE_BYTES]
    if sample[1::2].count(0) > len(sample) * _ZEROS_OF_UTF16:
        return data.decode("utf-16-le", errors="replace")
    if sample[::2].count(0) > len(sample) * _ZEROS_OF_UTF16:
        return data.decode("utf-16-be", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guess(sample), errors="replace")


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"
