"""The chat template of a model that cannot render tools by itself."""

import json
from pathlib import Path
from typing import Final

__all__ = ["chat_template"]

TEMPLATES: Final = Path(__file__).parent / "templates"


def chat_template(model: Path, chosen: str | None, *, tools: bool) -> str | None:
    """The template to serve the model in folder `model` with; None is its own.

    `chosen` is a file that the settings name; it wins. Otherwise, where tools are wanted and the
    model's own ChatML template renders none, conversations with tools take ours, and all others
    exactly the model's own.
    """
    if chosen is not None:
        return Path(chosen).expanduser().read_text()
    own = _own_template(model)
    if not tools or own is None or "tools" in own or "<|im_start|>" not in own:
        return None
    ours = (TEMPLATES / "tools_chatml.jinja").read_text().strip()
    condition = "{%- if tools or (messages | selectattr('role', 'equalto', 'tool') | list) -%}"
    return f"{condition}{ours}{{%- else -%}}{own}{{%- endif -%}}"


def _own_template(model: Path) -> str | None:
    file = model / "chat_template.jinja"
    if file.is_file():
        return file.read_text()
    config = model / "tokenizer_config.json"
    if not config.is_file():
        return None
    template = json.loads(config.read_text()).get("chat_template")
    return template if isinstance(template, str) else None
