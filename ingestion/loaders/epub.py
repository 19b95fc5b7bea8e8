"""EPUB: a ZIP of XHTML pages, and a list of the order in which they are read (EPUB 3.3, W3C)."""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from ingestion.errors import DocumentError
from ingestion.loaders.encodings import decode
from ingestion.loaders.markup import html_pieces
from ingestion.loaders.pieces import Piece

__all__ = ["epub_pieces"]

_CONTAINER: Final = "META-INF/container.xml"
_PAGES: Final = frozenset({"application/xhtml+xml", "text/html"})


def epub_pieces(data: bytes) -> Iterator[Piece]:
    """Yield the pages of a book in reading order.

    Raises `DocumentError` where the book does not say which pages it has, or lacks one.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        package = _package(archive)
        for page in _pages(archive, package):
            yield from html_pieces(decode(_read(archive, page)))


def _package(archive: zipfile.ZipFile) -> str:
    """The path of the package document, which lists the pages."""
    for element in _xml(archive, _CONTAINER).iter("{*}rootfile"):
        if path := element.get("full-path"):
            return str(path)
    raise DocumentError("The EPUB cannot be read: its container names no package.")


def _pages(archive: zipfile.ZipFile, package: str) -> list[str]:
    tree = _xml(archive, package)
    hrefs = {
        item.get("id"): str(item.get("href", ""))
        for item in tree.iter("{*}item")
        if item.get("media-type") in _PAGES
    }
    spine = [hrefs[one] for item in tree.iter("{*}itemref") if (one := item.get("idref")) in hrefs]
    if not spine:
        raise DocumentError("The EPUB cannot be read: its package names no page.")
    folder = posixpath.dirname(package)
    return [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in spine]


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    """Parse a part; an entity of the document's own is never expanded, none is fetched."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(_read(archive, name), parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"The EPUB cannot be read: {name} is no XML ({error}).") from error


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise DocumentError(f"The EPUB cannot be read: it has no {name[:200]!r}.") from None
