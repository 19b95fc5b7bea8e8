"""What no schema says: requests bent in ways that clients do not, but attackers do."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tests.fuzz.attempts import Attempt
from tests.fuzz.nasty import IDS, NUMBERS, TEXTS

__all__ = ["twisted"]

Twist = Callable[[Attempt, random.Random], Attempt]
_MARK: Final = "@@twist@@"
_JSON: Final = b"application/json"


def twisted(attempt: Attempt, chance: random.Random) -> Attempt:
    """The same with one to three things wrong with it, which its origin names."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        pool = [_path, _query, _query, _header, _method]
        if attempt.header(b"content-type").startswith(b"multipart/"):
            pool += [_multipart] * 6
        if attempt.body:
            pool += [_raw_body, _arrival]
        if _tree(attempt) is not None:
            pool += [_json_value] * 6 + [_json_shape] * 2
        twist: Twist = chance.choice(pool)
        attempt = twist(attempt, chance)
        attempt = replace(attempt, origin=f"{attempt.origin} | {twist.__name__.strip('_')}")
    return attempt


def _tree(attempt: Attempt) -> Any:
    if not attempt.header(b"content-type").startswith(_JSON):
        return None
    try:
        return json.loads(attempt.body)
    except (ValueError, RecursionError):
        return None


def _json_value(attempt: Attempt, chance: random.Random) -> Attempt:
    """Put a nasty value where another one stood."""
    tree = _tree(attempt)
    place = _random_place(tree, chance)
    raw = chance.choice(_RAW_VALUES)(chance)
    if place is None:
        return attempt.with_body(raw)
    holder, key = place
    holder[key] = _MARK
    return attempt.with_body(_dumped(tree).replace(f'"{_MARK}"'.encode(), raw, 1))


def _json_shape(attempt: Attempt, chance: random.Random) -> Attempt:
    """Drop, double, rename or add a field."""
    tree = _tree(attempt)
    place = _random_place(tree, chance)
    if place is None:
        return attempt
    holder, key = place
    match chance.choice(("drop", "double", "add", "many", "wrap")):
        case "drop":
            del holder[key]
        case "double" if isinstance(holder, dict):
            name = json.dumps(str(key)).encode()
            twice = b"{%b:1,%b:%b}" % (name, name, _dumped(holder[key]))
            holder.clear()
            holder[_MARK] = None
            body = _dumped(tree)
            return attempt.with_body(body.replace(b'{"%b": null}' % _MARK.encode(), twice, 1))
        case "add" if isinstance(holder, dict):
            holder[chance.choice(TEXTS)[:200]] = chance.choice((1, "x", None, [], {}))
        case "many":
            holder[key] = {f"k{number}": number for number in range(chance.choice((20, 5000)))}
        case _:
            holder[key] = [holder[key]]
    return attempt.with_body(_dumped(tree))


def _dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def _random_place(tree: Any, chance: random.Random) -> tuple[Any, Any] | None:
    """A container of the tree and a key in it."""
    places: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack and len(places) < 400:
        value = stack.pop()
        if not isinstance(value, dict | list):
            continue
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                stack.append(value[key])
    return chance.choice(places) if places else None


def _nested(opening: bytes, closing: bytes) -> Callable[[random.Random], bytes]:
    def nest(chance: random.Random) -> bytes:
        depth = chance.choice((20, 70, 500, 3000, 100_000))
        return opening * depth + b"1" + closing * depth

    return nest


_RAW_VALUES: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    _nested(b"[", b"]"),
    _nested(b'{"a":', b"}"),
    lambda chance: chance.choice(NUMBERS),
    lambda chance: chance.choice(NUMBERS),
    lambda chance: json.dumps(chance.choice(TEXTS)).encode(),
    lambda chance: json.dumps(chance.choice(TEXTS)).encode(),
    lambda chance: json.dumps(chance.choice(IDS)).encode(),
    lambda chance: chance.choice((b"null", b"true", b"false", b"[]", b"{}", b'""', b"0")),
    lambda chance: b'"\\ud800"' if chance.random() < 0.5 else b'"\\udfff\\ud800 x"',
    lambda chance: b'"a\\u0000b"',
    lambda chance: b'"' + b"A" * chance.choice((300, 5000, 200_000)) + b'"',
    lambda chance: b"[" + b",".join([b"1"] * chance.choice((200, 20_000))) + b"]",
    lambda chance: b"[" + b",".join([b'"x"'] * chance.choice((200, 5000))) + b"]",
    lambda chance: b'"\xff\xfe\xc0\xaf"',
)


def _raw_body(attempt: Attempt, chance: random.Random) -> Attempt:
    """Damage the bytes themselves."""
    body = attempt.body
    cut = chance.randrange(len(body) + 1)
    return attempt.with_body(
        chance.choice((
            body[:cut],
            body[:cut] + bytes([chance.randrange(256)]) + body[cut + 1 :],
            b"\xef\xbb\xbf" + body,
            body.decode("latin-1").encode("utf-16"),
            body.decode("latin-1").encode("utf-32"),
            body + b"garbage",
            body + body,
            b"\0" * 16 + body,
            b"",
            b" \n",
            b"[" * 200_000,
            b"{" + b'"a":{' * 50_000,
            b"null",
            b'"text"',
            b"[1,2]",
        ))
    )  # fmt: skip


def _arrival(attempt: Attempt, chance: random.Random) -> Attempt:
    """Send it in pieces, and perhaps not all."""
    body = attempt.body
    size = chance.choice((1, 7, 100, 4096))
    chunks = tuple(body[at : at + size] for at in range(0, min(len(body), size * 200), size))
    headers = tuple(pair for pair in attempt.headers if pair[0].lower() != b"content-length")
    return replace(
        attempt,
        chunks=chunks or (b"",),
        headers=(*headers, (b"transfer-encoding", b"chunked")),
        cut=len(body) > size * 200 or chance.random() < 0.5,
    )


def _header(attempt: Attempt, chance: random.Random) -> Attempt:
    name, values = chance.choice(_HEADERS)
    return attempt.with_header(name, chance.choice(values))


_JUNK: Final = (b"", b"x" * 16_000, b"\xff\xfe", b"a\tb", b"\xc3\xa9", b"';--", b"{{7*7}}")
_HEADERS: Final[tuple[tuple[bytes, tuple[bytes, ...]], ...]] = (
    (
        b"content-type",
        (
            b"text/plain",
            b"application/xml",
            b"application/json; charset=utf-16",
            b"application/json; charset=bogus",
            b"application/x-www-form-urlencoded",
            b"multipart/form-data",
            b"multipart/form-data; boundary=",
            b"multipart/form-data; boundary=" + b"b" * 5000,
            b'multipart/form-data; boundary="a',
            *_JUNK,
        ),
    ),
    (
        b"x-request-timeout",
        (b"nan", b"inf", b"-inf", b"1e309", b"0", b"-1", b"1e-9", b"0.05", b"0x10", *_JUNK),
    ),
    (b"x-request-id", (b"../../x", b"a" * 128, b"a" * 129, *_JUNK)),
    (b"traceparent", (b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", *_JUNK)),
    (b"authorization", (b"Bearer", b"Bearer ", b"Bearer x", b"Basic Og==", b"Bearer \xff", *_JUNK)),
    (b"x-request-timeout-seconds", (b"0", b"0.001", *_JUNK)),  # these four are Serve's own
    (b"x-request-disconnect-disabled", (b"?1", *_JUNK)),
    (b"x-session-id", (b"a", *_JUNK)),
    (b"serve_multiplexed_model_id", (b"a", *_JUNK)),
    (b"x-everloop-user", (b"someone", *_JUNK)),
    (b"x-everloop-keep", (b"keep", *_JUNK)),
    (b"accept", (b"image/png", b"text/event-stream", *_JUNK)),
    (b"accept-encoding", (b"gzip", *_JUNK)),
    (b"content-encoding", (b"gzip", b"br", *_JUNK)),
    (b"idempotency-key", (b"a", b"a" * 300, *_JUNK)),
    (b"last-event-id", (b"1", b"-1", b"9" * 400, *_JUNK)),
    (b"range", (b"bytes=0-", b"bytes=-1", b"bytes=9-1", b"bytes=0-0,1-1", *_JUNK)),
    (b"origin", (b"null", b"http://evil.example", b"http://[::1", *_JUNK)),
    (b"content-length", (b"0", b"1", b"99999999999999999999", b"-1", b"1e3", *_JUNK)),
    (b"cookie", (b"a=b; c", *_JUNK)),
    (b"host", (b"evil.example", b"[::1", *_JUNK)),
    (b"x-forwarded-for", (b"127.0.0.1", *_JUNK)),
    (b"priority", (b"background", *_JUNK)),
)


def _path(attempt: Attempt, chance: random.Random) -> Attempt:
    """Put something else in the place of one segment."""
    path, mark, query = attempt.target.partition(b"?")
    parts = path.split(b"/")
    place = chance.randrange(1, len(parts))
    nasty = chance.choice(_SEGMENTS)
    match chance.choice(("replace", "replace", "replace", "append", "double", "slash")):
        case "replace":
            parts[place] = nasty
        case "append":
            parts[place] += nasty
        case "double":
            parts.insert(place, parts[place])
        case _:
            parts.append(b"")
    return replace(attempt, target=b"/".join(parts) + mark + query)


def _encoded(text: str) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in text.encode("utf-8", errors="surrogatepass"))


_SEGMENTS: Final = (
    *(_encoded(one[:300]) for one in (*IDS, *TEXTS)),
    b"..%2f..%2f..%2fetc%2fpasswd",
    b"%2e%2e%2f%2e%2e",
    b"..",
    b".",
    b"%c0%ae%c0%ae%c0%af",
    b"%ff%fe",
    b"%",
    b"%zz",
    b"%00",
    b"%0d%0aSet-Cookie:x",
    b"a" * 8000,
    b";a=b",
    b"*",
    b"%23",
    b"%3F",
    b"0",
    b"-1",
    b"99999999999999999999999",
)


def _query(attempt: Attempt, chance: random.Random) -> Attempt:
    path, _, query = attempt.target.partition(b"?")
    fields = [field for field in query.split(b"&") if field]
    name = chance.choice((
        *(field.partition(b"=")[0] for field in fields),
        *(b"limit", b"after", b"before", b"order", b"filter", b"include[]", b"depth", b"q"),
        *(b"since", b"until", b"min_cost", b"status", b"group_by", b"score", b"version"),
        b"unknown",
    ))  # fmt: skip
    value = chance.choice(_VALUES)
    return replace(attempt, target=path + b"?" + b"&".join((*fields, name + b"=" + value)))


_VALUES: Final = (
    *_SEGMENTS,
    *(b"0", b"1", b"-1", b"100", b"101", b"1e3", b"1.5", b"nan", b"inf", b"-inf", b"1e400"),
    *(b"", b"true"),
    *(b"2147483648", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809"),
    *(b"asc", b"desc", b"null", b"2024-01-01", b"9999-99-99", b"a:b", b"a%3E0.5", b"x" * 60_000),
)  # fmt: skip


def _method(attempt: Attempt, chance: random.Random) -> Attempt:
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO")
    return replace(attempt, method=chance.choice(methods))


def _multipart(attempt: Attempt, chance: random.Random) -> Attempt:
    boundary = b"-everloop-"
    kind = b"multipart/form-data; boundary=" + boundary
    return attempt.with_header(b"content-type", kind).with_body(_multipart_body(boundary, chance))


def _multipart_body(boundary: bytes, chance: random.Random) -> bytes:
    def part(disposition: bytes, data: bytes, more: bytes = b"") -> bytes:
        head = b"Content-Disposition: form-data; " + disposition + b"\r\n" + more
        return b"--" + boundary + b"\r\n" + head + b"\r\n" + data + b"\r\n"

    name = chance.choice(IDS + TEXTS)[:400].encode("utf-8", errors="surrogatepass")
    name = name.replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22")
    purpose = chance.choice(
        (b"user_data", b"assistants", b"fine-tune", b"evals", b"batch", b"\xff")
    )
    file = part(b'name="file"; filename="%b"' % name, chance.randbytes(chance.randrange(60)))
    said = part(b'name="purpose"', purpose)
    end = b"--" + boundary + b"--\r\n"
    return chance.choice((
        file + said + end,
        said + file + end,
        file + said,
        file + file + said + said + end,
        said * 3000 + file + end,
        part(b'name="file"', b"no file name") + said + end,
        part(b'name="file"; filename=""', b"x") + said + end,
        part(b"name=file; filename*=UTF-8''%2e%2e%2fx", b"x") + said + end,
        part(b'name="file"; filename="a"', b"x", b"X: " + b"y" * 100_000 + b"\r\n") + said + end,
        part(b'name="file"; filename="a"', b"x", b"no colon\r\n") + said + end,
        part(b'name="file"; filename="a"', b"x", b"Content-Type: \xff\xfe\r\n") + said + end,
        part(b'name="' + b"n" * 9000 + b'"; filename="a"', b"x") + said + end,
        part(b'name="expires_after[anchor]"', b"created_at") + file + said + end,
        part(b'name="hyperparameters"', b"[" * 50_000) + file + said + end,
        b"--wrong\r\n\r\nx\r\n--wrong--\r\n",
        b"--" + boundary + b"\r\n",
        b"--" + boundary,
        (file + said + end)[: chance.randrange(1, 200)],
        b"\r\n" * 1000 + file + said + end,
        file.replace(b"\r\n", b"\n") + said + end,
    ))  # fmt: skip
