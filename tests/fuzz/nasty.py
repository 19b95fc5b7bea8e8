"""Values that have broken other programs."""

from typing import Final

__all__ = ["IDS", "NUMBERS", "TEXTS"]

NUMBERS: Final = (
    b"0", b"-0", b"-1", b"0.0", b"1e-320", b"1e308", b"1e309", b"-1e309", b"1e999999",
    b"NaN", b"Infinity", b"-Infinity", b"2147483648", b"-2147483649", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"9" * 400,
    b"9" * 5000, b"0.1e1", b"00", b"01", b"1.", b".5", b"0x10", b"1_000", b"3.5", b"1" * 40 + b".5",
)  # fmt: skip
TEXTS: Final = (
    "", " ", "\n", "\t", "null", "undefined", "true", "0", "-1", "NaN", "a" * 65, "a" * 257,
    "' OR '1'='1", "'; DROP TABLE traces; --", '"', "\\", "%", "%s%s%s%n", "_", "%%", "{{7*7}}",
    "{% for a in range(9999999) %}{% endfor %}", "{{ ''.__class__.__mro__ }}", "${jndi:ldap://x}",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "=1+1", "@SUM(A1)", "|id", "$(id)",
    "(a+)+$", "((((((((((x*)*)*)*)*)*)*)*)*)*)y", "(" * 500, "[", "(?P<n>", "*", "\\1", "a{1,9999}",
    "\u202egnp.exe", "\u200b", "\ufeff", "\u0130", "ﬃ", "e\u0301" * 50, "\U0001f469\u200d",
    "\U0010ffff", "\ufdd0", "Ω" * 300, "١٢٣", "ｆｉｌｅ", "a\x7fb", "a\x1bb", "a\rb", "\u2028",
)  # fmt: skip
IDS: Final = (
    "../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "file:///etc/passwd", "a/b",
    "a\x00b", ".", "..", "~", "-", "--", "CON", "NUL", "file-", "vs_", "trace_", "file-" + "0" * 32,
    "vs_" + "f" * 32, "vs_1/file-doc", "ft:x:y:z", "arm:exp_1:b", "polite@", "polite@latest", "@",
    "prompt:polite", "a:b", ":", "::", "file-\u202e", "FILE-DOC", "file-doc ", " file-doc",
    "http://169.254.169.254/latest/meta-data", "http://[::1]:22/", "http://2130706433/",
    "comparisons", "stats", "import", "tokens", "end-user", "test", "a" * 5000,
)  # fmt: skip
