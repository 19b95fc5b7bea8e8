"""Tools for a model whose own template renders none."""

from pathlib import Path
from typing import Any

import jinja2
import pytest

from deployments.model.chat_template import chat_template

OWN = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nI am SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "chat_template.jinja").write_text(OWN)
    return tmp_path


def render(template: str, messages: list[dict[str, Any]], **values: Any) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - as transformers
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=True, **values
    )


def test_without_tools_the_prompt_is_exactly_the_models_own(model: Path) -> None:
    template = chat_template(model, None, tools=True)
    assert template is not None
    messages = [{"role": "user", "content": "Hi"}]
    assert render(template, messages) == render(OWN, messages)


def test_tools_stand_in_the_system_message(model: Path) -> None:
    template = chat_template(model, None, tools=True) or ""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    prompt = render(template, messages, tools=[TOOL])
    assert prompt.startswith("<|im_start|>system\nBe brief.")
    assert '"name": "weather"' in prompt
    assert prompt.count("<|im_start|>system") == 1
    assert prompt.endswith("<|im_start|>assistant\n")


def test_calls_and_their_results_are_told(model: Path) -> None:
    template = chat_template(model, None, tools=True) or ""
    prompt = render(
        template,
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "Sunny"},
        ],
    )
    assert '<tool_call>\n{"name": "weather", "arguments": {"a": 1}}\n</tool_call>' in prompt
    assert "<tool_response>\nSunny\n</tool_response>" in prompt


def test_a_model_that_renders_tools_keeps_its_template(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{% if tools %}<|im_start|>{% endif %}")
    assert chat_template(tmp_path, None, tools=True) is None


def test_a_chosen_file_wins(model: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "mine.jinja"
    chosen.write_text("mine")
    assert chat_template(model, str(chosen), tools=True) == "mine"
