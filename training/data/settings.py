"""What a person sets for curating a dataset. A stage whose section is null does not run."""

from typing import Final, Literal, Self, get_args

from pydantic import Field, model_validator

from cluster.sections.section import Section

__all__ = [
    "ENTITIES",
    "CurationSettings",
    "DecontaminationSettings",
    "Entity",
    "LanguageSettings",
    "LengthSettings",
    "NearDuplicateSettings",
    "PersonalDataSettings",
    "SplitSettings",
]

Entity = Literal[
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "IBAN_CODE",
    "CREDIT_CARD",
    "IP_ADDRESS",
    "US_SSN",
    "URL_WITH_SECRET",
]
ENTITIES: Final[tuple[Entity, ...]] = get_args(Entity)


class LengthSettings(Section):
    """Bounds of a row, each inclusive; null is none."""

    min_characters: int | None = Field(default=None, ge=0)
    """Fewest characters of all turns together."""
    max_characters: int | None = Field(default=None, ge=1)
    """Most characters of all turns together."""
    min_messages: int | None = Field(default=None, ge=0)
    """Fewest turns; a prompt and its completion are two."""
    max_messages: int | None = Field(default=None, ge=1)
    """Most turns."""
    min_tokens: int | None = Field(default=None, ge=0)
    """Fewest tokens under the model's chat template."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens under the model's chat template."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for what in ("characters", "messages", "tokens"):
            least, most = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{what} {least} is above max_{what} {most}")
        return self


class LanguageSettings(Section):
    """Which languages are kept."""

    allowed: tuple[str, ...] = Field(min_length=1)
    """ISO 639-1 codes, for example `("en", "de")`."""
    least_probability: float = Field(default=0.8, gt=0, le=1)
    """How sure the detector must be; below, the language is unknown."""
    keep_unknown: bool = True
    """Keep rows whose language cannot be told, most of them short ones."""


class DecontaminationSettings(Section):
    """Rows that hold a question of the evaluation set are removed."""

    words: int = Field(default=13, ge=3, le=100)
    """A run of so many equal words is an overlap; a shorter question must be met as a whole."""


class PersonalDataSettings(Section):
    """Personal data and secrets, found by their pattern and, where they have one, checksum."""

    action: Literal["mask", "drop"] = "mask"
    """Write `<EMAIL_ADDRESS>` and the like in their place, or remove the row."""
    entities: tuple[Entity, ...] = Field(default=ENTITIES, min_length=1)
    """What is looked for."""
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "IN", "BR")
    """ISO 3166 codes of the regions whose national phone numbers are known; +… always is."""
    least_score: float = Field(default=0.4, ge=0, le=1)
    """Presidio's confidence from which a find counts."""


class NearDuplicateSettings(Section):
    """When two rows are near-duplicates: Jaccard similarity of their shingles, by MinHash."""

    remove: bool = True
    """Keep the first of them only; false keeps all, on one side of the split."""
    threshold: float = Field(default=0.85, ge=0.3, le=1)
    """Similarity from which two rows are near-duplicates."""
    permutations: int = Field(default=128, ge=32, le=1024)
    """Hash functions of a signature; the estimate errs by about half of 1/√permutations."""
    shingle_characters: int = Field(default=5, ge=2, le=50)
    """Length of the runs of characters that are compared."""


class SplitSettings(Section):
    """Train and validation rows. Near-duplicates are never on both sides."""

    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the rows for validation; 0 makes no split."""
    keep_questions_together: bool = True
    """Rows that answer one question are on one side too."""


class CurationSettings(Section):
    """All stages, in the order in which they run."""

    lengths: LengthSettings | None = None
    """Remove rows that are too short or too long."""
    languages: LanguageSettings | None = None
    """Remove rows in other languages."""
    decontamination: DecontaminationSettings | None = DecontaminationSettings()
    """Remove rows that hold a question of the evaluation set, where one is given."""
    personal_data: PersonalDataSettings | None = None
    """Mask personal data, or remove rows that hold some."""
    exact_duplicates: bool = True
    """Keep the first of the rows that differ in case and spacing only."""
    near_duplicates: NearDuplicateSettings = NearDuplicateSettings()
    """Keep the first of the rows that differ little."""
    split: SplitSettings = SplitSettings()
    """Hold rows out for the validation loss."""
    seed: int = Field(default=0, ge=0)
    """Which rows are held out."""
    examples_kept: int = Field(default=10, ge=0, le=1000)
    """Removed rows and groups that the receipt names, for each stage."""
