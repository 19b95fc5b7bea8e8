"""One version of a prompt, ready to render, wherever it was read from."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from deployments.prompts.body import PromptBody, Step, digest_of, whole_value
from deployments.prompts.errors import PromptError
from deployments.prompts.sandbox import Template, compiled
from deployments.prompts.variables import Variable, check_values

__all__ = ["Prompt", "Rendered"]

Rendered = list[dict[str, str]]
_OUTPUT: Final = Variable(type="any")


class Prompt:
    """A version: `name@digest`. Raises PromptError where a template does not compile."""

    def __init__(self, name: str, body: PromptBody, digest: str | None = None) -> None:
        self.name: Final = name
        self.body: Final = body
        self.version: Final = f"{name}@{digest or digest_of(body)}"
        self.variables: Final = tuple(body.variables)
        """The names that a client may give."""
        self.refusal: Final = body.refusal
        """What is answered when nothing supports an answer; None where the prompt has none."""
        self.stop: Final = body.stop
        """Where the model is stopped unless the client says otherwise."""
        self._inputs = {**body.variables, **{step.name: _OUTPUT for step in body.steps}}
        self._templates = [(m.role, compiled(m.content)) for m in body.messages]

    def render(self, **values: object) -> Rendered:
        """Return the chat messages, examples included.

        `values` are those of the variables and, of a chain, its steps' outputs by their names.
        Raises VariableError naming each that is missing, unknown or of another type, PromptError
        where a template fails.
        """
        opening, rest = self.parts(values)
        return [*opening, *rest]

    def parts(self, values: Mapping[str, object]) -> tuple[Rendered, Rendered]:
        """Render, and cut where a conversation's earlier turns belong.

        That is before the user message that ends the prompt, else after all.
        """
        given = check_values(self.version, self._inputs, values)
        rendered: Rendered = []
        for number, (role, template) in enumerate(self._templates):
            text = self._rendered(f"messages.{number}", template, given)
            rendered.append({"role": role, "content": text.strip()})
        systems = next(
            (n for n, message in enumerate(rendered) if message["role"] != "system"), len(rendered)
        )
        examples: Rendered = [
            {"role": role, "content": text}
            for example in self.body.examples
            for role, text in (("user", example.user), ("assistant", example.assistant))
        ]
        told = [*rendered[:systems], *examples, *rendered[systems:]]
        cut = len(told) - (rendered[-1]["role"] == "user")
        return told[:cut], told[cut:]

    @property
    def needed(self) -> list[str]:
        """Variables that must be given: required ones without a default."""
        return [name for name, one in self.body.variables.items() if one.needed]

    def check(self, values: Mapping[str, object], later: Collection[str] = ()) -> dict[str, Any]:
        """Return the values of the variables, defaults included. Raises VariableError.

        Those of `later` are filled by others, and may be absent.
        """
        variables = self.body.variables
        wanted = {n: v for n, v in variables.items() if n not in later or n in values}
        return check_values(self.version, wanted, values)

    def step_values(self, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a step's variables from the chain's own. Raises PromptError."""
        made: dict[str, Any] = {}
        for name, value in step.variables.items():
            if not isinstance(value, str):
                made[name] = value
                continue
            whole, found = whole_value(value, values)
            place = f"steps.{step.name}.variables.{name}"
            made[name] = found if whole else self._rendered(place, compiled(value), values)
        return made

    def _rendered(self, place: str, template: Template, values: Mapping[str, Any]) -> str:
        try:
            return template.render(values)
        except PromptError as error:
            raise PromptError(f"Prompt {self.version}, {place} {error.message}") from error
