"""Secrets by their form and by what names them; placeholders, hashes and words are none."""

import pytest

from deployments.guards.checks.secrets import SecretsCheck
from deployments.guards.masking import masked_text

CHECK = SecretsCheck()
HEX = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("wifi password for guests is Tr0ub4dor3xK.", "wifi password for guests is <PASSWORD>"),
        (
            "curl -u deploy:Zk3dd91s https://x.example",
            "curl -u deploy:<PASSWORD> https://x.example",
        ),
        ("DATADOG_APP_KEY=" + HEX, "DATADOG_APP_KEY=<PASSWORD>"),
        ("db mysql://root:a1b2#c3@db/shop", "db mysql://root:<PASSWORD>@db/shop"),
        ("login ci password Zk3dd91s", "login ci password <PASSWORD>"),
        ("with auth token " + HEX, "with auth token <PASSWORD>"),
        ("dapi" + HEX + " expires", "<API_KEY> expires"),
        ("shpat_" + HEX, "<API_KEY>"),
        ("glrt-" + "a1B2c3D4" * 3, "<API_KEY>"),
        ("La clave del router es Zk3dd91s", "La clave del router es <PASSWORD>"),
    ],
)
async def test_secrets_are_masked(text: str, masked: str) -> None:
    assert masked_text(text, (await CHECK.find(text, "output")).spans) == masked


@pytest.mark.parametrize(
    "text",
    [
        "OPENAI_API_KEY=sk-your-key-here-replace-me-please",
        "AKIA" + "IOSFODNN7EXAMPLE is in the manual.",
        "api_key: xxxxxxxxxxxxxxxxxxxxxxxx",
        "password: ${DB_PASSWORD} or <YOUR_PASSWORD>",
        "The token expires on 2024-05-17 at noon.",
        "The secret to good bread is 24-hour fermentation.",
        "Your password must be at least 12-characters long.",
        "token_count: 4096, max_tokens: 8192",
        "commit " + HEX + " fixes the token parser",
        "password_hash = bcrypt.hashpw(raw, salt)",
    ],
)
async def test_placeholders_and_words_are_none(text: str) -> None:
    assert (await CHECK.find(text, "output")).spans == ()


@pytest.mark.parametrize(
    "text",
    [
        "take figd_" + "a1B2c3D4" * 5 + " now",
        "bot 123456789:AAE" + "a1B2c3D4" * 4 + " runs",
        "use hvs." + "a1B2c3D4" * 4 + " now",
    ],
)
def test_nothing_of_a_token_is_decided_while_it_grows(text: str) -> None:
    start = text.index(" ") + 1
    end = text.rindex(" ")
    for size in range(start + 1, end):
        assert CHECK.undecided(text[:size]) <= start
